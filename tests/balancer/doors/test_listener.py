from __future__ import annotations

import asyncio
import ssl
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from balancer.doors.descriptors import Gate
from balancer.doors.listener import Doors, Sniffer, begins_registration, protocol_of
from tests.balancer.doors.lobby import Lobby
from tests.certificates import needs_openssl

GET = b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.mark.parametrize(
    ("first", "kind"),
    [
        (b"{", "native"),
        (b"\n", "native"),
        (b" {", "native"),
        (b"GET ", "http"),
        (b"OPTIONS * HTTP/1.1", "http"),
        (b"CLIENT|ADD", "classic"),
        (b"REGISTER|127.0.0.1|5000", "classic"),
        (b"\x16\x03\x01", "tls"),
        (b"GE", None),
        (b"CLIENT", None),
        (b"REG", None),
        (b"get /", None),
        (b"get / HTTP/1.1\r\n", "http"),
        (b"PURGE /x HTTP/1.1\r\n", "http"),
        (b"get / HTTP", None),
        (b"get me a story\n", "native"),
        (b"get /\n", "native"),
        (b"get " + b"x" * 2000, "native"),
        (b"hello\n", "native"),
        (b"SSH-2.0", "native"),
        (b"\x00\x01", "native"),
    ],
)
def test_the_first_bytes_tell_the_protocol(first: bytes, kind: str | None) -> None:
    assert protocol_of(first) == kind


@given(st.binary(min_size=1, max_size=64))
def test_the_answer_never_changes_once_it_is_given(data: bytes) -> None:
    kinds = [protocol_of(data[:n]) for n in range(1, len(data) + 1)]
    decided = [kind for kind in kinds if kind is not None]
    if not data[:1].isalpha():
        assert len(decided) == len(kinds)
    assert not decided or decided[0] == kinds[len(kinds) - len(decided)]


@pytest.mark.parametrize("split", [1, 2, 3, 5, 9])
async def test_every_protocol_is_recognised_however_its_first_bytes_are_split(split: int) -> None:
    async with Lobby().open() as lobby:
        lobby.hall.join("a")
        for first, answer in (
            (GET, b"HTTP/1.1 200"),
            (b'{"prompt":""}\n', b'{"error"'),
            (b"CLIENT|ADDhello", None),
            (b"hello\n", b'{"error"'),
        ):
            visitor = await lobby.visit()
            before = len(lobby.hall.calls)
            for i in range(0, len(first), split):
                visitor.send(first[i : i + split])
                await asyncio.sleep(0.002)
            if answer is None:
                await lobby.calls(before + 1)
            else:
                assert (await visitor.some()).startswith(answer)


@pytest.mark.parametrize("first", [b"get /livez HTTP/1.1\r\nHost: x\r\nA: b\r\n\r\n", b"BREW /pot HTTP/1.1\r\n\r\n"])
async def test_a_method_that_is_none_gets_one_answer_over_http(first: bytes) -> None:
    async with Lobby().open() as lobby:
        said = await (await lobby.visit(first)).rest()
    assert said.startswith(b"HTTP/1.1 400") and said.count(b'"error"') == 1 and b"bad_http" in said


async def test_hundreds_of_silent_sockets_are_closed_and_a_real_client_is_served_meanwhile() -> None:
    async with Lobby().open() as lobby:
        lobby.doors.first_bytes_s = 0.5
        silent = [await lobby.visit() for _ in range(300)]
        visitor = await lobby.visit(GET)
        assert (await visitor.some()).startswith(b"HTTP/1.1 200")
        for sock in silent:
            assert await sock.rest() == b""


async def test_a_first_byte_and_then_silence_is_no_better() -> None:
    async with Lobby().open() as lobby:
        lobby.doors.first_bytes_s = 0.1
        visitor = await lobby.visit(b"G")
        assert await visitor.rest() == b""


async def test_too_few_bytes_before_the_end_get_an_answer_in_words() -> None:
    async with Lobby().open() as lobby:
        visitor = await lobby.visit(b"GE")
        visitor.writer.write_eof()
        assert b'"error"' in await visitor.rest()


async def test_tls_without_a_certificate_is_closed_at_once() -> None:
    async with Lobby().open() as lobby:
        visitor = await lobby.visit(b"\x16\x03\x01\x00\xa5")
        assert await visitor.rest() == b""


async def test_one_who_leaves_without_a_word_leaves_nothing_behind() -> None:
    async with Lobby().open() as lobby:
        (await lobby.visit()).writer.close()
        (await lobby.visit(b"CLI")).leave()
        visitor = await lobby.visit(GET)
        assert (await visitor.some()).startswith(b"HTTP/1.1 200")


