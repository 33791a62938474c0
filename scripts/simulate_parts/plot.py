"""Curves of what was simulated: the time to the first token over the rate. matplotlib comes with the extra `dev`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from scripts.simulate_parts.report import Result

Drawn: TypeAlias = tuple[str, float, str, Result]
"""Workload, requests a second, policy, what was found."""

QUANTILES = (("p50", "ttft_p50_s"), ("p90", "ttft_p90_s"), ("p99", "ttft_p99_s"))
WIDTH, HEIGHT = 3.6, 3.0
"""Of each panel, in inches."""


def draw(found: Sequence[Drawn], path: str) -> None:
    """One row of panels for each workload, one curve for each policy, as SVG; the same numbers give the same file."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams.update({"svg.hashsalt": "routing", "font.size": 9, "svg.fonttype": "none"})
    from matplotlib import pyplot

    names = list(dict.fromkeys(name for name, *_ in found))
    policies = list(dict.fromkeys(policy for _, _, policy, _ in found))
    figure, panels = pyplot.subplots(
        len(names),
        len(QUANTILES),
        figsize=(WIDTH * len(QUANTILES), HEIGHT * len(names)),
        squeeze=False,
        layout="constrained",
    )
    for row, name in zip(panels, names, strict=True):
        for panel, (label, field) in zip(row, QUANTILES, strict=True):
            for policy in policies:
                points = [(rate, getattr(r, field)) for n, rate, p, r in found if (n, p) == (name, policy)]
                panel.plot(*zip(*points, strict=True), marker="o", markersize=3, label=policy)
            panel.set(title=f"{name}: TTFT {label}", xlabel="requests/s", yscale="log")
            panel.grid(visible=True, which="both", alpha=0.3)
        row[0].set_ylabel("s")
    panels[0][0].legend(fontsize=7)
    figure.savefig(path, format="svg", metadata={"Date": None})
    pyplot.close(figure)
