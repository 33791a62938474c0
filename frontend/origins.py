"""Which pages may open a WebSocket here. Pure.

Browsers let any page open a WebSocket to anywhere and only tell the server which page it was. So a page is let in
if it is ours: its origin is one the operator named, or it names this server by an address and the request went to
that same address. A *name* that happens to equal the ``Host`` header proves nothing: whoever owns the name can make it
point here while the page is open (DNS rebinding).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection
from urllib.parse import urlsplit


def allowed(origin: str | None, host: str | None, named: Collection[str]) -> bool:
    """Whether a page of ``origin`` may connect to ``host`` (the header); ``named`` are the operator's origins.

    No origin at all is no browser: such a client needs no page to reach us, and is let in.
    """
    if origin is None:
        return True
    if normalised(origin) in named:
        return True
    try:
        page = urlsplit(origin)
        name, port = page.hostname, page.port
    except ValueError:
        return False
    if page.scheme not in ("http", "https") or name is None or host is None:
        return False
    return _is_address(name) and _with_port(page.netloc, port, page.scheme) == _with_port(
        host, _port_of(host), page.scheme
    )


def normalised(origin: str) -> str:
    """As browsers send it: in small letters, without the slash at its end."""
    return origin.strip().rstrip("/").lower()


def _is_address(name: str) -> bool:
    if name == "localhost":
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _port_of(host: str) -> int | None:
    try:
        return urlsplit(f"//{host}").port
    except ValueError:
        return -1


def _with_port(netloc: str, port: int | None, scheme: str) -> tuple[str | None, int]:
    try:
        name = urlsplit(f"//{netloc}").hostname
    except ValueError:
        name = None
    return name, port if port is not None else {"http": 80, "https": 443}[scheme]
