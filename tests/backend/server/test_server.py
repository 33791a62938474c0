from __future__ import annotations

import asyncio

import pytest

from backend.engines.base import EngineLoad, Piece, Usage
from backend.engines.echo import EchoEngine
from backend.errors import EngineFailed
from tests.backend.fakes import ScriptedEngine, until
from tests.backend.server.http import Talk, serving

HELLO = {"messages": [{"role": "user", "content": "hello big world"}]}
LAST = Piece("", (), "stop", Usage(1, 1))


async def test_chat_whole_and_streamed_say_the_same() -> None:
    async with serving(EchoEngine()) as site:
        whole = await site.ask("/v1/chat/completions", HELLO)
        assert whole.status == 200
        assert whole.json["choices"][0]["message"]["content"] == "hello big world"
        assert whole.json["usage"] == {"prompt_tokens": 3, "completion_tokens": 3, "total_tokens": 6}
        streamed = await site.ask("/v1/chat/completions", HELLO | {"stream": True})
        assert streamed.headers[b"content-type"] == b"text/event-stream; charset=utf-8"
        assert streamed.events[-1] == "[DONE]"
        deltas = [event["choices"][0]["delta"].get("content", "") for event in streamed.events[:-1]]
        assert "".join(deltas) == "hello big world"
        assert streamed.complete


async def test_usage_comes_in_the_last_chunk_if_asked() -> None:
    async with serving(EchoEngine()) as site:
        body = {"prompt": "a b", "stream": True}
        asked = await site.ask("/v1/completions", body | {"stream_options": {"include_usage": True}})
        assert asked.events[-2]["usage"]["completion_tokens"] == 2
        unasked = await site.ask("/v1/completions", body)
        assert not any("usage" in event for event in unasked.events[:-1])


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/completions"])
async def test_an_answer_begun_elsewhere_is_gone_on_with_and_its_usage_is_that_of_all_of_it(path: str) -> None:
    asked = {"prompt": "one two three four"} | {"messages": [{"role": "user", "content": "one two three four"}]}
    more = asked | {"continue_from": {"text": "one tw"}, "max_tokens": 2}
    usage = {"prompt_tokens": 4, "completion_tokens": 3, "total_tokens": 7}
    async with serving(EchoEngine()) as site:
        whole = (await site.ask(path, more)).json
        choice = whole["choices"][0]
        assert (choice["message"]["content"] if "message" in choice else choice["text"]) == "o three"
        assert (choice["finish_reason"], whole["usage"]) == ("length", usage)
        ways = {"stream": True, "stream_options": {"include_usage": True}, "return_token_ids": "continue"}
        *chunks, last, done = (await site.ask(path, more | ways)).events
        choices = [chunk["choices"][0] for chunk in chunks]
        assert "".join(c.get("text") or c.get("delta", {}).get("content", "") for c in choices) == "o three"
        assert sum(len(choice.get("token_ids", [])) for choice in choices) == 2
        assert (last["usage"], done) == (usage, "[DONE]")


async def test_models_and_health() -> None:
    async with serving(EchoEngine(model="m", max_model_len=77)) as site:
        models = await site.ask("/v1/models", method="GET")
        assert models.json["data"][0]["id"] == "m"
        assert models.json["data"][0]["max_model_len"] == 77
        assert (await site.ask("/health", method="GET")).json == {"status": "ok"}


async def test_a_stuck_engine_is_not_healthy() -> None:
    engine = ScriptedEngine()
    engine.now = EngineLoad(running=1, ms_since_step=20_000)
    async with serving(engine) as site:
        health = await site.ask("/health", method="GET")
        assert (health.status, health.json) == (503, {"status": "stuck"})


@pytest.mark.parametrize(
    ("path", "body", "status", "code"),
    [
        ("/v1/completions", b"{", 400, "not_json"),
        ("/v1/completions", {}, 400, "invalid_request"),
        ("/v1/completions", {"prompt": "x", "continue_from": "x"}, 400, "invalid_type"),
        ("/v1/completions", {"prompt": "x", "continue_from": {"text": "y"}}, 400, "invalid_request"),
        ("/v1/completions", {"prompt": "x", "model": "other"}, 404, "model_not_found"),
        ("/v1/nothing", {}, 404, "not_found"),
        ("/health", {}, 405, "method_not_allowed"),
        ("/v1/completions", b"x" * ((4 << 20) + 1), 413, "body_too_large"),
    ],
)
async def test_what_can_not_be_served_is_an_error_object(path: str, body: object, status: int, code: str) -> None:
    async with serving(EchoEngine()) as site:
        answer = await site.ask(path, body)
        assert (answer.status, answer.error["code"]) == (status, code)
        assert answer.error["message"]
        assert (await site.ask("/health", method="GET")).status == 200


