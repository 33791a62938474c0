"""What a reload changes, and what it must not: pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, Final, NamedTuple

from balancer.config import Config
from balancer.errors import ConfigError

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


class Changes(NamedTuple):
    """What differs, by option name, in the order of the settings."""

    options: tuple[str, ...]
    keys: bool
    """The clients' keys are others."""
    policy: bool
    certificate: bool
    """There is a certificate; whether it is another one cannot be told, so it is taken over."""


def plan_reload(old: Config, new: Config) -> Changes:
    """What a reload from ``old`` to ``new`` changes. Raises `ConfigError` that names all that needs a restart."""
    keys = (old.keys is None) is not (new.keys is None) or set(old.keys or ()) != set(new.keys or ())
    others = [f.name for f in fields(Config) if f.name not in ("keys", "tls") and _differ(f.name, old, new)]
    refused = [option_name(name) for name in others if name not in RELOADED]
    if (old.tls is None) is not (new.tls is None):
        refused.append("tls-cert")
    if refused:
        raise ConfigError(f"{', '.join(refused)}: {'needs' if len(refused) == 1 else 'need'} a restart")
    changed = {*others, *(["keys"] if keys else [])}
    return Changes(
        options=tuple(option_name(f.name) for f in fields(Config) if f.name in changed),
        keys=keys,
        policy="policy" in changed,
        certificate=new.tls is not None,
    )


def option_name(name: str) -> str:
    """How an operator writes the setting of this field."""
    return name.removesuffix("_s").replace("_", "-")


def reload_text(done: Mapping[str, Any]) -> str:
    """What a reload changed, in words; empty for nothing. An upstream that was removed by hand comes back without any
    setting being another."""
    upstreams = [f"{', '.join(names)} {what}" for what, names in done.get("backends", {}).items() if names]
    said = [", ".join(done["changed"]), f"upstreams: {', '.join(upstreams)}" if upstreams else ""]
    return "; ".join(filter(None, said))


def _differ(name: str, old: Config, new: Config) -> bool:
    return bool(getattr(old, name) != getattr(new, name))
