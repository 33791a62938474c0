"""The operator's side of the admin port: one request, and its answer for people."""

from __future__ import annotations

import http.client
import json
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
    host, _, port = admin.rpartition(":")
    if not host or not port.isdigit() or not 0 < int(port) < 65536:
        raise click.UsageError(f"--admin: expected HOST:PORT, not {admin!r}")
    connection = http.client.HTTPConnection(host.strip("[]"), int(port), timeout=timeout_s)
    try:
        connection.request(method, path, None if body is None else json.dumps(body))
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
    lines = [
        f"llm-balancer {status['version']}, up {_duration(status['uptime_s'])}"
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
        )
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
    if len(rows) == 1:
        return "\n".join([*lines, "no backend is registered"])
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines += ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join(lines)


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