async def test_an_engines_refusal_is_the_answer() -> None:
    async with serving(EchoEngine(max_model_len=4)) as site:
        answer = await site.ask("/v1/completions", {"prompt": "far too many words here", "stream": True})
        assert (answer.status, answer.error["code"]) == (400, "context_length_exceeded")


async def test_above_its_slots_it_is_busy_at_once_and_a_freed_slot_serves_again() -> None:
    engine = ScriptedEngine()
    async with serving(engine, slots=2) as site:
        running = [await site.talk() for _ in range(2)]
        for talk in running:
            talk.send("/v1/completions", {"prompt": "x"})
        await until(lambda: len(engine.generations) == 2)
        refused = await site.ask("/v1/completions", {"prompt": "x"})
        assert (refused.status, refused.error["code"]) == (429, "busy")
        assert refused.headers[b"retry-after"] == b"1"
        engine.generations[0].sink.piece(LAST)
        assert (await running[0].answer()).status == 200
        assert site.server.running == 1
        running[0].send("/v1/completions", {"prompt": "again"})
        await until(lambda: len(engine.generations) == 3)


async def test_an_engine_that_breaks_in_mid_stream_leaves_no_clean_end() -> None:
    engine = ScriptedEngine()
    async with serving(engine) as site:
        talk = await site.talk()
        talk.send("/v1/completions", {"prompt": "x", "stream": True})
        await asyncio.wait_for(engine.submitted.wait(), 10)
        engine.generations[0].sink.piece(Piece("part", (1,)))
        engine.generations[0].sink.failed(EngineFailed("broke"))
        answer = await talk.answer()
        assert answer.events[-1]["error"]["code"] == "engine_failed"
        assert not answer.complete


async def stream_begun(talk: Talk, words: int) -> None:
    talk.send("/v1/completions", {"prompt": "w", "max_tokens": words, "ignore_eos": True, "stream": True})
    await asyncio.wait_for(talk.reader.readuntil(b'"text"'), 10)


async def test_draining_finishes_what_runs_and_refuses_what_comes_after_the_grace() -> None:
    async with serving(EchoEngine(delay_ms=5), slots=40) as site:
        talks = [await site.talk() for _ in range(20)]
        idle = await site.talk()
        for talk in talks:
            await stream_begun(talk, 300)
        draining = asyncio.ensure_future(site.server.drain(grace_s=1.0, timeout_s=30))
        await asyncio.sleep(0)
        assert (await site.ask("/v1/completions", {"prompt": "on its way"})).status == 200
        while (refused := await idle.ask("/v1/completions", {"prompt": "too late"})).status == 200:
            assert not draining.done()
        assert (refused.status, refused.error["code"]) == (503, "shutting_down")
        assert b"retry-after" in refused.headers
        assert (await idle.ask("/health", method="GET")).json == {"status": "draining"}
        for talk in talks:
            rest = await asyncio.wait_for(talk.reader.readuntil(b"[DONE]\n\n"), 30)
            assert rest.endswith(b"[DONE]\n\n")
        assert await asyncio.wait_for(draining, 10)


async def test_what_is_not_complete_at_the_end_of_the_drain_ends_in_an_error() -> None:
    async with serving(EchoEngine(delay_ms=5)) as site:
        talk = await site.talk()
        await stream_begun(talk, 8000)
        assert not await site.server.drain(grace_s=0, timeout_s=0.05)
        await site.server.close()
        rest = await talk.closed()
        assert b'"code":"shutting_down"' in rest
        assert not rest.endswith(b"0\r\n\r\n")


async def test_draining_with_nothing_to_do_takes_no_time() -> None:
    async with serving(EchoEngine()) as site:
        async with asyncio.timeout(5):
            assert await site.server.drain(grace_s=0, timeout_s=60)


async def test_a_taken_port_is_an_oserror() -> None:
    async with serving(EchoEngine()) as site:
        with pytest.raises(OSError):
            await site.server.listen("127.0.0.1", site.port)


async def test_many_clients_at_once_each_get_their_own_words() -> None:
    async with serving(EchoEngine(), slots=64) as site:
        answers = await asyncio.gather(
            *(site.ask("/v1/completions", {"prompt": f"client {n} of many"}) for n in range(64))
        )
        assert [a.json["choices"][0]["text"] for a in answers] == [f"client {n} of many" for n in range(64)]
        assert site.server.running == 0
