"""Native clients that leave or do not read, and a daemon that stops."""

from __future__ import annotations

import asyncio
import json

import pytest

from balancer.doors.clients import ClientLimits
from balancer.wire.limits import PIPELINED_MAX_BYTES, UNSENT_MAX_BYTES
from tests.balancer.doors.lobby import Lobby, Visitor
from tests.balancer.doors.native_visitor import a_lobby, error_of

# --- leaving


async def test_a_client_that_closes_its_sending_side_is_still_answered() -> None:
    async with a_lobby(limits=ClientLimits(line_s=0.05)).open() as lobby:
        visitor = await lobby.visit({"prompt": "a"}, {"id": 1, "prompt": "b"}, b'{"id":2,"pro', b'mpt":"no newline"}')
        visitor.writer.write_eof()
        await lobby.calls(3)
        await asyncio.sleep(0.15)  # longer than a half line may take
        for call in list(lobby.hall.calls):
            call.answer("x")
        lines = [json.loads(line) for line in (await visitor.rest()).splitlines() if line.strip()]
        assert sum("done" in line for line in lines) == 3
        assert not any("error" in line for line in lines)


async def test_requests_that_wait_for_their_turn_are_still_answered_after_the_end_of_input() -> None:
    async with a_lobby().open() as lobby:
        visitor = await lobby.visit(*({"prompt": str(i)} for i in range(3)))
        visitor.writer.write_eof()
        for i in range(3):
            await lobby.calls(i + 1)
            lobby.hall.calls[i].answer("x")
        assert (await visitor.rest()).count(b'"done"') == 3


async def test_an_end_of_input_with_nothing_asked_closes() -> None:
    async with a_lobby().open() as lobby:
        visitor = await lobby.visit(b"\n")
        visitor.writer.write_eof()
        assert await visitor.rest() == b""


@pytest.mark.parametrize("state", ["asking", "streaming", "queued"])
async def test_a_client_that_is_gone_frees_its_slot(state: str) -> None:
    async with a_lobby(slots=1).open() as lobby:
        sibling = await lobby.visit({"id": 1, "prompt": "first"})
        await lobby.calls(1)
        if state == "queued":
            visitor = await lobby.visit({"id": 1, "prompt": "second"})
            await visitor.line()
            visitor.leave()
            await lobby.until(lambda: len(lobby.hall.queue) == 0)
            lobby.hall.calls[0].answer("x")
            assert await sibling.line() == {"id": 1, "text": "x"}
            return
        if state == "streaming":
            lobby.hall.calls[0].say("x")
            await sibling.line()
        sibling.leave()
        await lobby.until(lambda: lobby.hall.in_flight() == 0)
        assert lobby.hall.calls[0].cancelled


async def test_until_the_first_token_a_blank_line_goes_out() -> None:
    async with a_lobby().open() as lobby:
        visitor = await lobby.visit({"id": 1, "prompt": "a"})
        await lobby.calls(1)
        lobby.clients.keep_alive()
        assert await visitor.read(1) == b"\n"
        lobby.hall.calls[0].say("x")
        await visitor.line()
        lobby.clients.keep_alive()
        lobby.hall.calls[0].answer("y")
        assert await visitor.reader.readline() == b'{"id":1,"text":"y"}\n', "no blank line once it streams"


@pytest.mark.parametrize("streams", [False, True])
async def test_a_half_closed_client_that_leaves_is_found_out_by_blank_lines(streams: bool) -> None:
    async with a_lobby().open() as lobby:
        visitor = await lobby.visit({"id": 1, "prompt": "b"})
        await lobby.calls(1)
        if streams:
            lobby.hall.calls[0].say("x")
            await visitor.line()
        visitor.writer.close()
        for _ in range(100):
            if lobby.hall.calls[0].cancelled:
                return
            lobby.clients.keep_alive()
            await asyncio.sleep(0.01)
        raise AssertionError("never noticed")


# --- a client that does not read


