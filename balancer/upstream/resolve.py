"""From what an operator wrote to a backend of the pool: its address, and how it is reached.

A name may stand for several addresses: the first that takes a connection is the backend's. That is asked again where a
backend is in trouble, since what is at a name moves (a provider's servers, a service of a cluster).
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Sequence
from dataclasses import replace
from typing import Final
from urllib.parse import urlsplit

from balancer.addressing import RESOLVE_S, addresses_of
from balancer.errors import ConfigError
from balancer.pool.backend import BackendSpec, ModelInfo
from balancer.upstream.spec import UpstreamSpec, path_prefix

TRIED_MAX: Final = 4
"""Addresses of one name that are tried."""
TRY_S: Final = 0.5
"""For each of them."""


class NoAddress(ConfigError):
    """The name in an upstream's URL stands for no address, as far as is known now."""


async def resolved(upstream: UpstreamSpec) -> BackendSpec:
    """The backend; unless the operator names its models they are not known yet.

    Raises `NoAddress` if the URL's host has no address, or none within `RESOLVE_S`.
    """
    host, port = _place(upstream.url)
    try:
        address = await _best(await addresses_of(host, port), port)
    except (OSError, UnicodeError) as error:
        raise NoAddress(f"upstream {upstream.name}: {no_address(upstream, error)}") from None
    return _backend_at(address, upstream)


def unresolved(upstream: UpstreamSpec) -> BackendSpec:
    """The backend where its address is not known: under its name, which is never dialled (`has_address`)."""
    return _backend_at(_place(upstream.url)[0], upstream)


def has_address(spec: BackendSpec) -> bool:
    """Whether it is known where it is."""
    try:
        return bool(ipaddress.ip_address(spec.host))
    except ValueError:
        return False


def no_address(upstream: UpstreamSpec, error: OSError | UnicodeError) -> str:
    """Why looking it up failed, in words."""
    host, _ = _place(upstream.url)
    if isinstance(error, TimeoutError):
        return f"no address for {host} within {RESOLVE_S:g} s"
    return f"no address for {host}: {getattr(error, 'strerror', None) or error}"


def _backend_at(host: str, upstream: UpstreamSpec) -> BackendSpec:
    parts, (_, port) = urlsplit(upstream.url), _place(upstream.url)
    return with_options(
        BackendSpec(
            name=upstream.name,
            kind="upstream",
            host=host,
            port=port,
            tls=parts.scheme == "https",
            path_prefix=path_prefix(upstream.url),
            host_header=parts.netloc,
            models=(),
            endpoints=frozenset(upstream.endpoints),
            slots=upstream.slots,
        ),
        upstream,
    )


async def address_now(upstream: UpstreamSpec, address: str) -> str:
    """Where an upstream in trouble is by now: at its old address, unless its name no longer stands for that, or nobody
    is there and somebody is at another one. Raises as `addresses_of` does."""
    host, port = _place(upstream.url)
    found = await addresses_of(host, port)
    return await _best(sorted(found, key=lambda other: other != address), port)


def _place(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    return parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)


async def _best(addresses: Sequence[str], port: int) -> str:
    """The first that takes a connection; the very first if none does."""
    if len(addresses) > 1:
        for address in addresses[:TRIED_MAX]:
            if await _takes_connections(address, port):
                return address
    return addresses[0]


async def _takes_connections(address: str, port: int) -> bool:
    try:
        async with asyncio.timeout(TRY_S):
            transport, _ = await asyncio.get_running_loop().create_connection(asyncio.Protocol, address, port)
    except (OSError, TimeoutError):
        return False
    transport.abort()
    return True


def with_options(backend: BackendSpec, upstream: UpstreamSpec) -> BackendSpec:
    """The backend with what can change while its streams run: all but where it is."""
    known = {info.name: info for info in backend.models}
    models = tuple(known.get(name, ModelInfo(name)) for name in sorted(upstream.models)) or backend.models
    return replace(
        backend,
        slots=upstream.slots,
        weight=upstream.weight,
        labels=upstream.labels,
        endpoints=frozenset(upstream.endpoints),
        models=models,
        authorization=f"Bearer {upstream.key}" if upstream.key is not None else "",
    )
