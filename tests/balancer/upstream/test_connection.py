from __future__ import annotations

import asyncio
import errno
import os
import time
from collections.abc import Callable

import pytest

from balancer.upstream import connection as connections
from balancer.upstream.connection import IDLE_MAX_S, IDLE_PER_ADDRESS_MAX, Address, Connection, ConnectionPool
from balancer.wire import http1
from tests.balancer.upstream.descriptors import none_left
from tests.balancer.upstream.engine import Engine, Visit, a_closed_port

GET = http1.request("GET", "/health", "h", b"")


class Guest:
    """The user of a connection, who remembers."""

    def __init__(self) -> None:
        self.connection: Connection | None = None
        self.why: str | None = None
        self.unused = False
        self.ours = False
        self.body = b""
        self.done = asyncio.Event()
        self.ready = asyncio.Event()

    def connected(self, connection: Connection) -> None:
        self.connection = connection
        connection.use(self, GET)
        self.ready.set()

    def unreachable(self, why: str, *, ours: bool = False) -> None:
        self.why, self.ours = why, ours
        self.done.set()

    def received(self, body: bytes) -> None:
        assert self.connection is not None
        self.body += body
        if self.connection.answer.complete:
            self.connection.release()
            self.done.set()

    def lost(self, why: str, *, unused: bool) -> None:
        self.why, self.unused = why, unused
        self.done.set()


async def visit(pool: ConnectionPool, address: Address) -> Guest:
    guest = Guest()
    connection = pool.acquire(address, guest)
    if connection is not None:
        guest.connected(connection)
    async with asyncio.timeout(10):
        await guest.done.wait()
    return guest


