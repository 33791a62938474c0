"""``llm-balancer drain``, ``reload``: what an operator tells a running daemon to do."""

from __future__ import annotations

from urllib.parse import quote

import click

from balancer.commands.admin_client import CHANGE_TIMEOUT_S, admin_option, ask, json_option, tell


@click.command()
@click.argument("name")
@admin_option
@click.option("--undo", is_flag=True, help="Take it back in.")
@json_option
def drain(name: str, admin: str, undo: bool, as_json: bool) -> None:
    """Send backend NAME no new requests; what runs on it finishes."""
    found = ask(admin, "POST", f"/drain/{quote(name, safe='')}" + ("?undo=1" if undo else ""))
    tell(found, f"{name} {'takes requests again' if undo else 'is draining'}", as_json)


@click.command()
@admin_option
@json_option
def reload(admin: str, as_json: bool) -> None:
    """Let a running daemon read its settings, keys and certificate again.

    All or nothing: if anything is wrong, or needs a restart, all stays as it was.
    """
    from balancer.reload_plan import reload_text

    found = ask(admin, "POST", "/reload", timeout_s=CHANGE_TIMEOUT_S)
    tell(found, f"reloaded; changed: {reload_text(found) or 'nothing'}", as_json)
    for warning in found.get("warnings", ()):
        click.echo(f"warning: {warning}", err=True)
