"""What every engine must do, whatever it generates with. An engine's test module subclasses `EngineContract`."""

from __future__ import annotations

import asyncio
from typing import Any

from backend.engines.base import (
    ChatPrompt,
    Engine,
    GenerationRequest,
    Message,
    Prompt,
    Sampling,
    SoFar,
    TextPrompt,
    Usage,
)
from tests.backend.fakes import RecordingSink

PROMPT = TextPrompt("one two three four five six seven eight")
NOTHING = SoFar()


async def goes_on_from_every_piece(engine: Engine, whole: RecordingSink, prompt: Prompt, **sampling: Any) -> None:
    """Whoever had read up to any piece of ``whole`` gets from another engine exactly what he had not read."""
    text = ""
    ids: tuple[int, ...] = ()
    for piece in whole.pieces[:-1]:
        text += piece.text
        ids += piece.token_ids
        left = sampling["max_tokens"] - len(ids)
        rest = await generate(engine, prompt, SoFar(text, ids), **sampling | {"max_tokens": left})
        assert rest.error is None
        assert text + rest.text == whole.text
        assert ids + rest.token_ids == whole.token_ids
        assert rest.prompt_token_ids == whole.prompt_token_ids
        assert (rest.last.finish_reason, rest.last.usage) == (whole.last.finish_reason, whole.last.usage)


async def generate(engine: Engine, prompt: Prompt = PROMPT, so_far: SoFar = NOTHING, **sampling: Any) -> RecordingSink:
    """Ask and wait for the end."""
    sink = RecordingSink()
    engine.submit(GenerationRequest(prompt=prompt, sampling=Sampling(**sampling), so_far=so_far), sink)
    async with asyncio.timeout(60):
        await sink.done.wait()
    return sink


