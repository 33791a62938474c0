"""Frames that no browser sends: each has its close code, and memory stays flat."""

from __future__ import annotations

import asyncio
import struct
import zlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from frontend.limits import CONTROL_FRAMES_PER_S_MAX, FRAGMENTS_MAX, QUEUED_MESSAGES_MAX, Limits
from tests.client.fake_balancer import FakeBalancer
from tests.frontend.served import process, served

TEXT, PING, CLOSE, CONT = 0x1, 0x9, 0x8, 0x0

HANDSHAKE = (
    b"GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n"
)


def frame(opcode: int, data: bytes = b"", *, fin: bool = True, masked: bool = True, rsv1: bool = False) -> bytes:
    head = bytes([fin << 7 | rsv1 << 6 | opcode])
    if len(data) < 126:
        head += bytes([masked << 7 | len(data)])
    elif len(data) < 1 << 16:
        head += bytes([masked << 7 | 126]) + struct.pack("!H", len(data))
    else:
        head += bytes([masked << 7 | 127]) + struct.pack("!Q", len(data))
    return head + (b"\0\0\0\0" if masked else b"") + data


class Raw:
    """A peer that sends any bytes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.head = b""

    @classmethod
    async def open(cls, port: int) -> Raw:
        raw = cls(*await asyncio.open_connection("127.0.0.1", port))
        raw.writer.write(HANDSHAKE)
        raw.head = await raw.reader.readuntil(b"\r\n\r\n")
        return raw

    async def send(self, *frames: bytes) -> None:
        self.writer.write(b"".join(frames))
        await self.writer.drain()

    async def frames(self) -> AsyncIterator[tuple[int, bytes]]:
        while True:
            try:
                first, length = await self.reader.readexactly(2)
                if length == 126:
                    (length,) = struct.unpack("!H", await self.reader.readexactly(2))
                yield first & 15, await self.reader.readexactly(length)
            except (asyncio.IncompleteReadError, ConnectionError):
                return

    async def close_code(self) -> int | None:
        """The code of the close frame that comes; ``None`` where the connection ends without one."""
        async with asyncio.timeout(15):
            async for opcode, data in self.frames():
                if opcode == CLOSE:
                    return int(struct.unpack("!H", data[:2])[0])
        return None


@pytest.fixture
async def port() -> AsyncIterator[int]:
    async with FakeBalancer().running() as fake, served(fake.port, Limits(message_max_bytes=100_000)) as page:
        yield page.port


ABUSES = {
    "bad UTF-8": (1007, [frame(TEXT, b'{"id":1,"question":"\xff"}')]),
    "bad UTF-8 over fragments": (1007, [frame(TEXT, b"\xc3", fin=False), frame(CONT, b"(")]),
    "surrogate": (1007, [frame(TEXT, b"\xed\xa0\x80")]),
    "unmasked": (1002, [frame(TEXT, b"hi", masked=False)]),
    "oversize": (1009, [frame(TEXT, b"x" * 200_000)]),
    "oversize by header": (
        1009,
        [frame(TEXT, b"x" * 99_999)[:0] + b"\x81\xff" + struct.pack("!Q", 1 << 40) + b"\0\0\0\0"],
    ),
    "oversize over fragments": (
        1009,
        [frame(TEXT, b"x" * 60_000, fin=False), frame(CONT, b"x" * 60_000)],
    ),
    "endless empty fragments": (1009, [frame(TEXT, fin=False), frame(CONT, fin=False) * (FRAGMENTS_MAX + 1)]),
    "fragmented ping": (1002, [frame(PING, b"x", fin=False)]),
    "long ping": (1002, [frame(PING, b"x" * 126)]),
    "compressed, which was not agreed": (1002, [frame(TEXT, zlib.compress(b"x" * 1_000_000), rsv1=True)]),
    "continuation of nothing": (1002, [frame(CONT, b"x")]),
    "text within text": (1002, [frame(TEXT, b"x", fin=False), frame(TEXT, b"x")]),
    "unknown opcode": (1002, [frame(0x3, b"x")]),
    "close with a bad code": (1002, [frame(CLOSE, struct.pack("!H", 999))]),
    "ping flood": (1008, [frame(PING, b"x" * 100) * (2 * CONTROL_FRAMES_PER_S_MAX + 2)]),
    "message flood": (1008, [frame(TEXT, b"{}") * (QUEUED_MESSAGES_MAX * 20)]),
}


@pytest.mark.parametrize(("code", "frames"), ABUSES.values(), ids=ABUSES.keys())
async def test_each_abuse_has_its_close_code(port, code, frames):
    raw = await Raw.open(port)
    await raw.send(*frames)
    assert await raw.close_code() == code
    raw.writer.close()


async def test_compression_is_not_agreed(port):
    raw = await Raw.open(port)
    assert b"101" in raw.head
    assert b"deflate" not in raw.head.lower()
    raw.writer.close()


async def test_a_peer_sees_its_close_code_although_it_was_still_sending(port):
    raw = await Raw.open(port)
    whole = frame(TEXT, b"x" * 5_000_000)
    await raw.send(whole[:1_000_000])
    assert await raw.close_code() == 1009
    raw.writer.close()


async def test_a_few_pings_are_answered(port):
    raw = await Raw.open(port)
    await raw.send(frame(PING, b"a"), frame(PING, b"b"))
    answers = []
    async for opcode, data in raw.frames():
        answers.append((opcode, data))
        if len(answers) == 2:
            break
    assert answers == [(0xA, b"a"), (0xA, b"b")]
    raw.writer.close()


async def test_an_utf8_character_may_lie_in_two_fragments(port):
    raw = await Raw.open(port)
    await raw.send(frame(TEXT, b'{"id":1,"question":"\xc3', fin=False), frame(CONT, b'\xa4"}'))
    async for opcode, data in raw.frames():
        assert opcode == TEXT
        if b'"done"' in data:
            break
    raw.writer.close()


def resident_kib(pid: int) -> int:
    fields = Path(f"/proc/{pid}/status").read_text()
    return int(fields.split("VmRSS:")[1].split()[0])


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="measures memory in /proc")
async def test_memory_stays_flat_under_floods():
    async with FakeBalancer().running() as fake:
        with process(fake.port) as (page, running):

            async def flood(frames: bytes) -> None:
                try:
                    raw = await Raw.open(page.port)
                    for _ in range(40):
                        await asyncio.wait_for(raw.send(frames), 0.2)
                except (TimeoutError, ConnectionError):
                    pass
                raw.writer.transport.abort()

            floods = (
                frame(PING, b"x" * 125) * 2_000,
                frame(TEXT, fin=False) + frame(CONT, fin=False) * 20_000,
                frame(TEXT, b"{}") * 10_000,
                frame(TEXT, b"x" * 500_000),
                frame(TEXT, b"x" * 5_000_000),
            )
            for frames in floods:
                await flood(frames)
            before = await asyncio.to_thread(resident_kib, running.pid)
            for frames in floods:
                await asyncio.gather(*(flood(frames) for _ in range(10)))
            grown_kib = await asyncio.to_thread(resident_kib, running.pid) - before
    assert grown_kib < 30_000
