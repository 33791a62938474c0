"""Where the balancer is, as people write it."""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit

PORT: Final = 1234


def parse_address(host: str, port: int | None = None) -> tuple[str, int]:
    """Host and port from ``HOST``, ``HOST:PORT``, ``[::1]:PORT`` or ``http://HOST:PORT``, and a port beside it.

    Raises `ValueError`: that is no address, or there are two ports.
    """
    scheme, separator, rest = host.rpartition("://")
    if scheme == "https":
        raise ValueError("this client speaks no TLS: name the balancer's port in clear text")
    if scheme not in ("", "http") or (not separator and "/" in host):
        raise ValueError(f"{host!r} is no address: HOST, HOST:PORT or http://HOST:PORT")
    if not separator and rest.count(":") > 1 and not rest.startswith("["):
        return rest, port or PORT  # a bare IPv6 address
    try:
        parts = urlsplit(f"//{rest}")
        name, own_port = parts.hostname, parts.port
    except ValueError as error:
        raise ValueError(f"{host!r} is no address: {error}") from None
    if not name or own_port == 0:
        raise ValueError(f"{host!r} is no address: HOST, HOST:PORT or http://HOST:PORT")
    if own_port is not None and port not in (None, own_port):
        raise ValueError(f"{host!r} and {port} are two ports")
    return name, own_port or port or (80 if separator else PORT)
