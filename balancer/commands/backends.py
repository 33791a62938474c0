"""``llm-balancer backends``: who is in the pool of a running daemon; upstreams come and go."""

from __future__ import annotations

from urllib.parse import quote

import click

from balancer.commands.admin_client import CHANGE_TIMEOUT_S, admin_option, ask, json_option, tell
from balancer.commands.status import pool_lines


@click.group()
def backends() -> None:
    """Show the backends of a running daemon; add and remove upstreams, until it ends. What shall last goes into the
    settings."""


@backends.command("list")
@admin_option
@json_option
def list_(admin: str, as_json: bool) -> None:
    """Show all backends, as in ``status``."""
    tell(ask(admin, "GET", "/backends"), lambda found: "\n".join(pool_lines(found)), as_json)


@backends.command("add")
@click.argument("upstream", metavar="URL[;slots=N;...]")
@admin_option
@json_option
def add(upstream: str, admin: str, as_json: bool) -> None:
    """Put an OpenAI-compatible server into the pool; written as after --upstream, but without key-env."""
    found = ask(admin, "POST", "/backends", {"upstream": upstream}, timeout_s=CHANGE_TIMEOUT_S)
    tell(found, f"{found['backend']} is added {found['kept']}", as_json)
    if found.get("warning"):
        click.echo(f"warning: {found['warning']}", err=True)


@backends.command("remove")
@click.argument("name")
@admin_option
@json_option
def remove(name: str, admin: str, as_json: bool) -> None:
    """Take the upstream NAME out of the pool; what runs on it finishes first."""
    found = ask(admin, "DELETE", f"/backends/{quote(name, safe='')}")
    running = found["running"]
    left = f"gets nothing new and leaves when its {running} requests have ended"
    tell(found, f"{name} {left if running else 'is removed ' + found['kept']}", as_json)
