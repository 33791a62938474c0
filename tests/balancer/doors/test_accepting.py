from __future__ import annotations

import asyncio
import socket
import time

import pytest
import uvloop

from balancer.doors.accepting import ACCEPTS_PER_TURN, accept_faster

CLIENTS = 4 * ACCEPTS_PER_TURN


class Greeter(asyncio.Protocol):
    """Notes when it was made, in turns of the loop."""

    def __init__(self, made: list[int], turn: list[int]) -> None:
        self._made = made
        self._turn = turn

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._made.append(self._turn[0])
        transport.close()


def test_many_that_wait_are_accepted_in_few_turns_and_after_the_close_nobody_is() -> None:
    async def accepted() -> None:
        made: list[int] = []
        turn = [0]
        make = lambda: Greeter(made, turn)  # noqa: E731
        loop = asyncio.get_running_loop()
        server = await loop.create_server(make, "127.0.0.1", 0, backlog=CLIENTS)
        address = server.sockets[0].getsockname()
        servers = [server, *await accept_faster(server, make, backlog=CLIENTS)]
        clients = [socket.socket() for _ in range(CLIENTS)]
        for client in clients:  # all of them before the loop turns
            client.setblocking(False)
            client.connect_ex(address)
        give_up_at = time.monotonic() + 10
        while len(made) < CLIENTS and time.monotonic() < give_up_at:
            turn[0] += 1
            await asyncio.sleep(0)
        assert len(made) == CLIENTS
        assert max(made.count(number) for number in made) > 1
        for each in servers:
            each.close()
        for client in clients:
            client.close()
        await asyncio.sleep(0.05)
        with pytest.raises(ConnectionRefusedError):
            await loop.create_connection(asyncio.Protocol, *address)

    uvloop.run(accepted())
