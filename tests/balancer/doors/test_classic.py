"""Classic clients, with all their traps."""

from __future__ import annotations

import asyncio
import ipaddress

import pytest

from balancer import errors
from balancer.doors import classic as classic_door
from balancer.doors.classic import may_speak
from balancer.doors.clients import ClientLimits
from balancer.wire.limits import PIPELINED_MAX_BYTES
from tests.balancer.doors.lobby import Lobby


def a_lobby(**changes: object) -> Lobby:
    lobby = Lobby(**changes)  # type: ignore[arg-type]
    lobby.hall.join("a")
    return lobby


async def test_a_client_says_hello_once_and_then_prompts() -> None:
    async with a_lobby().open() as lobby:
        visitor = await lobby.visit(b"CLIENT|ADD")
        await asyncio.sleep(0.02)
        for number, prompt in enumerate((b"one", b"two\n")):
            visitor.send(prompt)
            await lobby.calls(number + 1)
            call = lobby.hall.calls[number]
            assert call.request.body["prompt"] == prompt.decode().strip()
            assert call.request.tenant == "classic"
            call.say("Once ")
            call.answer("upon")
            assert await visitor.some() == b"Once upon"


@pytest.mark.parametrize("first", [b"CLIENT|ADDhello", b"CLIENT|ADD\nhello", b"CLIENT|ADD\r\nhello\r\n"])
async def test_hello_and_first_prompt_may_come_in_one_segment(first: bytes) -> None:
    async with a_lobby().open() as lobby:
        await lobby.visit(first)
        await lobby.calls(1)
        assert lobby.hall.calls[0].request.body["prompt"] == "hello"


async def test_an_answer_is_one_write_however_it_came() -> None:
    async with a_lobby().open() as lobby:
        visitor = await lobby.visit(b"CLIENT|ADDhello")
        await lobby.calls(1)
        for word in ("Once ", "upon ", "a ", "time"):
            lobby.hall.calls[0].say(word)
            await asyncio.sleep(0.002)
        lobby.hall.calls[0].finish()
        assert await visitor.some() == b"Once upon a time"


async def test_an_empty_answer_is_a_write_all_the_same() -> None:
    async with a_lobby().open() as lobby:
        visitor = await lobby.visit(b"CLIENT|ADDhello")
        await lobby.calls(1)
        lobby.hall.calls[0].finish()
        assert await visitor.some() == b"\n"


async def test_prompts_that_come_early_wait_their_turn() -> None:
    async with a_lobby().open() as lobby:
        visitor = await lobby.visit(b"CLIENT|ADDone")
        await lobby.calls(1)
        visitor.send(b"two")
        await asyncio.sleep(0.02)
        assert len(lobby.hall.calls) == 1
        lobby.hall.calls[0].answer("first")
        await lobby.calls(2)
        lobby.hall.calls[1].answer("second")
        assert await visitor.read(11) == b"firstsecond"


@pytest.mark.parametrize(
    ("prompt", "says"),
    [(b"\xff\xfe", b"not UTF-8"), (b" \n", b"prompt"), (b"\n", b"prompt")],
)
async def test_a_bad_prompt_is_one_plain_line_and_the_next_is_answered(prompt: bytes, says: bytes) -> None:
    async with a_lobby().open() as lobby:
        visitor = await lobby.visit(b"CLIENT|ADD")
        await asyncio.sleep(0.02)
        visitor.send(prompt)
        line = await visitor.some()
        assert line.startswith(b"ERROR ")
        assert line.endswith(b"\n") and line.count(b"\n") == 1
        assert says in line
        visitor.send(b"good")
        await lobby.calls(1)


async def test_a_failure_is_one_plain_line_and_never_half_an_answer() -> None:
    async with a_lobby().open() as lobby:
        visitor = await lobby.visit(b"CLIENT|ADDhello")
        await lobby.calls(1)
        lobby.hall.calls[0].say("half an ")
        lobby.hall.calls[0].fail(errors.backend_failed("a", "boom\nboom"))
        assert await visitor.some() == b"ERROR backend a failed: boom boom\n"


async def test_without_a_backend_there_is_an_error_at_once() -> None:
    async with Lobby().open() as lobby:
        visitor = await lobby.visit(b"CLIENT|ADDhello")
        assert (await visitor.some()).startswith(b"ERROR no backend")


async def test_a_cached_answer_is_given_like_any_other() -> None:
    async with a_lobby(cache=True).open() as lobby:
        visitor = await lobby.visit(b"CLIENT|ADDhello")
        await lobby.calls(1)
        lobby.hall.calls[0].answer("x")
        assert await visitor.some() == b"x"
        visitor.send(b"hello")
        assert await visitor.some() == b"x"
        assert len(lobby.hall.calls) == 1


