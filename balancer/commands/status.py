"""``llm-balancer status``: what a running daemon does, as a few lines and a table."""

from __future__ import annotations

from typing import Any

import click

from balancer.commands.admin_client import admin_option, ask, json_option, table, tell

REASON_MAX = 60
"""Characters in the table; ``--json`` has all of them."""


@click.command()
@admin_option
@json_option
def status(admin: str, as_json: bool) -> None:
    """Show backends, queue and cache of a running daemon."""
    tell(ask(admin, "GET", "/status"), status_text, as_json)


def status_text(status: dict[str, Any]) -> str:
    """``GET /status`` as a few lines and a table."""
    compiled = " (compiled)" if status.get("compiled") else ""
    lines = [
        f"llm-balancer {status['version']}{compiled}, up {_duration(status['uptime_s'])}"
        + (", stopping" if status["stopping"] else ""),
        f"{status['counts'].get('requests', 0)} requests, {status['counts'].get('completed', 0)} completed, "
        f"{sum(status['exchanges'].values())} under way, {status['queue']['waiting']} waiting, "
        f"{status['clients']} connections",
    ]
    cache = status["cache"]
    if cache is None:
        lines.append("cache off")
    else:
        lines.append(
            f"cache: {cache['entries']} of {cache['max_entries']} entries, {cache['bytes'] / 1e6:.1f} MB; "
            f"hits {cache['hits']['exact']} exact and {cache['hits']['semantic']} semantic, {cache['misses']} misses, "
            f"{sum(cache['skips'].values())} skipped, {cache['evictions']} evicted"
            + (f"; saved {saved['tokens']} tokens, {saved['seconds']:.0f} s" if (saved := cache.get("saved")) else "")
        )
        if bound := cache.get("bound"):
            lines.append(_near_text(bound))
    return "\n".join([*lines, *pool_lines(status)])


def pool_lines(status: dict[str, Any]) -> list[str]:
    """Its backends as a table."""
    told = any(backend.get("reason") for backend in status["backends"])
    rows = [("BACKEND", "STATE", *(["REASON"] if told else []), "ADDRESS", "IN USE", "BEATS", "HEARD", "MODELS")]
    rows += [
        (
            backend["name"],
            _state(backend),
            *([_short(backend.get("reason") or "")] if told else []),
            backend["address"],
            f"{backend['in_flight']}/{backend['slots']}",
            str(backend["beats"]),
            f"{heard / 1000:.1f} s ago" if (heard := backend["heard_ms_ago"]) is not None else "never",
            ", ".join(backend["models"]) or "?",
        )
        for backend in status["backends"]
    ]
    return table(rows) if len(rows) > 1 else ["no backend is registered"]


def _near_text(bound: dict[str, Any]) -> str:
    """What became of near answers."""
    served = f"{bound['served']} {'would have been served (shadow)' if bound['shadow'] else 'served'}"
    said = f"near answers: {served}, {bound['withheld']} withheld; "
    if bound["wrong_share"] is None:
        return said + "wrong share unknown: no checks, no reports"
    low, high = bound["interval"]
    share = f"{bound['wrong_share']:.1%} wrong ({low:.1%} to {high:.1%})"
    if bound["source"] == "reports":
        return said + f"at least {share} by {bound['reports']} reports"
    return said + f"{share} by {sum(bound['checks']['served'].values())} checks (judge {bound['checking']['judge']})"


def _state(backend: dict[str, Any]) -> str:
    """What the pool believes of it, and what the breaker does about it."""
    breaker = backend.get("breaker") or {"state": "closed"}
    left = f" {breaker['until_s']:.0f} s" if breaker.get("until_s") is not None else ""
    words = {"open": f", ejected{left}", "half_open": ", on trial", "ramping": f", eased in{left}"}
    return f"{backend['state']}{words.get(breaker['state'], '')}"


def _short(reason: str) -> str:
    return reason if len(reason) <= REASON_MAX else reason[: REASON_MAX - 1] + "…"


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {seconds} s" if minutes else f"{seconds} s"
