"""The operator's side of the admin port: one request, and its answer for people."""

from __future__ import annotations

import http.client
import json
from collections.abc import Sequence
from typing import Any

import click

TIMEOUT_S = 5.0
CHANGE_TIMEOUT_S = 20.0
"""Names may have to be looked up."""
REASON_MAX = 40
"""Characters in the table; ``--json`` has all of them."""


def admin_option(command: Any) -> Any:
    """``--admin`` of the commands that talk to a daemon."""
    return click.option(
        "--admin",
        callback=_admin,
        metavar="HOST:PORT",
        help="The daemon's admin port.  [default: by its settings, 127.0.0.1:1230]",
    )(command)


def _admin(context: click.Context, parameter: click.Parameter, value: str | None) -> str:
    """The address named here, else where the daemon of these settings (flags, environment, file) listens."""
    if value is not None:
        return value
    settings = context.find_root().params
    host, port = settings["admin_host"], settings["admin_port"]
    if not port:
        raise click.UsageError("the daemon picks its admin port itself: --admin HOST:PORT names it")
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def ask(admin: str, method: str, path: str, body: Any = None, *, timeout_s: float = TIMEOUT_S) -> Any:
    """Ask the daemon; its decoded JSON. Raises `click.ClickException` with what went wrong, in words."""
    return ask_with(admin, method, path, None if body is None else json.dumps(body).encode(), timeout_s=timeout_s)


def ask_with(admin: str, method: str, path: str, body: bytes | None, *, timeout_s: float = TIMEOUT_S) -> Any:
    """The same with a body as it is."""
    host, _, port = admin.rpartition(":")
    if not host or not port.isdigit() or not 0 < int(port) < 65536:
        raise click.UsageError(f"--admin: expected HOST:PORT, not {admin!r}")
    connection = http.client.HTTPConnection(host.strip("[]"), int(port), timeout=timeout_s)
    try:
        connection.request(method, path, body)
        answer = connection.getresponse()
        found = json.loads(answer.read())
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise click.ClickException(f"no daemon answers on {admin}: {error}") from None
    finally:
        connection.close()
    if answer.status != 200:
        said = found.get("error") if isinstance(found, dict) else None
        message = said.get("message") if isinstance(said, dict) else None
        raise click.ClickException(message or f"{admin} answered {answer.status}: that is no daemon's admin port")
    return found


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


def table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows of equal length as lines, in columns; none of none."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


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
