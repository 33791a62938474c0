"""``llm-balancer cache purge``, ``forget``, ``wrong``, ``warm``: what an operator does to a running cache."""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO, Any, Final
from urllib.parse import quote, urlencode

import click

from balancer.commands.admin_client import CHANGE_TIMEOUT_S, admin_option, ask, ask_with, json_option, tell

BATCH_BYTES: Final = 64 << 10
"""Of lines sent at once: the balancer stores a few hundred answers before it turns to its clients again."""
_SHOWN_ERRORS: Final = 10


@click.command("purge")
@admin_option
@click.option("--tenant", default=None, help="Only this tenant's entries.")
@click.option("--model", default=None, help="Only this model's entries.")
@click.option("--prefix", default=None, help="Only those whose question begins so.")
@click.option("--entry", default=None, help="Only this one: `entry` in `done` or x-balancer-cache.")
@json_option
def purge_command(admin: str, as_json: bool, **which: str | None) -> None:
    """Forget cached answers: all, or those that fit every option given."""
    query = urlencode({name: value for name, value in which.items() if value is not None})
    found = ask(admin, "POST", "/cache/purge" + (f"?{query}" if query else ""))
    tell(found, f"{found['purged']} entries forgotten", as_json)


@click.command("forget")
@admin_option
@click.option("--model", default=None, help="Only what this model answered.")
@json_option
def forget_command(admin: str, model: str | None, as_json: bool) -> None:
    """Let no entry stored so far answer again: for when a model or a prompt has changed.

    Nothing is searched: what is forgotten leaves its room to new entries by and by.
    """
    found = ask(admin, "POST", "/cache/forget" + (f"?{urlencode({'model': model})}" if model is not None else ""))
    tell(found, f"no earlier entry of {found['forgotten']} answers any more", as_json)


@click.command("wrong")
@click.argument("entry")
@admin_option
@json_option
def wrong_command(entry: str, admin: str, as_json: bool) -> None:
    """Say that ENTRY answered wrongly: it goes, and is never given to the same questions again."""
    found = ask(admin, "POST", f"/cache/wrong/{quote(entry, safe='')}")
    tell(found, f"{found['entry']} forgotten", as_json)


@click.command("warm")
@click.argument("file", type=click.File("rb"))
@admin_option
@json_option
def warm_command(file: IO[bytes], admin: str, as_json: bool) -> None:
    """Store answers from FILE (- for standard input), one JSON object a line.

    \b
    {"prompt":"Why is the sky blue?","answer":"Because ..."}
    {"messages":[...],"answer":"...","model":"m","tenant":"alice","completion_tokens":7}

    What else a line holds (max_tokens, seed, ...) is part of the request: it is answered by an equal one.
    """
    stored, errors = 0, list[dict[str, Any]]()
    for first, body in _batches(file):
        found = ask_with(admin, "POST", "/cache/warm", body, timeout_s=CHANGE_TIMEOUT_S)
        stored += found["stored"]
        errors += [{**error, "line": error["line"] + first} for error in found["errors"]]
    if not as_json:
        for error in errors[:_SHOWN_ERRORS]:
            click.echo(f"line {error['line']}: {error['message']}", err=True)
    tell({"stored": stored, "errors": errors}, f"{stored} answers stored, {len(errors)} errors", as_json)
    if errors:
        raise click.exceptions.Exit(1)


COMMANDS: Final = (purge_command, forget_command, wrong_command, warm_command)


def _batches(file: IO[bytes]) -> Iterator[tuple[int, bytes]]:
    """How many lines came before, and some lines."""
    lines, size_bytes, first = list[bytes](), 0, 0
    for line in file:
        if lines and size_bytes + len(line) > BATCH_BYTES:
            yield first, b"".join(lines)
            first += len(lines)
            lines, size_bytes = [], 0
        lines.append(line)
        size_bytes += len(line)
    if lines:
        yield first, b"".join(lines)
