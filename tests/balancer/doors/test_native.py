from __future__ import annotations

import asyncio
import json

import pytest

from balancer.doors.clients import ClientLimits
from balancer.doors.native import NativeConnection
from balancer.wire.limits import IN_FLIGHT_MAX, LINE_MAX_BYTES, PIPELINED_MAX_BYTES, UNSENT_MAX_BYTES
from tests.balancer.doors.lobby import Lobby, Visitor
from tests.fakes import text_events


def a_lobby(slots: int = 400, **changes: object) -> Lobby:
    lobby = Lobby(**changes)  # type: ignore[arg-type]
    lobby.hall.join("a", slots=slots)
    return lobby


async def error_of(visitor: Visitor) -> tuple[object, str]:
    line = await visitor.line()
    return line.get("id"), line["error"]["code"]


# --- requests


async def test_an_answer_streams_as_text_lines_and_ends_with_done() -> None:
    async with a_lobby().open() as lobby:
        visitor = await lobby.visit({"id": 7, "prompt": "hi"})
        await lobby.calls(1)
        lobby.hall.calls[0].say("Once ")
        assert await visitor.line() == {"id": 7, "text": "Once "}
        lobby.hall.calls[0].answer("upon")
        assert await visitor.line() == {"id": 7, "text": "upon"}
        done = (await visitor.line())["done"]
        assert (done["finish_reason"], done["backend"], done["cache"], done["model"]) == ("stop", "a", "off", "m")
        assert done["usage"]["completion_tokens"] == 2
        assert done["attempts"] == 1


async def test_many_requests_run_at_once_and_are_told_apart_by_id() -> None:
    async with a_lobby().open() as lobby:
        visitor = await lobby.visit(*({"id": f"q{i}", "prompt": str(i)} for i in range(20)))
        await lobby.calls(20)
        for call in reversed(lobby.hall.calls):
            call.answer(call.request.body["prompt"])
        heard: dict[str, list[str | None]] = {}
        for _ in range(40):
            line = await visitor.line()
            heard.setdefault(line["id"], []).append(line.get("text"))
        assert heard == {f"q{i}": [str(i), None] for i in range(20)}


async def test_requests_without_id_run_one_by_one_and_carry_none() -> None:
    async with a_lobby().open() as lobby:
        visitor = await lobby.visit(*({"prompt": str(i)} for i in range(3)))
        for i in range(3):
            await lobby.calls(i + 1)
            assert len(lobby.hall.calls) == i + 1
            lobby.hall.calls[i].answer(f"answer {i}")
            assert await visitor.line() == {"text": f"answer {i}"}
            assert "done" in await visitor.line()


async def test_one_that_is_refused_does_not_stop_those_behind_it() -> None:
    async with a_lobby().open() as lobby:
        visitor = await lobby.visit(*({"prompt": "x", "model": "nobody's"} for _ in range(50)), {"prompt": "y"})
        for _ in range(50):
            assert (await error_of(visitor))[1] in ("no_backend", "model_not_found")
        await lobby.calls(1)
        lobby.hall.calls[0].answer("z")
        assert await visitor.line() == {"text": "z"}


async def test_unnamed_requests_may_keep_coming_for_ever_while_few_wait_at_a_time() -> None:
    async with a_lobby().open() as lobby:
        filler = "x" * 20_000
        visitor = await lobby.visit({"prompt": filler}, {"prompt": filler})
        for i in range(12):
            await lobby.calls(i + 1)
            visitor.send({"prompt": filler})  # never fewer than one waits
            lobby.hall.calls[i].answer("y")
            assert await visitor.line() == {"text": "y"}
            assert "done" in await visitor.line()


async def test_unnamed_requests_that_wait_are_bounded() -> None:
    async with a_lobby().open() as lobby:
        visitor = await lobby.visit(*({"prompt": "x" * 30_000} for _ in range(5)))
        assert await visitor.rest() == b""
        await lobby.until(lambda: lobby.hall.in_flight() == 0)