@pytest.mark.parametrize("how", ["fin", "half-close", "reset"])
async def test_a_client_that_leaves_frees_its_slot(how: str) -> None:
    async with a_lobby().open() as lobby:
        visitor = await lobby.visit(b"CLIENT|ADDhello")
        await lobby.calls(1)
        match how:
            case "fin":
                visitor.writer.close()
            case "half-close":
                visitor.writer.write_eof()
            case _:
                visitor.leave()
        await lobby.until(lambda: lobby.hall.calls[0].cancelled)
        assert lobby.hall.in_flight() == 0


async def test_prompts_that_wait_are_bounded() -> None:
    async with a_lobby().open() as lobby:
        visitor = await lobby.visit(b"CLIENT|ADDhello")
        await lobby.calls(1)
        for _ in range(4):
            visitor.send(b"x" * (PIPELINED_MAX_BYTES // 2))
            await asyncio.sleep(0.02)
        await lobby.until(lambda: lobby.clients.connections == 0)
        assert lobby.hall.in_flight() == 0


async def test_an_answer_that_never_ends_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(classic_door, "ANSWER_MAX_BYTES", 1000)
    async with a_lobby().open() as lobby:
        visitor = await lobby.visit(b"CLIENT|ADDhello")
        await lobby.calls(1)
        for _ in range(20):
            if lobby.hall.calls[0].running:
                lobby.hall.calls[0].say("x" * 100)
        assert (await visitor.some()).startswith(b"ERROR ")
        assert lobby.hall.calls[0].cancelled


async def test_a_client_that_never_reads_is_cut_and_asks_no_backend_meanwhile() -> None:
    async with a_lobby(limits=ClientLimits(write_s=0.3)).open() as lobby:
        visitor = await lobby.visit(b"CLIENT|ADDhello")
        visitor.reader._transport.pause_reading()  # type: ignore[attr-defined]
        await lobby.calls(1)
        connection = next(iter(lobby.clients._open))
        for asked in range(1, 40):
            for _ in range(9):
                lobby.hall.calls[-1].say("x" * 100_000)
            lobby.hall.calls[-1].finish()
            visitor.send(b"again")
            await asyncio.sleep(0.01)
            if connection._write_paused:  # type: ignore[attr-defined]
                break
            await lobby.calls(asked + 1)
        else:
            raise AssertionError("never paused")
        before = len(lobby.hall.calls)
        await lobby.until(lambda: lobby.clients.connections == 0)
        assert len(lobby.hall.calls) == before


async def test_half_a_hello_and_then_silence_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(classic_door, "HELLO_S", 0.1)
    async with a_lobby().open() as lobby:
        visitor = await lobby.visit(b"CLIENT|AD")
        assert await visitor.rest() == b""


async def test_another_hello_is_told_what_was_expected() -> None:
    async with a_lobby().open() as lobby:
        visitor = await lobby.visit(b"CLIENT|REMOVE")
        assert await visitor.rest() == b"ERROR expected CLIENT|ADD\n"


async def test_when_the_daemon_stops_idle_clients_are_let_go_and_busy_ones_answered() -> None:
    async with a_lobby().open() as lobby:
        busy = await lobby.visit(b"CLIENT|ADDhello")
        idle = await lobby.visit(b"CLIENT|ADD")
        await lobby.calls(1)
        await lobby.until(lambda: lobby.clients.connections == 2)
        lobby.clients.drain()
        assert await idle.rest() == b""
        lobby.hall.calls[0].answer("x")
        assert await busy.rest() == b"x"


def test_classic_peers_are_of_this_machine_or_of_where_the_operator_says() -> None:
    allowed = (ipaddress.ip_network("10.0.0.0/8"),)
    assert may_speak("127.0.0.1", ())
    assert may_speak("::1", ())
    assert may_speak("10.1.2.3", allowed)
    assert may_speak("::ffff:10.1.2.3", allowed)
    assert not may_speak("10.1.2.3", ())
    assert not may_speak("192.0.2.1", allowed)
    assert not may_speak("", allowed)


async def test_others_are_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(classic_door, "is_loopback", lambda peer: False)
    async with a_lobby().open() as lobby:
        visitor = await lobby.visit(b"CLIENT|ADDhello")
        assert (await visitor.rest()).startswith(b"ERROR ")
        assert lobby.hall.calls == []
