"""What an HTTP client hears that wants its answer in one piece."""

from __future__ import annotations

import json
from typing import Any

import pytest

from balancer.exchange.journal import TEXT_MAX_BYTES
from tests.balancer.doors.caller import called, chat, completion, reply, request
from tests.balancer.doors.hearing import WITH_USAGE, asking, facts, text_of

WHOLE = json.dumps(
    {
        "id": "x",
        "object": "text_completion",
        "model": "m",
        "choices": [{"index": 0, "text": "gr\u00fc\u00df"}],
        "odd": 1,
    },
    indent=1,
).encode()


async def test_a_whole_answer_is_passed_on_byte_for_byte() -> None:
    async with asking(completion()) as (_, visitor, call):
        assert not call.request.stream
        call.answer_whole(WHOLE)
        found = await (await reply(visitor)).whole()
        visitor.send(request("GET", "/livez"))
        assert (await reply(visitor)).status == 200
    assert found.body == WHOLE
    assert (found.status, found.headers["content-type"]) == (200, "application/json")
    assert facts(found) == ("a", "off", "1")


@pytest.mark.parametrize(
    "choices",
    [
        [{"index": 0, "message": {"content": "a"}}, {"index": 1, "message": {"content": "b"}}],
        [{"index": 0, "message": {"content": None, "tool_calls": [{"id": "c", "function": {"name": "f"}}]}}],
        [{"index": 0, "message": {"content": "a"}, "logprobs": {"content": []}, "finish_reason": "stop"}],
    ],
)
async def test_more_than_text_is_passed_on_and_never_cached_as_text(choices: list[dict[str, Any]]) -> None:
    whole = json.dumps({"model": "m", "choices": choices}).encode()
    async with asking(chat(), cache=True) as (lobby, visitor, call):
        call.answer_whole(whole)
        found = await (await reply(visitor)).whole()
        assert len(lobby.hall.store) == 0
    assert found.body == whole and facts(found) == ("a", "miss", "1")


@pytest.mark.parametrize("endpoint", ["chat", "completions"])
@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("second", [True, False])
async def test_what_one_asked_the_next_gets_from_the_cache_streaming_or_not(
    endpoint: str, first: bool, second: bool
) -> None:
    ask = chat if endpoint == "chat" else completion
    usage = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
    text = {"message": {"role": "assistant", "content": "Once"}} if endpoint == "chat" else {"text": "Once"}
    whole = {"model": "m", "choices": [{"index": 0, "finish_reason": "stop", **text}], "usage": usage}
    async with asking(ask(stream=first), cache=True) as (lobby, visitor, call):
        if first:
            call.answer("Once")
        else:
            call.answer_whole(json.dumps(whole).encode())
        await (await reply(visitor)).whole()
        found = await called(lobby, ask(stream=second, **(WITH_USAGE if second else {})))
        assert len(lobby.hall.calls) == 1
    backend, cache, attempts = facts(found)
    assert (backend, attempts) == ("a", "0") and cache.startswith("exact; age=0; entry=")
    if second:
        assert text_of(found) == "Once"
        assert found.events[-1] == b"[DONE]"
        chunks = [json.loads(data) for data in found.events[:-1]]
        assert chunks[-1]["usage"] == usage
        assert len({(chunk["id"], chunk["model"], chunk["created"], chunk["object"]) for chunk in chunks}) == 1
        if endpoint == "chat":
            assert [chunk["choices"][0]["delta"].get("role") for chunk in chunks[:-1]] == ["assistant", None]
        return
    assert found.json["usage"] == usage
    (choice,) = found.json["choices"]
    assert choice["finish_reason"] == "stop" and choice["index"] == 0
    assert choice.get("text") or choice["message"]["content"] == "Once"
    assert found.json["object"] == ("chat.completion" if endpoint == "chat" else "text_completion")
    assert found.json["created"] == 1_800_000_000


async def test_an_answer_that_came_as_events_is_gathered_into_one_body() -> None:
    """As a classic backend's does."""
    async with asking(completion("X-Request-Id: abc")) as (_, visitor, call):
        call.say("Once ", "upon")
        call.finish()
        found = await (await reply(visitor)).whole()
    assert found.json == {
        "id": "cmpl-abc",
        "object": "text_completion",
        "created": 1_800_000_000,
        "model": "m",
        "choices": [{"index": 0, "finish_reason": "stop", "logprobs": None, "text": "Once upon"}],
        "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5},
    }


async def test_an_answer_that_is_too_long_to_gather_is_no_answer() -> None:
    async with asking(completion()) as (_, visitor, call):
        call.say(*["x" * 10_000] * (TEXT_MAX_BYTES // 10_000 + 2))
        call.finish()
        found = await (await reply(visitor)).whole()
    assert (found.status, found.code) == (502, "backend_failed")


async def test_a_whole_answer_has_as_long_as_the_request_may_take() -> None:
    async with asking(completion()) as (lobby, visitor, call):
        lobby.hall.dispatcher.advance(lobby.hall.clock.time() + 300.0)
        call.answer_whole(WHOLE)
        assert (await reply(visitor)).status == 200
