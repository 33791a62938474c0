"""The address that a name stands for."""

from __future__ import annotations

import asyncio
import socket
from typing import Final

RESOLVE_S: Final = 4.0
"""A resolver asks a second server within this time, as a rule."""


async def address_of(host: str, port: int) -> str:
    """The first of its `addresses_of`."""
    return (await addresses_of(host, port))[0]


async def addresses_of(host: str, port: int) -> list[str]:
    """The IP addresses to dial over TCP, best first: at least one.

    Raises `OSError` or `UnicodeError` where there is none, and `TimeoutError` where none is known within `RESOLVE_S`.
    """
    async with asyncio.timeout(RESOLVE_S):
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    addresses = [str(where[0]) for *_, where in found]
    if host == "localhost":
        addresses.sort(key=lambda address: ":" in address)  # what listens on 0.0.0.0 or 127.0.0.1 is not at ::1
    return list(dict.fromkeys(addresses))
