"""Accepts several connections a turn of the loop.

libuv, on which uvloop stands, accepts one each time its loop turns. With thousands of streams a turn takes tens of
milliseconds, so that a new client would wait for as many turns as others came before it: seconds, or longer than it
bears. What is waiting at a socket can be accepted through any duplicate of it, so each duplicate is one more a turn.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable

ACCEPTS_PER_TURN = 8
"""More would each cost a call in vain whenever one client comes alone."""


async def accept_faster(
    server: asyncio.Server, make: Callable[[], asyncio.BaseProtocol], *, backlog: int
) -> list[asyncio.Server]:
    """More servers on the same sockets, to be closed with ``server``."""
    loop = asyncio.get_running_loop()
    return [
        await loop.create_server(make, sock=socket.socket(fileno=os.dup(listening.fileno())), backlog=backlog)
        for listening in server.sockets
        for _ in range(ACCEPTS_PER_TURN - 1)
    ]
