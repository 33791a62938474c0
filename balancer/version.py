"""Which version this is."""

from __future__ import annotations

from importlib import metadata

from balancer.compiled import is_compiled


def installed_version() -> str:
    """The installed version; ``unknown`` in a source tree that was not installed."""
    try:
        return metadata.version("llm-balancer")
    except metadata.PackageNotFoundError:
        return "unknown"


def told_version() -> str:
    """The same for people, who should see at a glance what runs."""
    return installed_version() + (" (compiled)" if is_compiled() else "")
