from __future__ import annotations

import asyncio

import pytest

from balancer.doors.leaving import has_left
from tests.balancer.doors.lobby import Lobby


@pytest.mark.parametrize("how", ["end", "reset"])
async def test_who_closes_has_left_though_nobody_reads(how: str) -> None:
    async with Lobby().open() as lobby:
        visitor = await lobby.visit(b"GET ")
        await lobby.until(lambda: lobby.clients.connections == 1)
        (connection,) = lobby.clients._open
        transport = connection._transport  # type: ignore[attr-defined]
        transport.pause_reading()
        assert not has_left(transport)
        visitor.send(b"/livez")
        if how == "end":
            visitor.writer.write_eof()
        else:
            visitor.leave()
        await lobby.until(lambda: has_left(transport))
        transport.abort()


def test_who_has_no_socket_is_not_known_to_have_left() -> None:
    assert not has_left(None) and not has_left(asyncio.Transport())
