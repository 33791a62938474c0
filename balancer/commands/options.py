"""The options of the daemon, by the headings under which its help shows them.

Every one is a setting of the same name in ``--config`` and in the environment; `balancer.config.Config` says what is
wrong with a value. docs/options.md has the same headings, and more words.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import click

from balancer.commands.headings import Declared, option
from balancer.commands.option_types import Seconds, Size, Structured

PATH: Final = click.Path(path_type=Path, dir_okay=False)
_SECONDS: Final = Seconds()

_COMING_IN: Final = (
    option("--host", default="127.0.0.1", metavar="ADDRESS", help="Address to listen on."),
    option("--port", default=1234, help="TCP for clients and backends, UDP for heartbeats; 0 picks a free one."),
    option("--admin-host", default="127.0.0.1", metavar="ADDRESS", help="Address of the admin port."),
    option("--admin-port", default=1230, help="Port for operators: status, metrics, drain; 0 picks a free one."),
    option("--keys", type=PATH, help="Who may ask: the file that `key add` writes."),
    option(
        "--token-file",
        type=PATH,
        help="File with the token that backends must prove.  [default: $LLM_BALANCER_TOKEN]",
    ),
    option("--tls-cert", type=PATH, help="Certificate chain in PEM: TLS on the same port."),
    option("--tls-key", type=PATH, help="The certificate's private key in PEM."),
    option(
        "--backends-from",
        multiple=True,
        metavar="CIDR",
        help="Networks in which registered backends may be, beside their agent's own address. Repeatable.",
    ),
    option(
        "--classic-from",
        multiple=True,
        metavar="CIDR",
        help="Networks from which the text protocol may be spoken, beside this machine. Repeatable.",
    ),
    option("--insecure", is_flag=True, help="Serve other machines without --keys and --token-file."),
)
_ROUTING: Final = (
    option(
        "--upstream",
        multiple=True,
        metavar="URL[;slots=N;...]",
        help="An OpenAI-compatible server that does not register; slots, weight, key-env, model, endpoints, name, "
        "label.KEY. Repeatable.",
    ),
    option(
        "--policy",
        metavar="NAME",
        help="How a backend is chosen: adaptive, least-connections, least-latency, least-tokens, power-of-two, "
        "prefix-affinity, priority, random, round-robin or session.  [default: adaptive]",
    ),
    option("-r", "--round-robin", is_flag=True, help="Each backend in turn, by weight."),
    option("-c", "--least-connections", is_flag=True, help="The backend with the fewest requests for its weight."),
    option("--default-model", metavar="NAME", help="Model of requests that name none.  [default: the only one]"),
    option("--alias", multiple=True, metavar="NAME=MODEL", help="Another name for a model. Repeatable."),
    option(
        "--models",
        type=Structured(),
        metavar="JSON",
        help="Aliases, shares and fallbacks; in the file as YAML: docs/routing.md.",
    ),
    option(
        "--prefer",
        multiple=True,
        metavar="KEY=VALUE",
        help="Backends with this label first, others if full. Repeatable.",
    ),
    option("--hedge", is_flag=True, help="Ask a second backend when a first token is later than 95 of 100 were."),
    option("--explain", is_flag=True, help="Anybody may ask why a request went where it went, not only this host."),
)
_CACHE: Final = (
    option("--cache/--no-cache", default=True, help="Answer repeated questions from the cache."),
    option("--cache-size", default=10_000, metavar="N", help="Most entries in the cache."),
    option("--cache-bytes", type=Size(), default="256 MiB", help="Most bytes in the cache."),
    option("--cache-ttl", type=_SECONDS, default=86_400, help="How long an entry holds."),
    option("--cache-timely-ttl", type=_SECONDS, default=300, help="The same for questions about today, now, ..."),
    option("--cache-per-user", is_flag=True, help="Never share entries between values of the user field."),
    option("--cache-temperature-max", default=0.3, metavar="T", help="Requests that ask for more are not cached."),
    option("--cache-file", type=PATH, help="Keep the entries, in clear text, over a restart."),
    option(
        "--cache-version",
        default="",
        show_default=False,
        metavar="TEXT",
        help="Part of every cache key: another text leaves all earlier entries behind.",
    ),
    option("--embedder/--no-embedder", default=True, help="Without: only equal questions hit, and no embeddings."),
    option("--cache-model", metavar="NAME", help="sentence-transformers model.  [default: all-MiniLM-L6-v2]"),
    option("--cache-wait-ms", type=float, default=30, metavar="MS", help="Longest wait for an embedding."),
    option(
        "--cache-wrong-share",
        default=0.02,
        metavar="SHARE",
        help="Of near answers, how many may be wrong; 0: none is served.",
    ),
    option(
        "--cache-threshold",
        default=0.95,
        metavar="COSINE",
        help="Least similarity, where --cache-model has no learned verdict.",
    ),
    option("--cache-shadow", is_flag=True, help="Decide on near answers and count them, but serve none."),
    option(
        "--cache-check-share",
        default=0.0,
        metavar="SHARE",
        help="Share of near hits (up to 0.05) also asked of a backend, to measure wrong answers.",
    ),
    option(
        "--cache-judge",
        metavar="MODEL",
        help="Model that compares the two answers of a check.  [default: their words alone]",
    ),
    option(
        "--cache-judge-error",
        metavar="FALSE_YES,FALSE_NO,LABELS",
        help="Its measured error rates: scripts/evaluate_judge.",
    ),
)
_WAITING: Final = (
    option("--queue-size", default=256, metavar="N", help="Most requests that wait for a slot."),
    option("--queue-bytes", type=Size(), default="64 MiB", help="Most bytes that wait for a slot."),
    option("--queue-timeout", type=_SECONDS, default=30, help="Longest wait for a slot."),
    option("--first-token-timeout", type=_SECONDS, default=120, help="Longest wait for a first token."),
    option("--token-timeout", type=_SECONDS, default=30, help="Longest wait between tokens."),
    option("--request-timeout", type=_SECONDS, default=600, help="Longest time for a whole request."),
    option("--write-timeout", type=_SECONDS, default=30, help="Longest time that a client may read nothing."),
    option("--head-timeout", type=_SECONDS, default=10, help="Longest time for a line or an HTTP head."),
    option("--body-timeout", type=_SECONDS, default=60, help="Longest time for an HTTP body."),
    option("--drain-timeout", type=_SECONDS, default=30, help="How long running answers may go on after SIGTERM."),
)
_LOGS: Final = (
    option("--access-log", metavar="FILE|-", help="A line for each request, to a file or stdout."),
    option("--log-json", is_flag=True, help="One JSON object a log line."),
    option(
        "--log-level",
        type=click.Choice(["debug", "info", "warning", "error"]),
        default="info",
        metavar="LEVEL",
        help="The least that is logged: debug, info, warning or error.",
    ),
)
OPTIONS: Final[dict[str, tuple[Declared, ...]]] = {
    "Listening, and who may come in": _COMING_IN,
    "Where a request goes": _ROUTING,
    "The cache": _CACHE,
    "Waiting and ending": _WAITING,
    "Logs": _LOGS,
}


def daemon_options(command: Any) -> Any:
    """Gives a command all of them."""
    for heading, declared in reversed(OPTIONS.items()):
        for each in reversed(declared):
            command = each(heading)(command)
    return command
