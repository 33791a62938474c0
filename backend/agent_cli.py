"""The command line: `python -m backend agent`, for an engine that is not ours."""

from __future__ import annotations

import functools
import os
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from backend import logs
from backend.cli import (
    CONTEXT,
    DEFAULT_BALANCER,
    TOKEN_VARIABLE,
    balancer_address,
    checked_name,
    label_pair,
    read_token,
)
from backend.errors import EngineUnavailable

if TYPE_CHECKING:
    from backend.agent import foreign

_EPILOG = f"""\b
Examples:
  llm-backend agent --engine-url http://127.0.0.1:8000                    vLLM on this machine, the balancer too
  llm-backend agent --engine-url http://127.0.0.1:11434 --slots 2         Ollama, with OLLAMA_NUM_PARALLEL=2
  llm-backend agent --engine-url http://127.0.0.1:30000 --balancer lb-1 --balancer lb-2 --token-file token

\b
The balancer dials the engine itself, at the address that this agent comes from or at --advertise: there the engine
must listen. SGLang tells its load only with --enable-metrics, llama.cpp with --metrics. Engines that ask for an API
key can't be registered: name them to the balancer with --upstream 'URL;key-env=NAME'. The token for balancers is
read from --token-file or ${TOKEN_VARIABLE}.
"""


def _api_key(context: click.Context, parameter: click.Parameter, variable: str | None) -> str:
    if variable is None:
        return ""
    key = os.environ.get(variable, "").strip()
    if not key or not key.isascii() or not key.isprintable():
        raise click.BadParameter(f"the environment has no key under {variable}")
    return key


@click.command(epilog=_EPILOG, context_settings=CONTEXT)
@click.option("--engine-url", required=True, metavar="URL", help="The engine's base URL, as seen from here.")
@click.option(
    "--balancer",
    "balancers",
    multiple=True,
    metavar="HOST:PORT",
    help=f"Balancer to register with. Repeatable. [default: {DEFAULT_BALANCER}]",
)
@click.option("--name", callback=checked_name, help="Stable name of this backend. [default: the engine's HOST:PORT]")
@click.option(
    "--slots",
    type=click.IntRange(1, 65_536),
    help="Requests at once. [default: llama.cpp's own number, 4 for Ollama, else 256]",
)
@click.option(
    "--weight", type=click.FloatRange(0, 1000, min_open=True), default=1.0, show_default=True, help="Share of the work."
)
@click.option("--label", "labels", multiple=True, metavar="KEY=VALUE", help="For the balancer's --prefer. Repeatable.")
@click.option("--model", "models", multiple=True, metavar="NAME", help="Offer only these. [default: all it lists]")
@click.option(
    "--endpoint",
    "endpoints",
    multiple=True,
    type=click.Choice(["chat", "completions", "embeddings", "responses"]),
    help="Offer only these. Repeatable. [default: chat, completions, embeddings, as far as the engine answers them]",
)
@click.option(
    "--token-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help=f"File with the token that balancers ask for. [default: ${TOKEN_VARIABLE}]",
)
@click.option("--advertise", "advertise_url", metavar="URL", help="URL that balancers shall dial.")
@click.option(
    "--poll-interval",
    type=click.FloatRange(0.2, 5.0),
    default=1.0,
    show_default=True,
    metavar="SECONDS",
    help="How often the engine is asked how it is.",
)
@click.option(
    "--key-env",
    "key",
    metavar="NAME",
    callback=_api_key,
    help="Variable with a key for the engine's health and metrics, never told to balancers.",
)
@click.option(
    "--drain-timeout",
    type=click.FloatRange(0, 3600),
    default=30.0,
    show_default=True,
    metavar="SECONDS",
    help="How long running answers may go on after SIGTERM; without metrics it is waited in full.",
)
@click.option("--log-json", is_flag=True, help="Log one JSON object a line.")
def main(
    engine_url: str,
    balancers: tuple[str, ...],
    name: str | None,
    slots: int | None,
    weight: float,
    labels: tuple[str, ...],
    models: tuple[str, ...],
    endpoints: tuple[str, ...],
    token_file: Path | None,
    advertise_url: str | None,
    poll_interval: float,
    key: str,
    drain_timeout: float,
    log_json: bool,
) -> None:
    """Register a vLLM, SGLang, llama.cpp, Ollama or other OpenAI-compatible server with balancers, and beat for it."""
    import uvloop

    from backend.agent import foreign
    from backend.agent.discovery import Wanted
    from backend.agent.fetch import engine_url as parsed

    logs.set_up(json=log_json)
    try:
        url = parsed(engine_url)
        advertised = parsed(advertise_url).geturl() if advertise_url else None
    except ValueError as error:
        raise click.UsageError(f"--engine-url and --advertise: {error}") from None
    settings = foreign.Settings(
        engine_url=url,
        balancers=tuple(map(balancer_address, balancers or (DEFAULT_BALANCER,))),
        token=read_token(token_file),
        key=key,
        name=name,
        advertise_url=advertised,
        weight=weight,
        labels=dict(label_pair(label) for label in labels),
        wanted=Wanted(models, endpoints, slots),
        poll_interval_s=poll_interval,
        drain_timeout_s=drain_timeout,
    )
    try:
        uvloop.run(foreign.run(settings, functools.partial(_tell_ready, log_json)))
    except EngineUnavailable as error:
        raise click.ClickException(error.message) from None


def _tell_ready(as_json: bool, ready: foreign.Ready) -> None:
    line = f"agent {ready.name} ready for {ready.engine} at {ready.url} with {', '.join(ready.models)}"
    if as_json:
        fields = {"ready": True, "name": ready.name, "engine": ready.engine, "url": ready.url, "models": ready.models}
        line = msgspec.json.encode(fields).decode()
    click.echo(line)