async def test_an_id_in_flight_twice_is_an_error_and_the_first_goes_on() -> None:
    async with a_lobby().open() as lobby:
        visitor = await lobby.visit({"id": 1, "prompt": "a"}, {"id": 1, "prompt": "b"})
        assert await error_of(visitor) == (1, "duplicate_id")
        lobby.hall.calls[0].answer("x")
        assert await visitor.line() == {"id": 1, "text": "x"}
        assert "done" in await visitor.line()
        visitor.send({"id": 1, "prompt": "again"})
        await lobby.calls(2)


async def test_only_so_many_are_in_flight_on_one_connection() -> None:
    async with a_lobby().open() as lobby:
        visitor = await lobby.visit(*({"id": i, "prompt": "x"} for i in range(IN_FLIGHT_MAX + 1)))
        assert await error_of(visitor) == (IN_FLIGHT_MAX, "too_many_in_flight")
        assert len(lobby.hall.calls) == IN_FLIGHT_MAX
        lobby.hall.calls[0].answer("x")
        await visitor.line()
        await visitor.line()
        visitor.send({"id": "next", "prompt": "x"})
        await lobby.calls(IN_FLIGHT_MAX + 1)


async def test_who_waits_is_told_its_position() -> None:
    async with a_lobby(slots=1).open() as lobby:
        visitor = await lobby.visit({"id": 1, "prompt": "a"}, {"id": 2, "prompt": "b"}, {"id": 3, "prompt": "c"})
        assert await visitor.line() == {"id": 2, "queued": {"position": 1}}
        assert await visitor.line() == {"id": 3, "queued": {"position": 2}}
        lobby.hall.calls[0].answer("x")
        await visitor.line()
        await visitor.line()
        lobby.hall.dispatcher.tell_positions()
        assert await visitor.line() == {"id": 3, "queued": {"position": 1}}


async def test_a_cancel_is_answered_and_frees_the_slot() -> None:
    async with a_lobby(slots=1).open() as lobby:
        visitor = await lobby.visit({"id": 1, "prompt": "a"}, {"id": 2, "prompt": "b"}, {"cancel": 2})
        assert "queued" in await visitor.line()
        assert (await visitor.line())["done"]["finish_reason"] == "cancelled"
        lobby.hall.calls[0].say("x")
        await visitor.line()
        visitor.send({"cancel": 1}, {"cancel": 1}, {"cancel": "unknown"}, {"id": 3, "prompt": "c"})
        assert (await visitor.line())["done"]["finish_reason"] == "cancelled"
        assert lobby.hall.calls[0].cancelled
        await lobby.calls(2)
        lobby.hall.calls[1].answer("y")
        assert await visitor.line() == {"id": 3, "text": "y"}


async def test_an_answer_from_the_cache_streams_like_any_other() -> None:
    async with a_lobby(cache=True).open() as lobby:
        visitor = await lobby.visit({"id": 1, "prompt": "a"})
        await lobby.calls(1)
        lobby.hall.calls[0].answer("x", "y")
        assert [(await visitor.line()).get("text") for _ in range(2)] == ["xy", None]
        visitor.send({"id": 2, "prompt": "a"})
        assert await visitor.line() == {"id": 2, "text": "xy"}
        done = (await visitor.line())["done"]
        assert (done["cache"], done["finish_reason"]) == ("exact", "stop")
        assert done["age_s"] >= 0


async def test_a_hundred_cached_answers_to_unnamed_requests_do_not_nest() -> None:
    async with a_lobby(cache=True).open() as lobby:
        visitor = await lobby.visit({"prompt": "a"})
        await lobby.calls(1)
        lobby.hall.calls[0].answer("x")
        await visitor.line()
        await visitor.line()
        visitor.send(b'{"prompt":"a"}\n' * 1500)
        for _ in range(1500):
            assert await visitor.line() == {"text": "x"}
            assert "done" in await visitor.line()


