"""``llm-balancer backends``: upstreams of a running daemon come and go."""

from __future__ import annotations

import json
from urllib.parse import quote

import click

from balancer.commands.admin_client import admin_option


@click.group()
def backends() -> None:
    """Add and remove upstreams of a running daemon, until it ends. What shall last goes into the settings."""


@backends.command("add")
@click.argument("upstream", metavar="URL[;slots=N;...]")
@admin_option
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def add(upstream: str, admin: str, as_json: bool) -> None:
    """Put an OpenAI-compatible server into the pool; written as after --upstream, but without key-env."""
    from balancer.commands.admin_client import CHANGE_TIMEOUT_S, ask

    found = ask(admin, "POST", "/backends", {"upstream": upstream}, timeout_s=CHANGE_TIMEOUT_S)
    click.echo(json.dumps(found, indent=2) if as_json else f"{found['backend']} is added {found['kept']}")
    if found.get("warning"):
        click.echo(f"warning: {found['warning']}", err=True)


@backends.command("remove")
@click.argument("name")
@admin_option
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def remove(name: str, admin: str, as_json: bool) -> None:
    """Take the upstream NAME out of the pool; what runs on it finishes first."""
    from balancer.commands.admin_client import ask

    found = ask(admin, "DELETE", f"/backends/{quote(name, safe='')}")
    if as_json:
        click.echo(json.dumps(found, indent=2))
    elif found["running"]:
        click.echo(f"{name} gets nothing new and leaves when its {found['running']} requests have ended")
    else:
        click.echo(f"{name} is removed {found['kept']}")
