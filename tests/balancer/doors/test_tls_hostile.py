"""TLS clients that are slow, silent, or mean harm."""

from __future__ import annotations

import asyncio
import ssl

import pytest

from balancer.doors.clients import ClientLimits
from balancer.doors.tls import HANDSHAKE_MAX_BYTES
from balancer.wire.limits import UNSENT_MAX_BYTES
from tests.balancer.doors.caller import completion, reply, request
from tests.balancer.doors.secrecy import a_spy, secretly, tls_lobby
from tests.certificates import needs_openssl

pytestmark = needs_openssl

GET = request("GET", "/livez")


async def test_who_does_not_read_is_paused_and_cut_in_bounded_memory(
    context: ssl.SSLContext, trusting: ssl.SSLContext
) -> None:
    async with tls_lobby(context, ClientLimits(write_s=0.3)).open() as lobby:
        spy = await a_spy(lobby, trusting)
        spy.visitor.send(spy.encrypted(completion(stream=True)))
        await lobby.calls(1)
        call = lobby.hall.calls[0]
        spy.visitor.reader._transport.pause_reading()  # type: ignore[attr-defined]
        most = 0
        for _ in range(10_000):  # the kernel alone keeps some megabytes for it
            if call.paused or not call.running:
                break
            call.say("x" * 16_000)
            await asyncio.sleep(0)
            most = max(most, *(c._transport.get_write_buffer_size() for c in lobby.clients._open))  # type: ignore[attr-defined]
        assert call.paused and most < 2 * UNSENT_MAX_BYTES
        await lobby.until(lambda: call.cancelled and lobby.clients.connections == 0)


async def test_who_reads_late_gets_everything(context: ssl.SSLContext, trusting: ssl.SSLContext) -> None:
    async with tls_lobby(context).open() as lobby:
        visitor = await secretly(lobby, trusting, completion(stream=True))
        await lobby.calls(1)
        call = lobby.hall.calls[0]
        visitor.reader._transport.pause_reading()  # type: ignore[attr-defined]
        while not call.paused:
            call.say("x" * 16_000)
            await asyncio.sleep(0)
        visitor.reader._transport.resume_reading()  # type: ignore[attr-defined]
        head = await reply(visitor)
        await head.until(b"x")
        while call.paused:
            await head.more()
        call.answer("the end")
        assert b"the end" in (await head.whole()).body


async def test_garbage_after_the_first_byte_is_told_and_closed(context: ssl.SSLContext) -> None:
    async with tls_lobby(context).open() as lobby:
        for garbage in (b"\x16garbage, and more of it", b"\x16\x03\x01\x00\x05hello", b"\x16\x03\x01\x00\x00" * 40):
            visitor = await lobby.visit(garbage)
            assert (await visitor.rest())[:1] in (b"\x15", b"")  # an alert
        assert (await (await lobby.visit(GET)).some()).startswith(b"HTTP/1.1 200")


async def test_a_hello_without_end_is_not_kept(context: ssl.SSLContext) -> None:
    async with tls_lobby(context).open() as lobby:
        visitor = await lobby.visit(b"\x16\x03\x01\x40\x00\x01\x01\xf0\x00\x03\x03" + b"x" * (0x4000 - 6))
        for _ in range(HANDSHAKE_MAX_BYTES // 0x4000 + 2):
            visitor.send(b"\x16\x03\x03\x40\x00" + b"x" * 0x4000)
        assert (await visitor.rest())[:1] in (b"\x15", b"")


@pytest.mark.parametrize("first", [b"\x16", b"\x16\x03\x01\x02\x00\x01"])
async def test_a_handshake_that_stands_still_is_cut(context: ssl.SSLContext, first: bytes) -> None:
    async with tls_lobby(context).open() as lobby:
        lobby.doors.first_bytes_s = 0.1
        assert await (await lobby.visit(first)).rest() == b""


async def test_silence_after_the_handshake_is_cut(context: ssl.SSLContext, trusting: ssl.SSLContext) -> None:
    async with tls_lobby(context).open() as lobby:
        lobby.doors.first_bytes_s = 1.0  # the handshake is to be over by then
        visitor = await secretly(lobby, trusting)
        assert await visitor.rest() == b""


async def test_a_forged_record_ends_the_connection_and_its_request(
    context: ssl.SSLContext, trusting: ssl.SSLContext
) -> None:
    async with tls_lobby(context).open() as lobby:
        spy = await a_spy(lobby, trusting)
        spy.visitor.send(spy.encrypted(completion(stream=True)))
        await lobby.calls(1)
        record = bytearray(spy.encrypted(GET))
        record[-1] ^= 1
        spy.visitor.send(bytes(record))
        await lobby.until(lambda: lobby.hall.calls[0].cancelled and lobby.clients.connections == 0)


async def test_tls_inside_of_tls_is_refused(context: ssl.SSLContext, trusting: ssl.SSLContext) -> None:
    async with tls_lobby(context).open() as lobby:
        visitor = await secretly(lobby, trusting, b"\x16\x03\x01\x00\xa5")
        assert await visitor.rest() == b""


async def test_one_who_leaves_in_mid_handshake_leaves_nothing_behind(
    context: ssl.SSLContext, trusting: ssl.SSLContext
) -> None:
    async with tls_lobby(context).open() as lobby:
        (await lobby.visit(b"\x16\x03\x01")).leave()
        (await lobby.visit(b"\x16\x03\x01")).writer.write_eof()
        assert (await (await secretly(lobby, trusting, GET)).some()).startswith(b"HTTP/1.1 200")
