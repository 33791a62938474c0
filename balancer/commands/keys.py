"""``llm-balancer key``: the commands that make, show and take away clients' keys."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from balancer.commands.admin_client import json_option, tell
from balancer.errors import ConfigError

_PATH = click.Path(path_type=Path, dir_okay=False)


@click.group()
def key() -> None:
    """Add, list and remove clients' keys. A daemon reads the file when it starts, and at a reload."""


def _keys_option(command: Any) -> Any:
    return click.option(
        "--keys", "path", type=_PATH, callback=_keys_path, help="The file.  [default: that of `llm-balancer --keys`]"
    )(command)


def _keys_path(context: click.Context, parameter: click.Parameter, value: Path | None) -> Path:
    """The file named here, else where the daemon's is named: as its option, in the environment or in ``--config``."""
    path: Path | None = value or context.find_root().params["keys"]
    if path is None:
        raise click.UsageError("name the file: --keys FILE")
    return path


@key.command("add")
@click.argument("name")
@_keys_option
@click.option("--weight", default=1.0, help="The client's share beside the others' when all slots are taken.")
def key_add(name: str, path: Path, weight: float) -> None:
    """Make a key for the client NAME and print it, this once."""
    from balancer.keyfile import add_key

    with _telling():
        made = add_key(path, name, weight)
    click.echo(made)
    click.echo(f"This is shown once: {path} keeps only its SHA-256. Tell a running balancer: `reload`.", err=True)


@key.command("list")
@_keys_option
@json_option
def key_list(path: Path, as_json: bool) -> None:
    """Show who has a key: name, weight, and the first digits of the key's SHA-256."""
    from balancer.keyfile import read_keys

    with _telling():
        found = sorted(read_keys(path), key=lambda entry: entry.name)
    width = max((len(entry.name) for entry in found), default=0)
    lines = [f"{entry.name:{width}}  weight {entry.weight:g}  sha256 {entry.digest.hex()[:12]}" for entry in found]
    shown = [{"name": entry.name, "weight": entry.weight, "sha256": entry.digest.hex()} for entry in found]
    if as_json or lines:
        tell(shown, "\n".join(lines), as_json)


@key.command("remove")
@click.argument("name")
@_keys_option
def key_remove(name: str, path: Path) -> None:
    """Take the key of the client NAME away."""
    from balancer.keyfile import remove_key

    with _telling():
        remove_key(path, name)
    click.echo(f"{name} has no key any more; tell a running balancer: `reload`", err=True)


@contextmanager
def _telling() -> Iterator[None]:
    """A `ConfigError` becomes one line and exit status 1."""
    try:
        yield
    except ConfigError as error:
        raise click.ClickException(str(error)) from None
