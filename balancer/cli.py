"""The command line. ``llm-balancer`` runs the daemon; its subcommands talk to a running one, or edit the key file."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from balancer.commands.backends import backends
from balancer.commands.cache import cache
from balancer.commands.cache_operations import purge_command
from balancer.commands.daemon import drain, reload
from balancer.commands.explain import explain
from balancer.commands.headings import HeadedGroup, HeadedOption
from balancer.commands.keys import key
from balancer.commands.option_types import Structured
from balancer.commands.options import PATH, daemon_options
from balancer.commands.status import status
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


_ARGUMENTS = "balancer.arguments"


class _Main(HeadedGroup):
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
@click.option(
    "--config",
    type=PATH,
    callback=_load_file,
    is_eager=True,
    cls=HeadedOption,
    heading="Settings",
    help="Read settings from a YAML file.",
)
@click.option(
    "--check-config", is_flag=True, cls=HeadedOption, heading="Settings", help="Check all settings, say so, and exit."
)
@daemon_options
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
    from balancer.admission.aliases import parse_rules
    from balancer.config import (
        Config,
        check_access_log,
        parse_labels,
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
    options["models"] = parse_rules(options["models"] or {}, options.pop("alias"))
    options["prefer"] = parse_labels(options["prefer"], "prefer")
    check_access_log(options["access_log"])
    policy = _policy(context, options)
    for name in ("round_robin", "least_connections", "policy"):
        del options[name]
    if policy not in POLICIES:
        raise ConfigError(f"policy: there is no {policy!r}; known are {', '.join(sorted(POLICIES))}")
    seconds = [name for name in options if name.endswith(("_timeout", "_ttl"))]
    options |= {f"{name}_s": options.pop(name) for name in seconds}
    for name in ("backends_from", "classic_from"):
        options[name] = parse_networks(options[name], option_name(name))
    return Config(policy=policy, token=token, keys=keys, tls=tls, **options)


for _command in (status, drain, reload, backends, explain, key, cache):
    main.add_command(_command)
main.add_command(purge_command, "purge")
