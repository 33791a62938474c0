"""The command line: `python -m backend PORT`."""

from __future__ import annotations

import errno
import functools
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from backend import logs
from backend.engines.catalog import STORYTELLER, make_engine
from backend.errors import EngineUnavailable
from backend.options import CONTEXT, DEFAULT_BALANCERS, installed_version, member_options

if TYPE_CHECKING:
    from backend import app  # what it needs is an extra: `--help` works without

_EPILOG = """\b
Examples:
  python -m backend 1235                            the built-in model, registered with 127.0.0.1:1234
  python -m backend 1236 --model gpt2 --slots 8     any Hugging Face causal language model
  python -m backend 0 --model echo                  no model at all, on any free port
  python -m backend 8000 --host 0.0.0.0 --balancer lb-1:1234 --balancer lb-2:1234 --token-file token

\b
In front of an engine that is not ours (vLLM, SGLang, llama.cpp, Ollama):
  python -m backend agent --engine-url http://127.0.0.1:8000        more with: python -m backend agent --help
"""


@click.command(epilog=_EPILOG, context_settings=CONTEXT)
@click.argument("port", type=click.IntRange(0, 65535), default=1235)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--model", default=STORYTELLER, show_default=True, help="storyteller, echo, a Hugging Face name, a path.")
@click.option("--slots", type=click.IntRange(1, 1024), default=4, show_default=True, help="Requests at once.")
@click.option(
    "--device",
    type=click.Choice(["auto", "cpu", "cuda", "mps"]),
    default="auto",
    show_default=True,
    help="Where the engine computes.",
)
@click.option("--threads", type=click.IntRange(1, 1024), help="CPU threads of the engine. [default: half of the cores]")
@click.option("--echo-delay-ms", type=click.FloatRange(0, 60_000), default=0.0, help="echo: pause before every token.")
@click.option("--no-balancer", is_flag=True, help="Register nowhere; only serve.")
@member_options(name_default="HOST:PORT", drain="How long running answers may go on after SIGTERM.")
def main(
    port: int,
    host: str,
    model: str,
    slots: int,
    device: str,
    threads: int | None,
    echo_delay_ms: float,
    no_balancer: bool,
    balancers: tuple[tuple[str, int], ...],
    token: bytes,
    advertise_url: str | None,
    name: str | None,
    weight: float,
    labels: dict[str, str],
    drain_timeout: float,
    log_json: bool,
) -> None:
    """Serve a model in the OpenAI dialect on PORT (1235; 0: any free one) and register with a balancer."""
    import uvloop

    from backend import app

    logs.set_up(json=log_json)
    if no_balancer and balancers:
        raise click.UsageError("--balancer and --no-balancer exclude each other")
    settings = app.Settings(
        host=host,
        port=port,
        slots=slots,
        name=name,
        weight=weight,
        version=installed_version(),
        labels=labels,
        balancers=() if no_balancer else balancers or DEFAULT_BALANCERS,
        token=token,
        advertise_url=advertise_url,
        drain_timeout_s=drain_timeout,
    )
    try:
        engine = make_engine(model, slots=slots, device=device, threads=threads, echo_delay_ms=echo_delay_ms)
        uvloop.run(app.run(settings, engine, functools.partial(_tell_ready, log_json)))
    except EngineUnavailable as error:
        raise click.ClickException(error.message) from None
    except OSError as error:
        taken = error.errno == errno.EADDRINUSE
        why = "it is taken; choose another PORT" if taken else error.strerror or error
        raise click.ClickException(f"can't listen on {host}:{port}: {why}") from None


def _tell_ready(as_json: bool, ready: app.Ready) -> None:
    text = f"backend {ready.name} ready on {ready.url} with model {ready.model}"
    click.echo(logs.ready_line(text, asdict(ready), json=as_json))
