"""The command line: `python -m backend PORT`."""

from __future__ import annotations

import errno
import functools
import os
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
import msgspec

from backend import logs
from backend.engines.catalog import STORYTELLER, make_engine
from backend.errors import EngineUnavailable
from balancer.wire.control import Name

if TYPE_CHECKING:
    from backend import app  # what it needs is an extra: `--help` works without

TOKEN_VARIABLE: Final = "LLM_BALANCER_TOKEN"
DEFAULT_BALANCER: Final = "127.0.0.1:1234"
CONTEXT: Final[dict[str, Any]] = {"help_option_names": ["-h", "--help"], "max_content_width": 100}

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


def balancer_address(value: str) -> tuple[str, int]:
    """HOST[:PORT] as a pair."""
    host, colon, port = value.rpartition(":")
    if not colon or value.endswith("]"):
        host, port = value, "1234"
    if not host or not port.isdigit() or not 0 < int(port) < 65536:
        raise click.BadParameter(f"{value!r} is not HOST:PORT", param_hint="--balancer")
    return host.strip("[]"), int(port)


def label_pair(value: str) -> tuple[str, str]:
    """KEY=VALUE as a pair."""
    key, equals, text = value.partition("=")
    if not equals or not key or max(len(key), len(text)) > 64:
        raise click.BadParameter(f"{value!r} is not KEY=VALUE, each up to 64 characters", param_hint="--label")
    return key, text


def checked_name(context: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    """A name that can be registered."""
    try:
        return value if value is None else msgspec.convert(value, Name)
    except msgspec.ValidationError:
        raise click.BadParameter("letters, digits and . _ : - only, at most 128, a letter or digit first") from None


def read_token(path: Path | None) -> bytes:
    """From the file, else from the environment; empty for none."""
    text = os.environ.get(TOKEN_VARIABLE, "") if path is None else path.read_text("utf-8")
    if path is not None and not text.strip():
        raise click.BadParameter(f"{path} is empty", param_hint="--token-file")
    return text.strip().encode()


def _version() -> str:
    try:
        return version("llm-balancer")
    except PackageNotFoundError:
        return ""


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
@click.option("--name", callback=checked_name, help="Stable name of this backend. [default: HOST:PORT]")
@click.option(
    "--weight", type=click.FloatRange(0, 1000, min_open=True), default=1.0, show_default=True, help="Share of the work."
)
@click.option("--label", "labels", multiple=True, metavar="KEY=VALUE", help="For the balancer's --prefer. Repeatable.")
@click.option(
    "--balancer",
    "balancers",
    multiple=True,
    metavar="HOST:PORT",
    help=f"Balancer to register with. Repeatable. [default: {DEFAULT_BALANCER}]",
)
@click.option("--no-balancer", is_flag=True, help="Register nowhere; only serve.")
@click.option(
    "--token-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help=f"File with the token that balancers ask for. [default: ${TOKEN_VARIABLE}]",
)
@click.option("--advertise-url", help="URL that balancers shall dial. [default: where this listens]")
@click.option(
    "--drain-timeout",
    type=click.FloatRange(0, 3600),
    default=30.0,
    show_default=True,
    metavar="SECONDS",
    help="How long running answers may go on after SIGTERM.",
)
@click.option("--log-json", is_flag=True, help="Log one JSON object a line.")
@click.option("--echo-delay-ms", type=click.FloatRange(0, 60_000), default=0.0, help="echo: pause before every token.")
def main(
    port: int,
    host: str,
    model: str,
    slots: int,
    device: str,
    threads: int | None,
    name: str | None,
    weight: float,
    labels: tuple[str, ...],
    balancers: tuple[str, ...],
    no_balancer: bool,
    token_file: Path | None,
    advertise_url: str | None,
    drain_timeout: float,
    log_json: bool,
    echo_delay_ms: float,
) -> None:
    """Serve a model in the OpenAI dialect on PORT (0: any free one) and register with a balancer."""
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
        version=_version(),
        labels=dict(label_pair(label) for label in labels),
        balancers=() if no_balancer else tuple(map(balancer_address, balancers or (DEFAULT_BALANCER,))),
        token=read_token(token_file),
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
    line = f"backend {ready.name} ready on {ready.url} with model {ready.model}"
    if as_json:
        fields = {"ready": True, "name": ready.name, "url": ready.url, "port": ready.port, "model": ready.model}
        line = msgspec.json.encode(fields).decode()
    click.echo(line)
