from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator

import asyncio_dgram
import pytest

from balancer.doors import datagrams
from balancer.doors.datagrams import BATCH_MAX, bind
from balancer.wire.limits import DATAGRAM_MAX_BYTES


@contextlib.asynccontextmanager
async def bound() -> AsyncIterator[tuple[asyncio_dgram.DatagramServer, asyncio.DatagramTransport, socket.socket]]:
    """A stream, its transport, and the socket of somebody who sends to it."""
    stream, transport, _ = await bind("127.0.0.1", 0)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
        peer.settimeout(10)
        peer.connect(stream.sockname)
        try:
            yield stream, transport, peer
        finally:
            stream.close()


async def received(stream: asyncio_dgram.DatagramServer) -> bytes:
    async with asyncio.timeout(10):
        data, _ = await stream.recv()
    return bytes(data)


async def test_all_that_is_sent_comes_in_order_however_many_wait() -> None:
    async with bound() as (stream, _, peer):
        sent = [str(number).encode() for number in range(2 * BATCH_MAX + 1)]
        for data in sent:
            peer.send(data)
        assert [await received(stream) for _ in sent] == sent


async def test_what_comes_while_the_socket_rests_is_read_afterwards() -> None:
    async with bound() as (stream, _, peer):
        for number in range(5):
            peer.send(b"%d" % number)
            assert await received(stream) == b"%d" % number
        await asyncio.sleep(2.5 * datagrams.REST_S)  # so that it waits for the next one again
        peer.send(b"late")
        assert await received(stream) == b"late"


async def test_those_who_send_all_the_time_are_read_many_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datagrams, "REST_S", 0.5)
    async with bound() as (stream, _, peer):
        begin = asyncio.get_running_loop().time()
        peer.send(b"first")
        assert await received(stream) == b"first"
        peer.send(b"second")
        assert await received(stream) == b"second"
        assert asyncio.get_running_loop().time() - begin >= 0.4


async def test_an_answer_goes_to_whoever_asked() -> None:
    async with bound() as (stream, transport, peer):
        peer.send(b"question")
        async with asyncio.timeout(10):
            _, address = await stream.recv()
        transport.sendto(b"answer", address)
        assert await asyncio.to_thread(peer.recv, 100) == b"answer"


async def test_what_is_too_long_is_cut_behind_the_byte_that_tells_so() -> None:
    async with bound() as (stream, _, peer):
        peer.send(b"x" * 2000)
        assert await received(stream) == b"x" * (DATAGRAM_MAX_BYTES + 1)


async def test_an_address_that_nothing_can_be_sent_to_is_told_to_the_reader() -> None:
    async with bound() as (stream, transport, peer):
        transport.sendto(b"answer", ("127.0.0.1", 0))
        with pytest.raises(OSError):
            await received(stream)
        peer.send(b"goes on")
        assert await received(stream) == b"goes on"


@pytest.mark.parametrize("resting", [False, True])
async def test_after_the_close_the_reader_is_told_and_the_port_is_free(resting: bool) -> None:
    async with bound() as (stream, transport, peer):
        if resting:
            peer.send(b"x")
            await received(stream)
        port = stream.sockname[1]
        reading = asyncio.ensure_future(stream.recv())
        await asyncio.sleep(0)
        stream.close()
        stream.close()
        assert transport.is_closing()
        with pytest.raises(asyncio_dgram.TransportClosed):
            async with asyncio.timeout(10):
                await reading
        again, *_ = await bind("127.0.0.1", port)
        again.close()


async def test_a_taken_port_is_an_error() -> None:
    async with bound() as (stream, _, _):
        with pytest.raises(OSError):
            await bind("127.0.0.1", stream.sockname[1])
