"""Options of every member of a pool, be it a backend of ours or the agent of a foreign engine; how they are read."""

from __future__ import annotations

import os
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final, TypeVar

import click
import msgspec

from balancer.wire.control import Name

F = TypeVar("F", bound=Callable[..., Any])

TOKEN_VARIABLE: Final = "LLM_BALANCER_TOKEN"
BALANCER_PORT: Final = 1234
DEFAULT_BALANCERS: Final = (("127.0.0.1", BALANCER_PORT),)
CONTEXT: Final[dict[str, Any]] = {"help_option_names": ["-h", "--help"], "max_content_width": 100}
LABEL_MAX_CHARS: Final = 64


def installed_version() -> str:
    """The installed version; ``unknown`` in a source tree that was not installed."""
    try:
        return version("llm-balancer")
    except PackageNotFoundError:
        return "unknown"


def member_options(*, name_default: str, drain: str) -> Callable[[F], F]:
    """The options that follow a program's own, in this order.

    The command gets ``balancers`` (pairs, empty where none is named), ``token`` (empty for none), ``advertise_url``,
    ``name``, ``weight``, ``labels`` (a dict), ``drain_timeout`` (seconds) and ``log_json``.
    """
    options = [
        click.option(
            "--balancer",
            "balancers",
            type=_Balancer(),
            multiple=True,
            help=f"Balancer to register with. Repeatable. [default: 127.0.0.1:{BALANCER_PORT}]",
        ),
        click.option(
            "--token-file",
            "token",
            type=click.Path(exists=True, dir_okay=False, path_type=Path),
            callback=_token,
            help=f"File with the token that balancers ask for. [default: ${TOKEN_VARIABLE}]",
        ),
        click.option(
            "--advertise-url",
            metavar="URL",
            callback=_url,
            help="URL that balancers shall dial. [default: where the engine listens]",
        ),
        click.option("--name", callback=_name, help=f"Stable name of this backend. [default: {name_default}]"),
        click.option(
            "--weight",
            type=click.FloatRange(0, 1000, min_open=True),
            default=1.0,
            show_default=True,
            help="Share of the work.",
        ),
        click.option(
            "--label",
            "labels",
            metavar="KEY=VALUE",
            multiple=True,
            callback=_labels,
            help="For the balancer's --prefer. Repeatable.",
        ),
        click.option(
            "--drain-timeout",
            type=click.FloatRange(0, 3600),
            default=30.0,
            show_default=True,
            metavar="SECONDS",
            help=drain,
        ),
        click.option("--log-json", is_flag=True, help="Log, and say ready, in one JSON object a line."),
        click.version_option(installed_version(), prog_name="llm-backend"),
    ]

    def add(command: F) -> F:
        for option in reversed(options):
            command = option(command)
        return command

    return add


class _Balancer(click.ParamType[tuple[str, int]]):
    name = "HOST:PORT"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, int]:
        text = str(value)
        host, colon, port = text.rpartition(":")
        if not colon or text.endswith("]") or (":" in host and not host.startswith("[")):
            host, port = text, str(BALANCER_PORT)  # a name, or an IPv6 address, alone
        if not host or not port.isdecimal() or not 0 < int(port) < 65536:
            self.fail(f"{text!r} is not HOST:PORT", param, ctx)
        return host.strip("[]"), int(port)


def _labels(context: click.Context, parameter: click.Parameter, pairs: tuple[str, ...]) -> dict[str, str]:
    labels = {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        if not equals or not key or max(len(key), len(text)) > LABEL_MAX_CHARS:
            raise click.BadParameter(f"{pair!r} is not KEY=VALUE, each up to {LABEL_MAX_CHARS} characters")
        labels[key] = text
    return labels


def _name(context: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    """A name that can be registered."""
    try:
        return value if value is None else msgspec.convert(value, Name)
    except msgspec.ValidationError:
        raise click.BadParameter("letters, digits and . _ : - only, at most 128, a letter or digit first") from None


def _token(context: click.Context, parameter: click.Parameter, path: Path | None) -> bytes:
    """From the file, else from the environment; empty for none."""
    if path is None:
        return os.fsencode(os.environ.get(TOKEN_VARIABLE, "")).strip()
    token = path.read_bytes().strip()
    if not token:
        raise click.BadParameter(f"{path} is empty")
    return token


def _url(context: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    if value is None:
        return None
    from backend.agent.fetch import engine_url  # what it needs is an extra: `--help` works without

    try:
        return engine_url(value).geturl()
    except ValueError as error:
        raise click.BadParameter(str(error)) from None
