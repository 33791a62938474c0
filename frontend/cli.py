"""The program ``llm-frontend``."""

from __future__ import annotations

import errno
import logging
import os
from typing import Final

import click

from client.address import parse_address
from client.version import version_option

log = logging.getLogger(__name__)

EPILOG: Final = """\b
Examples:
  llm-frontend                                      http://127.0.0.1:8000, balancer on 127.0.0.1:1234
  llm-frontend --balancer 192.0.2.7:1234            another balancer
  llm-frontend --host 0.0.0.0 --origin https://chat.example.org
                                                    behind a proxy that serves that name
"""

_EXTRA: Final = frozenset({"uvicorn", "starlette", "websockets", "h11", "anyio"})


class _Address(click.ParamType[tuple[str, int]]):
    name = "HOST:PORT"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, int]:
        try:
            return parse_address(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}, epilog=EPILOG)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=8000, show_default=True, type=click.IntRange(0, 65535), help="0 takes a free one.")
@click.option("--balancer", type=_Address(), default="127.0.0.1:1234", show_default=True, help="Where to ask.")
@click.option(
    "--origin", "origins", multiple=True, metavar="URL", help="Another origin whose page may connect. Repeatable."
)
@click.option(
    "--key-env",
    metavar="NAME",
    default="LLM_BALANCER_KEY",
    show_default=True,
    help="Environment variable with the key.",
)
@click.option("--max-browsers", default=200, show_default=True, type=click.IntRange(1), help="Browsers at once.")
@click.option(
    "--max-message-kib",
    default=512,
    show_default=True,
    type=click.IntRange(1, 900),
    metavar="KIB",
    help="One question with the turns before it.",
)
@click.option(
    "--idle-minutes",
    default=30.0,
    show_default=True,
    type=click.FloatRange(0.01),
    metavar="MINUTES",
    help="How long a browser may be quiet before it is let go.",
)
@version_option("llm-frontend")
def main(
    host: str,
    port: int,
    balancer: tuple[str, int],
    origins: tuple[str, ...],
    key_env: str,
    max_browsers: int,
    max_message_kib: int,
    idle_minutes: float,
) -> None:
    """Serve a page to talk to the models behind the balancer."""
    try:
        from frontend.app import Balancer, make_app
        from frontend.limits import Limits
        from frontend.origins import normalised
        from frontend.server import listen, make_server
    except ImportError as error:
        if (error.name or "").partition(".")[0] not in _EXTRA:
            raise
        raise click.ClickException(f"{error.name} is not installed: pip install '.[web]' in a checkout") from None
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    limits = Limits(browsers_max=max_browsers, message_max_bytes=max_message_kib << 10, idle_max_s=idle_minutes * 60)
    app = make_app(
        Balancer(*balancer, key=os.environ.get(key_env) or None),
        origins=[normalised(origin) for origin in origins],
        limits=limits,
    )
    try:
        listening = listen(host, port)
    except OSError as error:
        taken = error.errno == errno.EADDRINUSE
        why = "it is taken; choose another with --port" if taken else error.strerror or error
        raise click.ClickException(f"cannot listen on {host}:{port}: {why}") from None
    if host not in ("127.0.0.1", "::1", "localhost"):
        log.warning("whoever reaches %s:%d may ask: the page has no accounts", host, port)
    own = _shown(host, listening.getsockname()[1])
    make_server(app, limits, lambda: click.echo(f"ready: http://{own} (balancer {_shown(*balancer)})")).run([listening])


def _shown(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
