"""Native lines: requests, and what is none."""

from __future__ import annotations

import asyncio

import pytest

from balancer.doors.clients import ClientLimits
from balancer.doors.native import NativeConnection
from balancer.wire.limits import IN_FLIGHT_MAX, LINE_MAX_BYTES
from tests.balancer.doors.native_visitor import a_lobby, error_of
from tests.fakes import text_events

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


# --- whatever else may come


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
