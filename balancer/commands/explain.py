"""``llm-balancer explain``: where a running daemon would send a request now, and why. Nothing is sent to a backend."""

from __future__ import annotations

import sys
from typing import Any

import click

from balancer.commands.admin_client import admin_option, ask, json_option, table, tell

_SHOWN = ("in_flight", "weight")
"""What has a column of its own already, whatever the policy weighs."""
ENDPOINTS = ("chat", "completions", "embeddings", "responses")


@click.command()
@click.option("--model", default=None, help="As a client would name it.  [default: the daemon's]")
@click.option("--prompt", default="Hello", help="What would be asked; - reads it from standard input.")
@click.option("--endpoint", type=click.Choice(ENDPOINTS), default="chat", help="Where it would be asked.")
@click.option("--tenant", default="local", help="Whose request it would be.")
@click.option("--session", default=None, help="Its prompt_cache_key.")
@click.option("--arm", default=None, help="As x-balancer-model: which of the models that the name may mean.")
@admin_option
@json_option
def explain(
    model: str | None,
    prompt: str,
    endpoint: str,
    tenant: str,
    session: str | None,
    arm: str | None,
    admin: str,
    as_json: bool,
) -> None:
    """Tell which backends may take a request, what keeps the others from it, and what the policy weighs.

    The cache is not asked: an answer that it has needs no backend.
    """
    text = sys.stdin.read() if prompt == "-" else prompt
    field = "input" if endpoint in ("embeddings", "responses") else "prompt"
    said = {
        "model": model,
        field: text,
        "endpoint": endpoint,
        "tenant": tenant,
        "prompt_cache_key": session,
        "arm": arm,
    }
    found = ask(admin, "POST", "/explain", {name: value for name, value in said.items() if value is not None})
    tell(found, as_text, as_json)


def as_text(found: dict[str, Any]) -> str:
    """What ``POST /explain`` answered, as a few lines and a table for each model."""
    lines = [_naming(found)] if _naming(found) else []
    if found["waiting"]:
        lines.append(f"{found['waiting']} requests wait: one that comes now is queued behind those of its tenant")
    for number, route in enumerate(found["routes"]):
        lines += [f"if {found['model']} cannot answer:"] if number == 1 else []
        lines += _route(route)
    return "\n".join(lines)


def _naming(found: dict[str, Any]) -> str:
    """Nothing where the name is the model's own."""
    asked, model, shares = found["asked"], found["model"], found["shares"]
    if asked == model and not shares:
        return ""
    if asked is None:
        return f"no model is named: {model} is meant"
    if not shares:
        return f"{asked} means {model}"
    told = ", ".join(f"{name} {100 * share / sum(shares.values()):.3g} %" for name, share in shares.items())
    how = "by its session" if found["session"] else "by chance, as it has no session"
    return f"{asked} means {told}: this one {model}, {how}"


def _route(route: dict[str, Any]) -> list[str]:
    eligible, filtered = route["eligible"], route["filtered"]
    choice = route["choice"] or ("nobody" if not eligible else "one of them, by turns or chance")
    head = f"{route['model']}, {route['endpoint']}, {route['policy']}: {len(eligible)} may take it -> {choice}"
    names = [name for name in dict.fromkeys(n for one in eligible for n in one.get("score", {})) if name not in _SHOWN]
    rows = [("BACKEND", "MAY", "IN USE", "WEIGHT", *(name.upper() for name in names))] if eligible else []
    rows += [
        (
            one["name"],
            "yes",
            f"{one['in_flight']}/{one['slots']}",
            f"{one['weight']:g}" + (f" x {one['ramp']:g}" if "ramp" in one else ""),
            *(f"{one['score'][name]:g}" if name in one.get("score", {}) else "" for name in names),
        )
        for one in eligible
    ]
    against = [("BACKEND", "WHY NOT")] if filtered else []
    against += [(one["name"], _why(one)) for one in filtered]
    return [head, *(f"  {line}" for line in [*table(rows), *table(against)])]


def _why(one: dict[str, str]) -> str:
    from balancer.routing.explain import WHYS

    detail = f" ({one['detail']})" if one.get("detail") else ""
    return f"{WHYS.get(one['why'], one['why'])}{detail}"
