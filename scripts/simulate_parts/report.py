"""What a run comes to, as numbers and as a line of a table."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from scripts.simulate_parts.request import Asked

SLO_TTFT_S = 1.0
SLO_ITL_S = 0.05


class Result(NamedTuple):
    """Of the requests that arrived after the warm-up."""

    requests: int
    unanswered: int
    """Not complete when the simulation ended. Without a first token they are infinitely late in the quantiles."""
    ttft_p50_s: float
    ttft_p90_s: float
    ttft_p99_s: float
    ttft_mean_s: float
    """Of those that got one."""
    itl_p50_ms: float
    itl_p99_ms: float
    tokens_per_s: float
    goodput: float
    """The share of all that arrived that had its first token within 1 s and the others within 50 ms each."""
    hit: float
    """The share of prompt tokens that were in a cache."""
    busiest: float
    """Requests of the backend with the most, in its fair shares."""
    first: float
    """The share of all requests that the first backend got, which is the slow one where one is slow."""
    jain: float
    """Jain's index of the tenants' mean goodput: 1 is fair."""
    others_p99_s: float
    """Time to first token of all tenants but the one that asks most: what a flood does to them."""


def result(begun: Iterable[Asked], engines: int, begin: float, end: float) -> Result:
    """`begin` and `end`: what arrived between them counts."""
    counted = [asked for asked in begun if begin <= asked.at < end]
    done = [asked for asked in counted if asked.ended_at >= 0]
    ttft = sorted(map(_ttft_s, counted))
    came = [each for each in ttft if each < math.inf]
    itl = sorted(1000 * asked.itl_s for asked in done if asked.ask.output_tokens > 1)
    good = [asked for asked in done if asked.ttft_s <= SLO_TTFT_S and asked.itl_s <= SLO_ITL_S]
    prompt = sum(asked.ask.prompt_tokens for asked in done)
    asked_by = Counter(asked.ask.tenant for asked in counted)
    good_by = Counter(asked.ask.tenant for asked in good)
    most = max(asked_by, key=asked_by.__getitem__, default="")
    others = sorted(_ttft_s(asked) for asked in counted if asked.ask.tenant != most)
    given = Counter(asked.backend for asked in counted if asked.backend >= 0)
    return Result(
        len(counted),
        len(counted) - len(done),
        quantile(ttft, 0.5),
        quantile(ttft, 0.9),
        quantile(ttft, 0.99),
        sum(came) / max(1, len(came)),
        quantile(itl, 0.5),
        quantile(itl, 0.99),
        sum(asked.ask.output_tokens for asked in done) / (end - begin),
        len(good) / max(1, len(counted)),
        sum(asked.cached_tokens for asked in done) / max(1, prompt),
        max(given.values(), default=0) * engines / max(1, given.total()),
        given[0] / max(1, given.total()),
        jain([good_by[tenant] / asked_by[tenant] for tenant in asked_by]),
        quantile(others, 0.99),
    )


def _ttft_s(asked: Asked) -> float:
    return asked.ttft_s if asked.first_at >= 0 else math.inf


def mean(found: Sequence[Result]) -> Result:
    """Of several seeds, number by number; the unanswered and all requests are summed up."""
    columns = list(zip(*found, strict=True))
    return Result(sum(columns[0]), sum(columns[1]), *(sum(column) / len(found) for column in columns[2:]))


def quantile(ordered: Sequence[float], share: float) -> float:
    """Of sorted values; nan of none."""
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else float("nan")


def jain(values: Sequence[float]) -> float:
    """Jain, Chiu and Hawe (1984): 1 if all are equal, 1/n if one has everything."""
    squares = sum(value * value for value in values)
    return sum(values) ** 2 / (len(values) * squares) if squares else 1.0


HEAD = (
    "| policy | TTFT p50 s | p90 | p99 | mean | ITL p50 ms | p99 | tokens/s | in SLO | hit | busiest | first | fair "
    "| others p99 |\n|---|---|---|---|---|---|---|---|---|---|---|---|---|---|"
)


def line(policy: str, found: Result) -> str:
    """One row under `HEAD`."""
    left = f" ({found.unanswered} unanswered)" if found.unanswered else ""
    ttft = " | ".join(f"{each:.3f}" for each in found[2:6])
    return (
        f"| {policy}{left} | {ttft} | {found.itl_p50_ms:.1f} | {found.itl_p99_ms:.1f} | {found.tokens_per_s:.0f} "
        f"| {100 * found.goodput:.1f} % | {found.hit:.3f} | {found.busiest:.2f} | {100 * found.first:.1f} % "
        f"| {found.jain:.3f} | {found.others_p99_s:.3f} |"
    )