async def until(right: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not right():
            await asyncio.sleep(0.001)


async def fine(v: Visit) -> None:
    await v.plain(200, b'{"ok":true}')


def here(engine: Engine) -> Address:
    return Address("127.0.0.1", engine.port)


async def test_an_idle_connection_is_used_again() -> None:
    pool = ConnectionPool()
    async with Engine(fine).running() as engine:
        for _ in range(5):
            assert (await visit(pool, here(engine))).body == b'{"ok":true}'
            assert pool.idle == 1
        assert engine.connections == 1
        pool.close()
        await until(lambda: pool.idle == 0)


async def test_connections_that_are_idle_for_too_long_are_closed_and_their_address_forgotten() -> None:
    pool = ConnectionPool()
    async with Engine(fine).running() as engine:
        await visit(pool, here(engine))
        now = asyncio.get_running_loop().time()
        pool.sweep(now + IDLE_MAX_S - 1)
        assert pool.idle == 1
        pool.sweep(now + IDLE_MAX_S + 1)
        await until(lambda: pool.idle == 0)
        pool.sweep(now + IDLE_MAX_S + 1)
        assert pool._idle == {}


async def test_only_so_many_are_kept_for_one_address() -> None:
    pool = ConnectionPool(connect_s=60.0)
    go = asyncio.Event()

    async def together(v: Visit) -> None:
        await go.wait()
        await fine(v)

    async with Engine(together).running() as engine:
        guests = [Guest() for _ in range(IDLE_PER_ADDRESS_MAX + 5)]
        for guest in guests:
            assert pool.acquire(here(engine), guest) is None
        await until(lambda: len(engine.visits) == len(guests))
        go.set()
        await until(lambda: all(guest.done.is_set() for guest in guests))
        await until(lambda: pool.idle == IDLE_PER_ADDRESS_MAX)
        pool.close()


async def test_one_that_the_engine_closes_while_idle_is_forgotten() -> None:
    pool = ConnectionPool()
    async with Engine(fine).running() as engine:
        await visit(pool, here(engine))
        engine.cut_all()
        await until(lambda: pool.idle == 0)


async def test_an_engine_that_talks_without_being_asked_is_not_kept() -> None:
    pool = ConnectionPool()
    async with Engine(fine).running() as engine:
        await visit(pool, here(engine))
        await engine.visits[0].send(b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nfor")
        await until(lambda: pool.idle == 0)


@pytest.mark.parametrize("header", [b"connection: close", b"x: y\r\ncontent-length: 11"])
async def test_one_that_may_not_be_kept_is_not(header: bytes) -> None:
    pool = ConnectionPool()

    async def closes(v: Visit) -> None:
        await v.plain(200, b'{"ok":true}', header)

    async with Engine(closes).running() as engine:
        await visit(pool, here(engine))
        assert pool.idle == 0


async def test_a_kept_one_that_breaks_before_a_byte_is_told_as_unused() -> None:
    async def gives_up(v: Visit) -> None:
        v.reset()

    pool = ConnectionPool()
    async with Engine(fine, gives_up).running() as engine:
        await visit(pool, here(engine))
        guest = await visit(pool, here(engine))
        assert guest.unused
    async with Engine(gives_up).running() as engine:
        guest = await visit(pool, here(engine))
        assert guest.why is not None
        assert not guest.unused


async def test_nobody_there_is_told_in_words() -> None:
    guest = await visit(ConnectionPool(), Address("127.0.0.1", await a_closed_port()))
    assert guest.why is not None
    assert "refused" in guest.why.lower()


async def test_a_dial_that_was_late_because_we_stood_still_is_tried_again() -> None:
    async with Engine(fine).running() as engine:
        guest = Guest()
        assert ConnectionPool(connect_s=0.2).acquire(Address("127.0.0.1", engine.port), guest) is None
        asyncio.get_running_loop().call_soon(time.sleep, 0.6)  # the dial has begun, and nobody looks how it goes
        async with asyncio.timeout(10):
            await guest.ready.wait()
        assert guest.why is None


async def test_a_dial_has_its_time() -> None:
    # 192.0.2.0/24 is for documentation (RFC 5737): depending on the network it is silent or unreachable.
    guest = await visit(ConnectionPool(connect_s=0.05), Address("192.0.2.1", 9))
    assert guest.why


async def test_a_certificate_name_that_cannot_be_is_told_and_not_raised() -> None:
    guest = await visit(ConnectionPool(), Address("127.0.0.1", 9, tls=True, server_name=""))
    assert guest.why


async def test_the_certificates_are_read_once() -> None:
    pool = ConnectionPool()
    assert pool._tls_context() is pool._tls_context()


async def test_the_rest_of_an_answer_that_nobody_reads_is_bounded_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "FINISH_S", 0.05)
    pool, gone = ConnectionPool(), asyncio.Event()

    async def half(v: Visit) -> None:
        await v.send(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf")
        await v.left()
        gone.set()

    async with Engine(half).running() as engine:
        guest = Guest()
        pool.acquire(here(engine), guest)
        await until(lambda: guest.body == b"half")
        assert guest.connection is not None
        guest.connection.release()
        async with asyncio.timeout(5):
            await gone.wait()
        assert pool.idle == 0
        assert guest.why is None


async def test_a_dial_for_which_this_process_has_no_descriptor_is_not_held_against_the_engine() -> None:
    pool = ConnectionPool()
    async with Engine(fine).running() as engine:
        with none_left():
            guest = await visit(pool, here(engine))
        assert guest.ours and guest.why == os.strerror(errno.EMFILE)
        assert (await visit(pool, here(engine))).body == b'{"ok":true}'
        pool.close()
    assert not (await visit(pool, here(engine))).ours


async def test_a_body_without_length_that_a_reset_cuts_short_is_not_complete() -> None:
    guest = Guest()

    async def half(v: Visit) -> None:
        await v.send(b"HTTP/1.1 200 OK\r\n\r\n", b"half")
        await until(lambda: guest.body == b"half")
        v.reset()

    async with Engine(half).running() as engine:
        ConnectionPool().acquire(here(engine), guest)
        async with asyncio.timeout(10):
            await guest.done.wait()
        assert guest.connection is not None and not guest.connection.answer.complete
        assert guest.why and not guest.unused


async def test_one_that_was_answered_before_all_of_the_request_was_read_is_not_kept() -> None:
    pool, go_on = ConnectionPool(), asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        transports.append(writer.transport)
        await reader.readuntil(b"\r\n\r\n")
        writer.transport.pause_reading()
        writer.write(b"HTTP/1.1 413 X\r\ncontent-length: 2\r\n\r\n{}")
        await go_on.wait()

    class Sender(Guest):
        def connected(self, connection: Connection) -> None:
            self.connection = connection
            connection.use(self, http1.request("POST", "/v1/completions", "h", b"x" * (32 << 20)))

    transports: list[asyncio.WriteTransport] = []
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    guest = Sender()
    pool.acquire(Address("127.0.0.1", server.sockets[0].getsockname()[1]), guest)
    async with asyncio.timeout(10):
        await guest.done.wait()
    assert guest.connection is not None and guest.connection.answer.status == 413
    assert pool.idle == 0 and not guest.connection.usable
    go_on.set()
    server.close()
    for transport in transports:
        transport.abort()
