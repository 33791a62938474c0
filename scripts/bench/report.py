"""The figures as a table, on the terminal and in docs/benchmarks.md."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path

from scripts.bench.accounting import machine
from scripts.bench.targets import router_version

FILE = Path("docs/benchmarks.md")
_BEGIN, _END = "<!-- scripts/bench_proxy --write replaces this -->", "<!-- to here -->"

COLUMNS = {
    "us_request": ("us/request", ".1f"),
    "us_embedder": ("us/request, embedder", ".1f"),
    "us_short": ("us/short stream", ".1f"),
    "us_token": ("us/token, gap 0", ".2f"),
    "us_token_gap": ("us/token, gap 20 ms", ".1f"),
    "requests_s": ("requests/s", ",.0f"),
    "added_p50_ms": ("added p50 ms", ".2f"),
    "added_p99_ms": ("added p99 ms", ".2f"),
    "idle_mb": ("RSS idle MB", ".0f"),
    "mb": ("RSS after MB", ".0f"),
    "failed": ("failed", ".0f"),
}

RATIOS = {
    "us_request": ("times HAProxy's CPU: request", ".2f"),
    "us_short": ("short stream", ".2f"),
    "us_token": ("token, gap 0", ".2f"),
    "us_token_gap": ("token, gap 20 ms", ".2f"),
}

STREAMS = {
    "open": ("open", ",.0f"),
    "tokens_s": ("tokens/s", ",.0f"),
    "before_mb": ("RSS before MB", ".0f"),
    "mb": ("RSS with them MB", ".0f"),
    "kb_stream": ("KB/stream", ".1f"),
    "core": ("CPU", ".0%"),
    "us_token": ("us/token", ".1f"),
    "lag_p99_ms": ("loop lag p99 ms, at most", ".1f"),
    "probe_p50_ms": ("/livez p50 ms", ".1f"),
    "probe_p99_ms": ("/livez p99 ms", ".1f"),
    "lost": ("tokens lost", ".0f"),
    "failed": ("failed", ".0f"),
}

DECISIONS = {"of_16": ("us/decision of 16", ".1f"), "of_1000": ("us/decision of 1,000", ".1f")}


def table(rows: Mapping[str, Mapping[str, float]], columns: Mapping[str, tuple[str, str]] = COLUMNS) -> str:
    """Markdown that reads well as it is; a figure that was not taken is a dash."""
    cells = [["", *(title for title, _ in columns.values())]]
    for name, figures in rows.items():
        cells.append([name, *(_cell(figures, key, how) for key, (_, how) in columns.items())])
    widths = [max(len(row[at]) for row in cells) for at in range(len(cells[0]))]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |" for row in cells
    ]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines)


def _cell(figures: Mapping[str, float], key: str, how: str) -> str:
    return format(figures[key], how) if key in figures else "-"


def section(tables: Sequence[str], skipped: Sequence[str], load: float) -> str:
    """The tables with all that is needed to judge them."""
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in ("uvloop", "httptools", "msgspec"))
    routers = map(router_version, ("sglang-router", "vllm-router"))
    others = ", ".join(filter(None, (_said("haproxy", "-v"), _said("nginx", "-v"), *routers)))
    facts = [
        f"{time.strftime('%d %B %Y, %H:%M', time.gmtime())} UTC, `{' '.join(['scripts/bench_proxy', *sys.argv[1:]])}`",
        f"{machine()}; load average {load:.1f} before the run",
        f"Python {sys.version.split()[0]}, {versions}; {others}",
    ]
    if skipped:
        facts.append("not installed, so not measured: " + ", ".join(skipped))
    return "\n".join(f"- {fact}" for fact in facts) + "\n\n" + "\n\n".join(tables)


def write(text: str) -> None:
    """Put it into docs/benchmarks.md, in place of the last."""
    before, found, rest = FILE.read_text().partition(_BEGIN)
    if not found or _END not in rest:
        raise RuntimeError(f"{FILE} has no place for the figures")
    FILE.write_text(f"{before}{_BEGIN}\n{text}\n{_END}{rest.partition(_END)[2]}")


def _said(program: str, option: str) -> str:
    """The first words of what a program says of its version; empty where it is not installed."""
    try:
        done = subprocess.run([program, option], capture_output=True, text=True, check=False)
    except OSError:
        return ""
    return " ".join((done.stdout + done.stderr).split("\n")[0].split()[:3])
