"""What a backend registers: who it is, where it listens, what it offers."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field

from balancer.wire.control import Model, Register

ENDPOINTS = ("chat", "completions")


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """``url`` is what balancers dial; ``None`` means the address that each of them sees us under, and ``port``."""

    name: str
    instance: str
    """Drawn anew at each start of the process: tells a restart from a second backend of the same name."""
    url: str | None
    port: int
    slots: int
    weight: float
    version: str
    engine: str
    models: tuple[Model, ...]
    abilities: tuple[str, ...] = ()
    endpoints: tuple[str, ...] = ENDPOINTS
    labels: Mapping[str, str] = field(default_factory=dict)


def registration(identity: Identity, *, local_address: str, nonce: str) -> Register:
    """The registration for a balancer that is reached from ``local_address`` (this end of the connection)."""
    return Register(
        name=identity.name,
        instance=identity.instance,
        url=identity.url or http_url(local_address, identity.port),
        models=identity.models,
        endpoints=identity.endpoints,
        slots=identity.slots,
        nonce=nonce,
        engine=identity.engine,
        version=identity.version,
        abilities=identity.abilities,
        weight=identity.weight,
        labels=dict(identity.labels),
    )


def http_url(host: str, port: int) -> str:
    """``http://host:port``, with the brackets that an IPv6 address needs."""
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def is_wildcard(host: str) -> bool:
    """Whether listening on ``host`` means every address of the machine, so that it can't be dialled."""
    try:
        return ipaddress.ip_address(host).is_unspecified
    except ValueError:
        return False


def is_loopback(host: str) -> bool:
    """Whether ``host`` is this machine's own, as it stands there: a name is not looked up."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
