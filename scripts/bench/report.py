"""The figures as a table, on the terminal and in docs/benchmarks.md."""

from __future__ import annotations

from collections.abc import Mapping

COLUMNS = {
    "us_request": ("us/request", ".1f"),
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
