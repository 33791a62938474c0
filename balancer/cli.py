"""The command line: ``llm-balancer`` runs the daemon; ``status``, ``drain`` and ``purge`` talk to a running one."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from balancer.commands.admin_client import admin_option
from balancer.commands.backends import backends
from balancer.commands.cache import cache
from balancer.commands.explain import explain
from balancer.commands.keys import key
from balancer.commands.model_options import Structured, model_options, read_model_options
from balancer.errors import ConfigError
from balancer.sources import name_origin, option_name, unread_variables, variables, with_origin
from balancer.version import told_version

EXAMPLES = """
\b
Examples:
  llm-balancer                                 listen on 127.0.0.1:1234 for clients and backends
  llm-balancer -r --no-cache                   round robin, every request to a backend
  llm-balancer --upstream http://10.0.0.7:8000 put a vLLM, Ollama or llama.cpp server behind it
  llm-balancer --config balancer.yaml --check-config
  llm-balancer status                          what a running daemon does
  llm-balancer drain gpu-1                     send no new requests to a backend
  llm-balancer reload                          read settings, keys and certificate again
  llm-balancer --keys keys.jsonl key add alice make a key for a client

\b
Every option can also be set in the file (port: 1234) or in the environment
(LLM_BALANCER_PORT=1234). A flag wins over the environment, that over the file.
"""


def _load_file(context: click.Context, parameter: click.Parameter, value: Path | None) -> Path | None:
    if value is not None:
        from balancer.config import read_file

        unset = {"config", "check_config", "help", "version"}
        known = {p.name: p for p in context.command.params if p.name and p.name not in unset}
        try:
            found = read_file(value, known)
            values = {name: _of_file(known[name], given) for name, given in found.items() if given is not None}
        except ConfigError as error:
            raise click.UsageError(str(error) if str(value) in str(error) else f"{value}: {error}") from None
        context.default_map = values
    return value


def _of_file(parameter: click.Parameter, given: Any) -> Any:
    """A value of the file as its option takes it: one value also where there may be several, never several for one."""
    if parameter.multiple:
        return given if isinstance(given, list) else [given]
    if isinstance(given, dict) and isinstance(parameter.type, Structured):
        return given
    if isinstance(given, list | dict):
        raise ConfigError(f"{option_name(parameter.name or '')}: expected one value, not {given!r}")
    return given


_SECONDS = click.FloatRange(min=0)
_SECONDS.name = "seconds"
_PATH = click.Path(path_type=Path, dir_okay=False)

_ARGUMENTS = "balancer.arguments"


class _Main(click.Group):
    """Keeps the command line as it was given, to be read again; its errors say where a wrong value stands."""

    def parse_args(self, context: click.Context, arguments: list[str]) -> list[str]:
        context.meta[_ARGUMENTS] = list(arguments)
        try:
            return super().parse_args(context, arguments)
        except click.BadParameter as error:
            name_origin(error)
            raise


@click.group(
    cls=_Main,
    invoke_without_command=True,
    epilog=EXAMPLES,
    context_settings={
        "auto_envvar_prefix": "LLM_BALANCER",
        "help_option_names": ["-h", "--help"],
        "max_content_width": 110,
        "show_default": True,
    },
)
@click.option("--config", type=_PATH, callback=_load_file, is_eager=True, help="Read settings from a YAML file.")
@click.option("--check-config", is_flag=True, help="Check all settings, say so, and exit.")
@click.option("--host", default="127.0.0.1", help="Address to listen on.")
@click.option("--port", default=1234, help="TCP for clients and backends, UDP for heartbeats; 0 picks a free one.")
@click.option("--admin-host", default="127.0.0.1", help="Address of the admin port.")
@click.option("--admin-port", default=1230, help="Port for operators: status, metrics, drain; 0 picks a free one.")
@click.option("-r", "--round-robin", is_flag=True, help="Each backend in turn, by weight.")
@click.option("-c", "--least-connections", is_flag=True, help="The backend with the fewest requests for its weight.")
@click.option("--policy", default=None, help="How a backend is chosen: docs/routing.md.  [default: adaptive]")
@click.option(
    "--upstream",
    multiple=True,
    metavar="URL[;slots=N;...]",
    help="An OpenAI-compatible server that does not register; "
    "slots, weight, key-env, model, endpoints, name, label.KEY.",
)
@click.option("--default-model", default=None, help="Model of requests that name none.  [default: the only one]")
@model_options
@click.option("--token-file", type=_PATH, default=None, help="What backends must prove (or LLM_BALANCER_TOKEN).")
@click.option("--keys", type=_PATH, default=None, help="Who may ask: the file that `key add` writes.")
@click.option("--tls-cert", type=_PATH, default=None, help="Certificate chain in PEM: TLS on the same port.")
@click.option("--tls-key", type=_PATH, default=None, help="The certificate's private key in PEM.")
@click.option("--backends-from", multiple=True, metavar="CIDR", help="Where else than at their agent backends may be.")
@click.option("--classic-from", multiple=True, metavar="CIDR", help="Who may use the text protocol from elsewhere.")
@click.option("--insecure", is_flag=True, help="Serve other machines without --keys and --token-file.")
@click.option("--cache/--no-cache", default=True, help="Answer repeated questions from the cache.")
@click.option("--cache-size", default=10_000, help="Most entries in the cache.")
@click.option("--cache-bytes", default=256 << 20, help="Most bytes in the cache.")
@click.option("--cache-wrong-share", default=0.02, help="Share of near answers that may be wrong; 0: none served.")
@click.option(
    "--cache-check-share", default=0.0, help="Of the near hits, how many are checked with a backend; <= 0.05."
)
@click.option(
    "--cache-judge", metavar="MODEL", default=None, help="Compares the answers.  [default: their words alone]"
)
@click.option("--cache-judge-error", metavar="YES,NO,N", default=None, help="How often the judge errs: docs/cache.md.")
@click.option("--cache-shadow", is_flag=True, help="Decide on near answers and count them, but serve none.")
@click.option("--cache-threshold", default=0.95, help="Least cosine, where --cache-model has no learned verdict.")
@click.option("--cache-ttl", type=_SECONDS, default=86_400.0, help="How long an entry holds.")
@click.option("--cache-timely-ttl", type=_SECONDS, default=300.0, help="The same for questions about today, now, ...")
@click.option("--cache-file", type=_PATH, default=None, help="Keep the entries, in clear text, over a restart.")
@click.option("--cache-version", default="", help="Change it with prompts or models: finds no earlier entries.")
@click.option("--cache-wait-ms", type=click.FloatRange(0), default=30.0, help="Longest wait for an embedding.")
@click.option("--embedder/--no-embedder", default=True, help="Without: only equal questions hit, and no embeddings.")
@click.option("--cache-model", default=None, help="sentence-transformers model.  [default: all-MiniLM-L6-v2]")
@click.option("--cache-temperature-max", default=0.3, help="Requests that ask for more are not cached.")
@click.option("--cache-per-user", is_flag=True, help="Never share entries between values of the user field.")
@click.option("--queue-size", default=256, help="Most requests that wait for a slot.")
@click.option("--queue-bytes", default=64 << 20, help="Most bytes that wait for a slot.")
@click.option("--queue-timeout", type=_SECONDS, default=30.0, help="Longest wait for a slot.")
@click.option("--first-token-timeout", type=_SECONDS, default=120.0, help="Longest wait for a first token.")
@click.option("--token-timeout", type=_SECONDS, default=30.0, help="Longest wait between tokens.")
@click.option("--request-timeout", type=_SECONDS, default=600.0, help="Longest time for a whole request.")
@click.option("--write-timeout", type=_SECONDS, default=30.0, help="Longest time that a client may read nothing.")
@click.option("--head-timeout", type=_SECONDS, default=10.0, help="Longest time for a line or an HTTP head.")
@click.option("--body-timeout", type=_SECONDS, default=60.0, help="Longest time for an HTTP body.")
@click.option("--drain-timeout", type=_SECONDS, default=30.0, help="At the end: how long streams may finish.")
@click.option("--access-log", metavar="FILE|-", default=None, help="A line for each request, to a file or stdout.")
@click.option("--log-json", is_flag=True, help="One JSON object a log line.")
@click.option("--log-level", type=click.Choice(["debug", "info", "warning", "error"]), default="info")
@click.version_option(version=told_version(), prog_name="llm-balancer")
@click.pass_context
def main(context: click.Context, /, check_config: bool, **options: Any) -> None:
    """A load balancer that knows LLM traffic.

    Backends register on the port (or are named with --upstream), clients ask on the same port: JSON lines,
    plain text, HTTP. Who is alive is known within three heartbeats.
    """
    if context.invoked_subcommand is not None:
        return
    try:
        from balancer.daemon import run
    except ImportError as error:
        raise click.ClickException(f"{error.name} is missing: pip install '.[balancer]' in a checkout") from None
    try:
        config = _config(context, options)
    except ConfigError as error:
        raise click.UsageError(with_origin(context, str(error))) from None
    remarks = [*unread_variables(os.environ, variables(main)), *config.remarks()]
    if check_config:
        for remark in remarks:
            click.echo(f"warning: {remark}", err=True)
        click.echo("the settings are fine")
        return
    context.exit(run(config, _reread(context.meta[_ARGUMENTS]), remarks))


def _reread(arguments: list[str]) -> Callable[[], Any]:
    """What reads all settings again as they were read at the start: the same flags over what stands elsewhere now."""

    def reread() -> Any:
        try:
            with main.make_context("llm-balancer", list(arguments)) as context:
                options = dict(context.params)
                del options["check_config"]
                try:
                    return _config(context, options)
                except ConfigError as error:
                    raise ConfigError(with_origin(context, str(error))) from None
        except click.ClickException as error:
            raise ConfigError(error.format_message()) from None

    return reread


_PRECEDENCE = (ParameterSource.COMMANDLINE, ParameterSource.ENVIRONMENT, ParameterSource.DEFAULT_MAP)


def _policy(context: click.Context, options: dict[str, Any]) -> str:
    """The policy that the options name: all three ways of naming one are one setting, so a flag of one kind wins over
    another kind in the file."""
    named = {
        name: name.replace("_", "-") if name != "policy" else options["policy"]
        for name in ("round_robin", "least_connections", "policy")
        if options[name]
    }
    for source in _PRECEDENCE:
        chosen = {policy for name, policy in named.items() if context.get_parameter_source(name) is source}
        if len(chosen) > 1:
            raise ConfigError(f"policy: one at a time, not {' and '.join(sorted(chosen))}")
        if chosen:
            return chosen.pop()
    return "adaptive"


def _config(context: click.Context, options: dict[str, Any]) -> Any:
    """The flags as a checked `balancer.config.Config`."""
    from balancer.config import (
        Config,
        check_access_log,
        parse_networks,
        read_certificate,
        read_token,
        read_upstreams,
    )
    from balancer.keyfile import read_keys
    from balancer.routing.policies import POLICIES

    options.pop("config")
    token = read_token(options.pop("token_file"), os.environ)
    keys = read_keys(path) if (path := options.pop("keys")) is not None else None
    tls = read_certificate(options.pop("tls_cert"), options.pop("tls_key"))
    options["upstream"] = read_upstreams(options["upstream"], os.environ)
    read_model_options(options)
    check_access_log(options["access_log"])
    policy = _policy(context, options)
    for name in ("round_robin", "least_connections", "policy"):
        del options[name]
    if policy not in POLICIES:
        raise ConfigError(f"policy: there is no {policy!r}; known are {', '.join(sorted(POLICIES))}")
    seconds = [name for name in options if name.endswith(("_timeout", "_ttl"))]
    options |= {f"{name}_s": options.pop(name) for name in seconds}
    for name in ("backends_from", "classic_from"):
        options[name] = parse_networks(options[name], name.replace("_", "-"))
    return Config(policy=policy, token=token, keys=keys, tls=tls, **options)


@main.command()
@admin_option
@click.option("--json", "as_json", is_flag=True, help="All of it, for programs.")
def status(admin: str, as_json: bool) -> None:
    """Show backends, queue and cache of a running daemon."""
    from balancer.commands.admin_client import ask, status_text

    found = ask(admin, "GET", "/status")
    click.echo(_dump(found) if as_json else status_text(found))


@main.command()
@click.argument("name")
@admin_option
@click.option("--undo", is_flag=True, help="Take it back in.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def drain(name: str, admin: str, undo: bool, as_json: bool) -> None:
    """Send backend NAME no new requests; what runs on it finishes."""
    from urllib.parse import quote

    from balancer.commands.admin_client import ask

    found = ask(admin, "POST", f"/drain/{quote(name, safe='')}" + ("?undo=1" if undo else ""))
    click.echo(_dump(found) if as_json else f"{name} {'takes requests again' if undo else 'is draining'}")


@main.command()
@admin_option
@click.option("--tenant", default=None, help="Only this tenant's entries.")
@click.option("--model", default=None, help="Only this model's entries.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def purge(admin: str, tenant: str | None, model: str | None, as_json: bool) -> None:
    """Forget cached answers."""
    from urllib.parse import urlencode

    from balancer.commands.admin_client import ask

    query = urlencode({k: v for k, v in (("tenant", tenant), ("model", model)) if v is not None})
    found = ask(admin, "POST", "/cache/purge" + (f"?{query}" if query else ""))
    click.echo(_dump(found) if as_json else f"{found['purged']} entries forgotten")


@main.command()
@admin_option
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def reload(admin: str, as_json: bool) -> None:
    """Let a running daemon read its settings, keys and certificate again.

    All or nothing: if anything is wrong, or needs a restart, all stays as it was.
    """
    from balancer.commands.admin_client import CHANGE_TIMEOUT_S, ask
    from balancer.reload_plan import reload_text

    found = ask(admin, "POST", "/reload", timeout_s=CHANGE_TIMEOUT_S)
    click.echo(_dump(found) if as_json else f"reloaded; changed: {reload_text(found) or 'nothing'}")


main.add_command(backends)
main.add_command(cache)
main.add_command(explain)
main.add_command(key)


def _dump(value: Any) -> str:
    import json

    return json.dumps(value, indent=2)
