"""``llm-balancer cache``: what the cache would do, and what may be done to it."""

from __future__ import annotations

import logging

import click

from balancer.commands.admin_client import json_option, tell
from balancer.commands.cache_operations import COMMANDS

_SHARE = click.FloatRange(0, 1)


@click.group()
def cache() -> None:
    """What the cache of answers does, and why."""


@cache.command("explain")
@click.argument("a")
@click.argument("b")
@click.option("--wrong-share", type=_SHARE, help="As --cache-wrong-share.  [default: by the settings, 0.02]")
@json_option
@click.pass_context
def explain_command(context: click.Context, a: str, b: str, wrong_share: float | None, as_json: bool) -> None:
    """Tell whether the answer stored for B would serve A, and why.

    Asks no daemon, but decides as one of the same settings (--cache-model, --cache-threshold): it loads the embedding
    model itself, which takes some seconds. Only requests of one tenant, model, system prompt and history are compared
    at all.
    """
    settings = context.find_root().params
    try:
        from balancer.adapters.embedder.model import EmbedderUnavailable, EmbeddingModel
        from balancer.commands.cache_explain import as_text, explain, read_pair
        from balancer.verdict_file import VERDICT, learned_verdict
    except ImportError as error:
        raise click.ClickException(f"{error.name} is missing: pip install '.[cache]' in a checkout") from None
    for text in (a, b):
        if not text or text.isspace():
            raise click.UsageError("a blank question is only ever answered by the exact tier")
    logging.basicConfig(format="%(levelname)s: %(message)s")
    verdict = learned_verdict(VERDICT, settings["cache_wrong_share"] if wrong_share is None else wrong_share)
    try:
        model = EmbeddingModel(settings["cache_model"])
    except (EmbedderUnavailable, OSError, ValueError) as error:  # the library's own, for what is no such model
        raise click.ClickException(f"no embedding model: {error}") from None
    if verdict is not None and verdict.embedder_id != model.id:
        verdict = None
    found = explain(a, b, read_pair(a, b, model, verdict), verdict, settings["cache_threshold"])
    tell(found, as_text, as_json)


for _command in COMMANDS:
    cache.add_command(_command)
