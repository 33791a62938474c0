"""What a reload changes, and what it must not: pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, Final

from balancer.config import Config
from balancer.doors.tls import ServerContext
from balancer.errors import ConfigError
from balancer.sources import option_name

RELOADED: Final = frozenset(
    {
        "backends_from",
        "body_timeout_s",
        "classic_from",
        "default_model",
        "drain_timeout_s",
        "explain",
        "first_token_timeout_s",
        "head_timeout_s",
        "hedge",
        "keys",
        "models",
        "policy",
        "prefer",
        "queue_bytes",
        "queue_size",
        "queue_timeout_s",
        "request_timeout_s",
        "tls",
        "token",
        "token_timeout_s",
        "upstream",
        "write_timeout_s",
    }
)
"""Settings that take effect without a restart. All others are refused by name if they differ."""


def plan_reload(old: Config, new: Config) -> tuple[str, ...]:
    """What a reload from ``old`` to ``new`` changes, by option name, in the order of the settings.

    Raises:
        ConfigError: names all that needs a restart.
    """
    others = [f.name for f in fields(Config) if f.name not in ("keys", "tls") and _differ(f.name, old, new)]
    refused = [option_name(name) for name in others if name not in RELOADED]
    if (old.tls is None) is not (new.tls is None):
        refused.append("tls-cert")
    if refused:
        raise ConfigError(f"{', '.join(refused)}: {'needs' if len(refused) == 1 else 'need'} a restart")
    keys = (old.keys is None) is not (new.keys is None) or set(old.keys or ()) != set(new.keys or ())
    changed = {*others, *(["keys"] if keys else []), *(["tls"] if _certificate(old) != _certificate(new) else [])}
    names = {"tls": "tls-cert"}
    return tuple(names.get(f.name, option_name(f.name)) for f in fields(Config) if f.name in changed)


def reload_text(done: Mapping[str, Any]) -> str:
    """What a reload changed, in words; empty for nothing. An upstream that was removed by hand comes back without any
    setting being another."""
    upstreams = [f"{', '.join(names)} {what}" for what, names in done.get("backends", {}).items() if names]
    said = [", ".join(done["changed"]), f"upstreams: {', '.join(upstreams)}" if upstreams else ""]
    return "; ".join(filter(None, said))


def _certificate(config: Config) -> bytes | None:
    """Two contexts are never equal, whatever they were made of."""
    return config.tls.certificate if isinstance(config.tls, ServerContext) else None


def _differ(name: str, old: Config, new: Config) -> bool:
    return bool(getattr(old, name) != getattr(new, name))