class EngineContract:
    """A subclass gives a fixture ``engine``: started, with at least 4 slots and a context of at least 64 tokens."""

    async def test_an_answer_starts_comes_in_pieces_and_ends_with_reason_and_usage(self, engine: Engine) -> None:
        sink = await generate(engine, max_tokens=5, ignore_eos=True)
        assert sink.error is None
        assert sink.prompt_token_ids
        assert sink.text
        assert sink.last.finish_reason == "length"
        assert sink.last.usage == Usage(len(sink.prompt_token_ids), 5)
        assert len(sink.token_ids) == 5
        assert all(piece.finish_reason is None and piece.usage is None for piece in sink.pieces[:-1])

    async def test_nothing_comes_before_submit_returns(self, engine: Engine) -> None:
        sink = RecordingSink()
        engine.submit(GenerationRequest(prompt=PROMPT, sampling=Sampling(max_tokens=1)), sink)
        assert sink.prompt_token_ids is None
        assert not sink.pieces
        await asyncio.wait_for(sink.done.wait(), 60)

    async def test_at_temperature_0_the_same_request_has_the_same_answer(self, engine: Engine) -> None:
        one, two = [await generate(engine, max_tokens=8, temperature=0.0) for _ in range(2)]
        assert (one.text, one.token_ids) == (two.text, two.token_ids)

    async def test_a_conversation_is_answered(self, engine: Engine) -> None:
        prompt = ChatPrompt((Message("system", "be brief"), Message("user", "tell me a story")))
        sink = await generate(engine, prompt, max_tokens=4, ignore_eos=True)
        assert sink.error is None
        assert sink.last.usage is not None
        assert sink.last.usage.completion_tokens == 4

    async def test_requests_run_side_by_side(self, engine: Engine) -> None:
        alone = [await generate(engine, max_tokens=4 + n, temperature=0.0, ignore_eos=True) for n in range(4)]
        together = await asyncio.gather(
            *(generate(engine, max_tokens=4 + n, temperature=0.0, ignore_eos=True) for n in range(4))
        )
        assert [sink.token_ids for sink in together] == [sink.token_ids for sink in alone]
        assert [sink.text for sink in together] == [sink.text for sink in alone]

    async def test_a_stop_string_ends_the_answer_before_it(self, engine: Engine) -> None:
        whole = (await generate(engine, max_tokens=8, temperature=0.0, ignore_eos=True)).text
        stop = whole[len(whole) // 2 : len(whole) // 2 + 3]
        sink = await generate(engine, max_tokens=8, temperature=0.0, ignore_eos=True, stop=(stop,))
        assert sink.text == whole[: whole.index(stop)]
        assert sink.last.finish_reason == "stop"

    async def test_an_answer_begun_elsewhere_is_gone_on_with(self, engine: Engine) -> None:
        sampling: dict[str, Any] = {"max_tokens": 10, "temperature": 0.0, "ignore_eos": True}
        whole = await generate(engine, **sampling)
        await goes_on_from_every_piece(engine, whole, PROMPT, **sampling)
        stop = whole.text[len(whole.text) * 2 // 3 :][:3]
        stopped = await generate(engine, stop=(stop,), **sampling)
        assert stopped.last.finish_reason == "stop"
        await goes_on_from_every_piece(engine, stopped, PROMPT, stop=(stop,), **sampling)

    async def test_the_text_alone_is_enough_to_go_on_from(self, engine: Engine) -> None:
        whole = await generate(engine, max_tokens=8, temperature=0.0, ignore_eos=True)
        said = "".join(piece.text for piece in whole.pieces[:4])
        rest = await generate(engine, PROMPT, SoFar(said), max_tokens=3, temperature=0.0, ignore_eos=True)
        assert rest.error is None
        assert rest.last.usage is not None
        assert rest.last.usage.completion_tokens > 3
        assert len(rest.token_ids) == 3

    async def test_an_answer_begun_in_a_conversation_is_gone_on_with(self, engine: Engine) -> None:
        prompt = ChatPrompt((Message("user", "tell me a story of one two three"),))
        sampling: dict[str, Any] = {"max_tokens": 6, "temperature": 0.0, "ignore_eos": True}
        await goes_on_from_every_piece(engine, await generate(engine, prompt, **sampling), prompt, **sampling)

    async def test_an_answer_so_far_that_fills_the_context_is_refused_by_name(self, engine: Engine) -> None:
        whole = await generate(engine, max_tokens=10**9, temperature=0.0, ignore_eos=True)
        sink = await generate(engine, PROMPT, SoFar(whole.text, whole.token_ids), temperature=0.0, ignore_eos=True)
        assert sink.error is not None
        assert (sink.error.status, sink.error.code) == (400, "context_length_exceeded")

    async def test_a_cancel_ends_it_within_one_token(self, engine: Engine) -> None:
        """In one of five times at least: on a busy machine, pieces made before the cancel may come in behind it."""
        sampling = Sampling(max_tokens=50, ignore_eos=True, temperature=0.0)

        async def pieces_until_it_ends() -> int:
            sink = RecordingSink()
            generation = engine.submit(GenerationRequest(prompt=PROMPT, sampling=sampling), sink)
            sink.on_piece = lambda: generation.cancel() if len(sink.pieces) == 3 else None
            await asyncio.wait_for(sink.done.wait(), 60)
            assert sink.last.finish_reason == "cancelled"
            return len(sink.pieces)

        assert min([await pieces_until_it_ends() for _ in range(5)]) <= 5

    async def test_a_cancel_before_the_first_token_ends_it_too(self, engine: Engine) -> None:
        sink = RecordingSink()
        engine.submit(GenerationRequest(prompt=PROMPT), sink).cancel()
        await asyncio.wait_for(sink.done.wait(), 60)
        assert sink.last.finish_reason == "cancelled"
        assert not sink.text

    async def test_a_prompt_that_fills_the_context_is_refused_by_name(self, engine: Engine) -> None:
        sink = await generate(engine, TextPrompt("word " * engine.info.max_model_len))
        assert sink.error is not None
        assert (sink.error.status, sink.error.code) == (400, "context_length_exceeded")
        assert str(engine.info.max_model_len) in sink.error.message

    async def test_more_tokens_than_the_context_holds_are_cut_to_it(self, engine: Engine) -> None:
        prompt = TextPrompt(" ".join(["a"] * (engine.info.max_model_len // 4)))
        sink = await generate(engine, prompt, max_tokens=10**9, ignore_eos=True)
        assert sink.last.finish_reason == "length"
        assert sink.last.usage is not None
        assert sink.last.usage.prompt_tokens + sink.last.usage.completion_tokens == engine.info.max_model_len

    async def test_the_load_is_told_and_ends_at_nothing(self, engine: Engine) -> None:
        idle = engine.load()
        assert (idle.running, idle.waiting, idle.ms_since_step) == (0, 0, 0)
        sink = RecordingSink()
        request = GenerationRequest(prompt=PROMPT, sampling=Sampling(max_tokens=10**9, ignore_eos=True))
        generation = engine.submit(request, sink)
        assert engine.load().running + engine.load().waiting == 1
        assert not engine.load().stuck
        await asyncio.wait_for(sink.wait_pieces(1), 60)
        assert engine.load().kv_tokens_used > 0
        generation.cancel()
        await asyncio.wait_for(sink.done.wait(), 60)
        await generate(engine, max_tokens=1)
        done = engine.load()
        assert (done.running, done.waiting, done.kv_tokens_used, done.ms_since_step) == (0, 0, 0, 0)
        assert done.tokens_per_s > 0
        assert done.kv_tokens_total >= engine.info.max_model_len

    async def test_closing_ends_what_runs_as_cancelled(self, engine: Engine) -> None:
        sink = RecordingSink()
        engine.submit(GenerationRequest(prompt=PROMPT, sampling=Sampling(ignore_eos=True)), sink)
        await asyncio.wait_for(sink.wait_pieces(1), 60)
        await engine.close()
        assert sink.done.is_set()
        assert sink.last.finish_reason in ("cancelled", "length")
