"""The program ``llm-client``: options, and which of its two ways to go."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any

import click

from balancer.wire.limits import LINE_MAX_BYTES
from balancer.wire.native import CACHE_CONTROLS
from client.address import parse_address
from client.chat import Chat
from client.oneshot import INTERRUPTED, Options, ask_once, read_prompt
from client.terminal import Terminal, with_line_editing
from client.version import version_option

EPILOG = """\b
Examples:
  llm-client                                  chat with 127.0.0.1:1234
  llm-client 192.0.2.7:1234 --model llama     chat with another balancer
  llm-client -p "Once upon a time"            one answer, then exit
  echo "Once upon a time" | llm-client        the same from a pipe
  llm-client -p "Hi" --json | jq .cache       the answer as one JSON object
\b
Exit codes:
  0    answered, or left the chat
  1    the balancer answered with an error
  2    wrong usage
  3    could not connect, or the connection was lost
  130  interrupted with Ctrl-C
"""


@click.command(
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=EPILOG,
)
@click.argument("host", default="127.0.0.1")
@click.argument("port", required=False, type=click.IntRange(1, 65535))
@click.option("-p", "--prompt", metavar="TEXT", help="Ask this, print the answer and exit; -: standard input.")
@click.option(
    "--chat", "force_chat", is_flag=True, help="Chat even if standard input is no terminal: a line, a question."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object: text, done fields, timing.")
@click.option("-m", "--model", metavar="NAME", help="Ask this model instead of the balancer's default.")
@click.option("--max-tokens", type=click.IntRange(1), metavar="N", help="Stop after so many tokens.")
@click.option("--temperature", type=click.FloatRange(0, 2), metavar="T", help="0 is the same answer every time.")
@click.option("--seed", type=int, metavar="N", help="The same seed gives the same answer again.")
@click.option(
    "--cache",
    type=click.Choice(sorted(CACHE_CONTROLS)),
    help="What the balancer's cache may do: answer, and store new answers (default); neither (bypass); answer, or it"
    " is an error (only); store a new answer (refresh).",
)
@click.option("--no-cache", is_flag=True, help="The same as --cache bypass.")
@click.option(
    "--key-env",
    metavar="NAME",
    default="LLM_BALANCER_KEY",
    show_default=True,
    help="Environment variable with the key.",
)
@click.option(
    "--connect-timeout",
    type=click.FloatRange(0.1),
    default=5.0,
    show_default=True,
    metavar="SECONDS",
    help="To wait for the balancer.",
)
@click.option("-v", "--verbose", is_flag=True, help="With -p: backend, cache and speed on standard error.")
@version_option("llm-client")
def main(
    host: str,
    port: int | None,
    prompt: str | None,
    force_chat: bool,
    as_json: bool,
    cache: str | None,
    no_cache: bool,
    key_env: str,
    connect_timeout: float,
    verbose: bool,
    **fields: Any,
) -> None:
    """Ask the models behind the balancer at HOST PORT (or HOST:PORT): a chat at a terminal, one answer in a pipe."""
    if no_cache and cache not in (None, "bypass"):
        raise click.UsageError("--no-cache and --cache say different things")
    if force_chat and (prompt is not None or as_json):
        raise click.UsageError("--chat goes with neither --prompt nor --json")
    try:
        host, port = parse_address(host, port)
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    options = Options(
        host=host,
        port=port,
        key=os.environ.get(key_env) or None,
        cache="bypass" if no_cache else cache,
        connect_timeout_s=connect_timeout,
        fields=fields,
    )
    out = Terminal(sys.stdout, environment=os.environ)
    try:
        if force_chat or (prompt is None and not as_json and sys.stdin.isatty()):
            sys.exit(Chat(options, out, _reader(out)).run())
        sys.exit(_once(prompt, options, out, as_json=as_json, verbose=verbose))
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


def _once(prompt: str | None, options: Options, out: Terminal, *, as_json: bool, verbose: bool) -> int:
    if prompt is None or prompt == "-":
        try:
            prompt = read_prompt(sys.stdin, LINE_MAX_BYTES)
        except (ValueError, OSError) as error:
            raise click.UsageError(str(error)) from None
    if not prompt.strip():
        raise click.UsageError("the prompt is empty")
    err = Terminal(sys.stderr, environment=os.environ)
    try:
        return ask_once(prompt, options, out=out, err=err, as_json=as_json, verbose=verbose)
    except BrokenPipeError:
        # Whoever read our output has enough, as with `| head`; leaving the loop has cancelled the request.
        sys.stdout = open(os.devnull, "w")  # noqa: PTH123, SIM115 - the exit's own flush must not fail again
        return 0


def _reader(out: Terminal) -> Callable[[str], str]:
    """`input` at a terminal; in a pipe the same without a prompt."""
    if sys.stdin.isatty() and out.is_tty:
        with_line_editing()
        return input
    return lambda _prompt: input()