async def flooded(lobby: Lobby, visitor: Visitor) -> None:
    """Write to a client that does not read until its exchange is paused."""
    visitor.reader._transport.pause_reading()  # type: ignore[attr-defined]
    await lobby.calls(1)
    piece = "x" * 50_000
    for _ in range(1000):
        if lobby.hall.calls[0].paused or lobby.hall.calls[0].cancelled:
            return
        lobby.hall.calls[0].say(piece)
        await asyncio.sleep(0)
    raise AssertionError("never paused")


async def test_a_client_that_does_not_read_pauses_its_backends_and_goes_on_when_it_reads() -> None:
    async with a_lobby().open() as lobby:
        visitor = await lobby.visit({"id": 1, "prompt": "a"}, {"id": 2, "prompt": "b"})
        await flooded(lobby, visitor)
        await lobby.calls(2)
        assert lobby.hall.calls[1].paused
        visitor.send({"id": 3, "prompt": "held until it reads"})
        await asyncio.sleep(0.02)
        assert len(lobby.hall.calls) == 2
        visitor.reader._transport.resume_reading()  # type: ignore[attr-defined]
        reading = asyncio.ensure_future(visitor.reader.read(1 << 22))
        await lobby.until(lambda: not lobby.hall.calls[0].paused)
        assert not lobby.hall.calls[1].paused
        await lobby.calls(3)
        reading.cancel()


async def test_what_was_asked_before_the_end_of_input_is_answered_even_if_the_client_read_late() -> None:
    async with a_lobby().open() as lobby:
        visitor = await lobby.visit({"id": 1, "prompt": "a"})
        await flooded(lobby, visitor)
        lobby.hall.calls[0].answer("end")
        visitor.send({"id": 2, "prompt": "b"})
        visitor.writer.write_eof()
        await asyncio.sleep(0.05)
        assert len(lobby.hall.calls) == 1
        visitor.reader._transport.resume_reading()  # type: ignore[attr-defined]
        reading = asyncio.ensure_future(visitor.rest())
        await lobby.calls(2)
        lobby.hall.calls[1].answer("late")
        tail = (await reading)[-400:]
        assert b'{"id":2,"text":"late"}' in tail
        assert tail.rstrip().endswith(b"}")


async def test_a_client_that_never_reads_is_cut_and_its_memory_is_bounded() -> None:
    async with a_lobby(limits=ClientLimits(write_s=0.3)).open() as lobby:
        visitor = await lobby.visit({"id": 1, "prompt": "a"})
        await flooded(lobby, visitor)
        connection = next(iter(lobby.clients._open))
        unsent = connection._transport.get_write_buffer_size()  # type: ignore[attr-defined]
        assert unsent < UNSENT_MAX_BYTES + 100_000
        await lobby.until(lambda: lobby.clients.connections == 0)
        assert lobby.hall.calls[0].cancelled
        assert lobby.hall.in_flight() == 0


async def test_a_client_that_sends_and_never_reads_is_bounded_too() -> None:
    async with a_lobby().open() as lobby:
        visitor = await lobby.visit({"id": 1, "prompt": "a"})
        await flooded(lobby, visitor)
        for i in range(5):
            visitor.send({"id": i + 2, "prompt": "x" * (PIPELINED_MAX_BYTES // 3)})
        await lobby.until(lambda: lobby.clients.connections == 0)


async def test_a_client_that_reads_nothing_of_its_last_answer_is_cut_too() -> None:
    async with a_lobby(limits=ClientLimits(write_s=0.2)).open() as lobby:
        visitor = await lobby.visit({"id": 1, "prompt": "a"})
        await flooded(lobby, visitor)
        visitor.writer.write_eof()
        lobby.hall.calls[0].answer("end")
        await lobby.until(lambda: lobby.clients.connections == 0)


# --- the daemon stops


async def test_when_the_daemon_stops_idle_connections_close_and_busy_ones_finish_first() -> None:
    async with a_lobby().open() as lobby:
        idle = await lobby.visit(b"\n")
        busy = await lobby.visit({"id": 1, "prompt": "a"})
        await lobby.calls(1)
        lobby.hall.dispatcher.stop()
        lobby.clients.drain()
        assert await idle.rest() == b""
        busy.send({"id": 2, "prompt": "b"})
        assert await error_of(busy) == (2, "shutting_down")
        lobby.hall.calls[0].answer("x")
        assert (await busy.rest()).count(b'"done"') == 1
