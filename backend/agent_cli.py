"""The command line: `python -m backend agent`, for an engine that is not ours."""

from __future__ import annotations

import functools
import os
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from backend import logs
from backend.errors import EngineUnavailable
from backend.options import CONTEXT, DEFAULT_BALANCERS, TOKEN_VARIABLE, member_options

if TYPE_CHECKING:
    from backend.agent import foreign

_EPILOG = f"""\b
Examples:
  llm-backend agent --engine-url http://127.0.0.1:8000                    vLLM on this machine, the balancer too
  llm-backend agent --engine-url http://127.0.0.1:11434 --slots 2         Ollama, with OLLAMA_NUM_PARALLEL=2
  llm-backend agent --engine-url http://127.0.0.1:30000 --balancer lb-1 --balancer lb-2 --token-file token

\b
The balancer dials the engine itself, at the address that this agent comes from or at --advertise-url: there the
engine must listen. SGLang tells its load only with --enable-metrics, llama.cpp with --metrics. Engines that ask for
an API key can't be registered: name them to the balancer with --upstream 'URL;key-env=NAME'. The token for balancers
is read from --token-file or ${TOKEN_VARIABLE}.
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
    "--model", "models", multiple=True, metavar="NAME", help="Offer only these. Repeatable. [default: all it lists]"
)
@click.option(
    "--endpoint",
    "endpoints",
    multiple=True,
    type=click.Choice(["chat", "completions", "embeddings", "responses"]),
    help="Offer only these. Repeatable. [default: chat, completions, embeddings, as far as the engine answers them]",
)
@click.option(
    "--slots",
    type=click.IntRange(1, 65_536),
    help="Requests at once. [default: llama.cpp's own number, 4 for Ollama, else 256]",
)
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
@member_options(
    name_default="the engine's HOST:PORT",
    drain="How long running answers may go on after SIGTERM; without metrics it is waited in full.",
)
def main(
    engine_url: str,
    models: tuple[str, ...],
    endpoints: tuple[str, ...],
    slots: int | None,
    poll_interval: float,
    key: str,
    balancers: tuple[tuple[str, int], ...],
    token: bytes,
    advertise_url: str | None,
    name: str | None,
    weight: float,
    labels: dict[str, str],
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
    except ValueError as error:
        raise click.UsageError(f"--engine-url: {error}") from None
    settings = foreign.Settings(
        engine_url=url,
        balancers=balancers or DEFAULT_BALANCERS,
        token=token,
        key=key,
        name=name,
        advertise_url=advertise_url,
        weight=weight,
        labels=labels,
        wanted=Wanted(models, endpoints, slots),
        poll_interval_s=poll_interval,
        drain_timeout_s=drain_timeout,
    )
    try:
        uvloop.run(foreign.run(settings, functools.partial(_tell_ready, log_json)))
    except EngineUnavailable as error:
        raise click.ClickException(error.message) from None


def _tell_ready(as_json: bool, ready: foreign.Ready) -> None:
    text = f"agent {ready.name} ready for {ready.engine} at {ready.url} with {', '.join(ready.models)}"
    click.echo(logs.ready_line(text, asdict(ready), json=as_json))