# --- what is no request


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (b"hello\n", "not_json"),
        (b"[1]\n", "not_json"),
        (b'{"hello":1}\n', "unknown_message"),
        (b'{"prompt":"\xff\xfe"}\n', "not_json"),
        (b'{"prompt":""}\n', "empty_prompt"),
        (b'{"prompt":"  "}\n', "empty_prompt"),
        (b'{"messages":[]}\n', "empty_prompt"),
        (b'{"prompt":"x","model":7}\n', "invalid_model"),
        (b'{"prompt":"x","cache":"maybe"}\n', "invalid_cache"),
        (b'{"prompt":' + b"[" * 5000 + b"]" * 5000 + b"}\n", "not_json"),
        (b'{"prove":{"mac":""}}\n', "invalid_request"),
    ],
)
async def test_a_bad_line_is_a_clear_error_and_the_connection_lives_on(line: bytes, code: str) -> None:
    async with a_lobby().open() as lobby:
        visitor = await lobby.visit({"id": 1, "prompt": "a"}, line, b"\n\r\n", {"id": 2, "prompt": "b"})
        assert await error_of(visitor) == (None, code)
        await lobby.calls(2)
        for call in lobby.hall.calls:
            call.answer("x")
        assert [(await visitor.line())["id"] for _ in range(4)] == [1, 1, 2, 2]


async def test_an_error_carries_the_id_that_the_line_had() -> None:
    async with a_lobby().open() as lobby:
        visitor = await lobby.visit({"id": 5, "prompt": ""})
        assert await error_of(visitor) == (5, "empty_prompt")


async def test_a_line_of_ten_megabytes_is_an_error_and_the_end() -> None:
    async with a_lobby().open() as lobby:
        other = await lobby.visit({"id": 1, "prompt": "a"})
        visitor = await lobby.visit(b'{"prompt":"')
        for _ in range(10):
            visitor.send(b"x" * LINE_MAX_BYTES)
        line = await visitor.line()
        assert line["error"]["code"] == "line_too_long"
        assert "id" not in line
        await lobby.calls(1)
        assert await visitor.rest() == b""
        lobby.hall.calls[0].answer("x")
        assert await other.line() == {"id": 1, "text": "x"}


async def test_half_a_line_and_then_silence_is_an_error_and_the_end() -> None:
    async with a_lobby(limits=ClientLimits(line_s=0.1)).open() as lobby:
        visitor = await lobby.visit(b'{"prompt":"Once')
        assert await error_of(visitor) == (None, "line_timeout")
        assert await visitor.rest() == b""


async def test_half_a_line_that_trickles_in_is_no_better() -> None:
    async with a_lobby(limits=ClientLimits(line_s=0.2)).open() as lobby:
        visitor = await lobby.visit(b'{"prompt":"')

        async def trickle() -> None:
            while True:
                visitor.send(b"x")
                await asyncio.sleep(0.02)

        task = asyncio.ensure_future(trickle())
        assert await error_of(visitor) == (None, "line_timeout")
        task.cancel()


async def test_an_idle_connection_may_stay() -> None:
    async with a_lobby(limits=ClientLimits(line_s=0.05)).open() as lobby:
        visitor = await lobby.visit({"id": 1, "prompt": "a"}, b"{", b'"id":2,"prompt":"b"}\n')
        await lobby.calls(2)
        await asyncio.sleep(0.2)
        for call in lobby.hall.calls:
            call.answer("x")
        assert await visitor.line() == {"id": 1, "text": "x"}


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


async def test_events_split_and_merged_give_one_text_line_each_time() -> None:
    async with a_lobby().open() as lobby:
        visitor = await lobby.visit({"id": 1, "prompt": "a"})
        await lobby.calls(1)
        lobby.hall.calls[0].send(text_events("a", "b", "c"))
        assert await visitor.line() == {"id": 1, "text": "abc"}


async def test_a_refused_connection_begins_none_of_the_requests_that_wait() -> None:
    failures: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: failures.append(context))
    async with a_lobby().open() as lobby:
        visitor = await lobby.visit({"prompt": "first"}, {"prompt": "second"})
        await lobby.calls(1)
        (connection,) = lobby.clients._open
        assert isinstance(connection, NativeConnection)
        lobby.hall.calls[0].answer("x")  # the next one is to begin in a moment
        connection.data_received(b"x" * (LINE_MAX_BYTES + 1))
        assert b"line_too_long" in await visitor.rest()
        assert len(lobby.hall.calls) == 1 and not failures
