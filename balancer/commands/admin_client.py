"""The operator's side of the admin port: one request, and its answer for people or programs."""

from __future__ import annotations

import http.client
import json
from collections.abc import Callable, Sequence
from typing import Any

import click

TIMEOUT_S = 5.0
CHANGE_TIMEOUT_S = 20.0
"""Names may have to be looked up."""

json_option = click.option("--json", "as_json", is_flag=True, help="All of it, for programs.")


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


def tell(found: Any, text: str | Callable[[Any], str], as_json: bool) -> None:
    """What was found: as it is, or in words."""
    if as_json:
        text = json.dumps(found, indent=2)
    click.echo(text if isinstance(text, str) else text(found))


def table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows of equal length as lines, in columns; none of none."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
