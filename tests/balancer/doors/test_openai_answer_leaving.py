"""HTTP clients that leave, or read slowly."""

from __future__ import annotations

import asyncio
import json

import pytest

from balancer.doors import openai_answer
from balancer.doors.clients import ClientLimits
from balancer.wire.limits import UNSENT_MAX_BYTES
from tests.balancer.doors.caller import completion, reply
from tests.balancer.doors.hearing import asking, text_of
from tests.fakes import FakeCall


@pytest.mark.parametrize("stage", ["queued", "asking", "streaming", "whole", "pinged"])
@pytest.mark.parametrize("way", ["reset", "close", "half"])
async def test_who_leaves_frees_the_slot_and_disturbs_nobody(
    stage: str, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fault 29; half a close is a whole one on HTTP."""
    async with asking(completion(stream=True)) as (lobby, sibling, kept):
        kept.say("a")
        if stage == "queued":
            for _ in range(3):
                await lobby.visit(completion())
            await lobby.calls(4)
        held = lobby.hall.in_flight()
        leaver = await lobby.visit(completion(stream=stage != "whole"))
        if stage == "queued":
            await lobby.until(lambda: len(lobby.hall.queue) == 1)
        else:
            await lobby.calls(2)
        if stage == "streaming":
            lobby.hall.calls[1].say("x")
            await reply(leaver)
        if stage == "pinged":
            monkeypatch.setattr(openai_answer, "HEAD_HELD_S", 0.0)
            lobby.clients.keep_alive()
            await reply(leaver)
        {"reset": leaver.leave, "close": leaver.writer.close, "half": leaver.writer.write_eof}[way]()
        async with asyncio.timeout(5.0):
            await lobby.until(lambda: lobby.hall.in_flight() == held and not len(lobby.hall.queue))
        if stage != "queued":
            assert lobby.hall.calls[1].cancelled
        kept.answer("b")
        assert text_of(await (await reply(sibling)).whole()) == "ab"
        assert lobby.hall.dispatcher.counts["cancelled"] == 1


async def flooded(call: FakeCall) -> None:
    """The backend talks until it is told to wait."""
    while not call.paused:
        call.say("x" * 10_000)
        await asyncio.sleep(0)


async def test_a_half_close_frees_the_slot_even_with_much_unread() -> None:
    """Faults 29 and 30: closing would wait for what the client does not read."""
    async with asking(completion(stream=True)) as (lobby, visitor, call):
        visitor.reader._transport.pause_reading()  # type: ignore[attr-defined]
        await flooded(call)
        visitor.writer.write_eof()
        async with asyncio.timeout(5.0):
            await lobby.until(lambda: call.cancelled)
        assert lobby.hall.in_flight() == 0


async def test_a_slow_reader_pauses_its_backend_in_bounded_memory_and_gets_all_of_it() -> None:
    """Fault 30."""
    async with asking(completion(stream=True)) as (lobby, visitor, call):
        transport = visitor.reader._transport  # type: ignore[attr-defined]
        transport.pause_reading()
        await flooded(call)
        connection = next(iter(lobby.clients._open))
        assert connection._transport.get_write_buffer_size() < UNSENT_MAX_BYTES + 20_000  # type: ignore[attr-defined]
        transport.resume_reading()
        await lobby.until(lambda: not call.paused)
        call.finish()
        found = await (await reply(visitor)).whole()
    assert set(text_of(found)) == {"x"} and len(text_of(found)) % 10_000 == 0


async def test_who_reads_nothing_is_cut() -> None:
    """Fault 30."""
    async with asking(completion(stream=True), limits=ClientLimits(write_s=0.1)) as (lobby, visitor, call):
        visitor.reader._transport.pause_reading()  # type: ignore[attr-defined]
        await flooded(call)
        await lobby.until(lambda: call.cancelled)
        assert lobby.hall.in_flight() == 0
        await lobby.until(lambda: lobby.clients.connections == 0)


async def test_who_does_not_read_the_last_of_it_is_cut_as_well() -> None:
    """Closing waits until all is written, and that has a limit of its own."""
    sent = completion("Connection: close")
    async with asking(sent, limits=ClientLimits(write_s=0.1)) as (lobby, visitor, call):
        visitor.reader._transport.pause_reading()  # type: ignore[attr-defined]
        text = "x" * (8 << 20)
        call.answer_whole(json.dumps({"choices": [{"text": text}]}).encode())
        await lobby.until(lambda: lobby.clients.connections == 0)
