"""What becomes of the upstreams when the settings change: pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import NamedTuple

from balancer.upstream.spec import UpstreamSpec


class UpstreamChanges(NamedTuple):
    """Each upstream is in one of these at most."""

    added: tuple[UpstreamSpec, ...]
    changed: tuple[UpstreamSpec, ...]
    """Other options, the same URL: what runs there goes on."""
    replaced: tuple[UpstreamSpec, ...]
    """Another URL under the name: what runs at the old one finishes."""
    removed: tuple[str, ...]
    """Names."""

    def __bool__(self) -> bool:
        return any(self)


def plan_upstreams(
    running: Mapping[str, UpstreamSpec], from_settings: Collection[str], wanted: Iterable[UpstreamSpec]
) -> UpstreamChanges:
    """The way from what runs, by name, to what the settings want.

    Only those ``from_settings`` are removed; one that was added at run time stays, or is taken over by its name.
    """
    by_name = {spec.name: spec for spec in wanted}
    known = [spec for spec in by_name.values() if spec.name in running and spec != running[spec.name]]
    return UpstreamChanges(
        added=tuple(spec for spec in by_name.values() if spec.name not in running),
        changed=tuple(spec for spec in known if spec.url == running[spec.name].url),
        replaced=tuple(spec for spec in known if spec.url != running[spec.name].url),
        removed=tuple(name for name in running if name in from_settings and name not in by_name),
    )
