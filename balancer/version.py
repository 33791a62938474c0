"""Which version this is."""

from __future__ import annotations

from importlib import metadata


def installed_version() -> str:
    """The installed version; ``unknown`` in a source tree that was not installed."""
    try:
        return metadata.version("llm-balancer")
    except metadata.PackageNotFoundError:
        return "unknown"
