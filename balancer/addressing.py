"""The address that a name stands for."""

from __future__ import annotations

import asyncio
import socket
from typing import Final

RESOLVE_S: Final = 4.0
"""A resolver asks a second server within this time, as a rule."""


async def address_of(host: str, port: int) -> str:
    """An IP address to dial over TCP. Raises `OSError` or `UnicodeError` where there is none, and `TimeoutError` where
    none is known within `RESOLVE_S`."""
    async with asyncio.timeout(RESOLVE_S):
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return str(found[0][4][0])