# --- who may come without TLS where there is a certificate


@pytest.mark.parametrize(
    ("first", "known"),
    [
        (b'{"register":', True),
        (b' \n{ "register" : {', True),
        (b'{"register"', None),
        (b"{", None),
        (b"", None),
        (b'{"prompt":"hi"}\n', False),
        (b'{"registered":1}\n', False),
        (b'{"prompt":"' + b"x" * 64, False),
        (b" " * 64, False),
    ],
)
def test_an_agent_is_known_by_its_first_line(first: bytes, known: bool | None) -> None:
    assert begins_registration(first) is known


class Far(asyncio.Transport):
    """A connection from another machine."""

    def __init__(self) -> None:
        super().__init__()
        self.said = b""
        self.ended = False
        self.protocol: asyncio.BaseProtocol | None = None

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return ("192.0.2.7", 4000) if name == "peername" else default

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.said += data

    def write_eof(self) -> None:
        self.ended = True

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self.protocol = protocol

    def abort(self) -> None:
        self.ended = True


class Guest(asyncio.Protocol):
    """Whom a door let in, and with what."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.received = b""

    def data_received(self, data: bytes) -> None:
        self.received += data


def knock(first: bytes, context: ssl.SSLContext | None, *, insecure: bool = False) -> tuple[Far, str | None]:
    """From another machine, byte by byte; what the transport saw and which door opened."""
    doors = Doors(
        native=lambda: Guest("native"),
        http=lambda: Guest("http"),
        classic=lambda: Guest("classic"),
        new_id=lambda: "one",
        tls=context,
        plain_from_elsewhere=insecure,
    )
    far = Far()
    sniffer = Sniffer(doors)
    sniffer.connection_made(far)
    for n in range(len(first)):
        current = far.protocol if isinstance(far.protocol, Guest) else sniffer
        current.data_received(first[n : n + 1])
    if far.protocol is None and not far.ended:
        sniffer.eof_received()
    sniffer.connection_lost(None)
    if isinstance(far.protocol, Guest):
        assert far.protocol.received == first
        return far, far.protocol.kind
    return far, None


AGENT = b'{"register":{"name":"gpu-1"}}\n'
ASK = b'{"prompt":"hi","key":"lb-secret"}\n'


@needs_openssl
@pytest.mark.parametrize(
    ("first", "kind", "said"),
    [
        (GET, None, b"HTTP/1.1 400"),
        (ASK, None, b'"tls_required"'),
        (b"hello\n", None, b'"tls_required"'),
        (b"{", None, b'"tls_required"'),
        (AGENT, "native", b""),
        (b"CLIENT|ADDhello", "classic", b""),
    ],
)
async def test_other_machines_must_use_the_certificate_but_for_those_who_carry_no_key(
    context: ssl.SSLContext, first: bytes, kind: str | None, said: bytes
) -> None:
    far, door = knock(first, context)
    assert door == kind and said in far.said and far.ended == (kind is None)
    if kind is None:
        assert b"https://" in far.said
    assert (b"x-request-id: one\r\n" in far.said) is (first == GET)


@needs_openssl
@pytest.mark.parametrize(("first", "kind"), [(GET, "http"), (ASK, "native"), (AGENT, "native")])
async def test_without_a_certificate_or_where_the_operator_insists_they_need_none(
    context: ssl.SSLContext, first: bytes, kind: str
) -> None:
    assert knock(first, None)[1] == kind
    assert knock(first, context, insecure=True)[1] == kind


@needs_openssl
async def test_this_machine_may_do_without(context: ssl.SSLContext) -> None:
    async with Lobby().open() as lobby:
        lobby.doors.tls = context
        assert (await (await lobby.visit(GET)).some()).startswith(b"HTTP/1.1 200")


# --- descriptors


async def test_who_comes_when_descriptors_run_out_is_refused_and_the_others_stay() -> None:
    async with Lobby().open() as lobby:
        inside = await lobby.visit(GET)
        assert (await inside.some()).startswith(b"HTTP/1.1 200")
        lobby.doors.gate = Gate(3)  # this process holds more than that
        assert await (await lobby.visit(GET)).rest() == b""
        inside.send(GET)
        assert (await inside.some()).startswith(b"HTTP/1.1 200")
        lobby.doors.gate = Gate(1 << 20)
        assert (await (await lobby.visit(GET)).some()).startswith(b"HTTP/1.1 200")
