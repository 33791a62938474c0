from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from balancer.doors import listener
from balancer.doors.listener import protocol_of
from tests.balancer.doors.lobby import Lobby

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
        (b"get /", "native"),
        (b"SSH-2.0", "native"),
        (b"\x00\x01", "native"),
    ],
)
def test_the_first_bytes_tell_the_protocol(first: bytes, kind: str | None) -> None:
    assert protocol_of(first) == kind


@given(st.binary(min_size=1, max_size=64))
def test_the_answer_never_changes_once_it_is_given_and_comes_soon(data: bytes) -> None:
    kinds = [protocol_of(data[:n]) for n in range(1, len(data) + 1)]
    decided = [kind for kind in kinds if kind is not None]
    assert len(decided) >= len(kinds) - 9
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


async def test_a_thousand_silent_sockets_are_closed_and_a_real_client_is_served_meanwhile(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(listener, "FIRST_BYTES_S", 0.5)
    async with Lobby().open() as lobby:
        silent = [await lobby.visit() for _ in range(300)]
        visitor = await lobby.visit(GET)
        assert (await visitor.some()).startswith(b"HTTP/1.1 200")
        for sock in silent:
            assert await sock.rest() == b""


async def test_a_first_byte_and_then_silence_is_no_better(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener, "FIRST_BYTES_S", 0.1)
    async with Lobby().open() as lobby:
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
