"""From what an operator wrote to a backend of the pool: its address, looked up once, and how it is reached."""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import urlsplit

from balancer.addressing import RESOLVE_S, address_of
from balancer.errors import ConfigError
from balancer.pool.backend import BackendSpec, ModelInfo
from balancer.upstream.spec import UpstreamSpec, path_prefix


async def resolved(upstream: UpstreamSpec) -> BackendSpec:
    """The backend; unless the operator names its models they are not known yet.

    Raises `ConfigError` if the URL's host has no address, or none within `RESOLVE_S`.
    """
    parts = urlsplit(upstream.url)
    tls = parts.scheme == "https"
    host, port = parts.hostname or "", parts.port or (443 if tls else 80)
    try:
        address = await address_of(host, port)
    except TimeoutError:
        raise ConfigError(f"upstream {upstream.name}: no address for {host} within {RESOLVE_S:g} s") from None
    except (OSError, UnicodeError) as error:
        why = getattr(error, "strerror", None) or error
        raise ConfigError(f"upstream {upstream.name}: no address for {host}: {why}") from None
    return with_options(
        BackendSpec(
            name=upstream.name,
            kind="upstream",
            host=address,
            port=port,
            tls=tls,
            path_prefix=path_prefix(upstream.url),
            host_header=parts.netloc,
            models=(),
            endpoints=frozenset(upstream.endpoints),
            slots=upstream.slots,
        ),
        upstream,
    )


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
