from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from backend.engines.base import (
    ChatPrompt,
    Engine,
    GenerationRequest,
    Message,
    Sampling,
    SoFar,
    TextPrompt,
    TokensPrompt,
    Usage,
)
from backend.engines.echo import EchoEngine
from tests.backend.engines.contract import EngineContract, generate
from tests.backend.fakes import RecordingSink


class TestContract(EngineContract):
    @pytest_asyncio.fixture
    async def engine(self) -> AsyncIterator[Engine]:
        engine = EchoEngine(slots=4, max_model_len=256)
        await engine.start()
        yield engine
        await engine.close()


async def test_it_says_the_prompt_once_word_by_word() -> None:
    sink = await generate(EchoEngine(), TextPrompt("Once  upon\na time"))
    assert [piece.text for piece in sink.pieces] == ["Once", "  upon", "\na", " time", ""]
    assert sink.last.finish_reason == "stop"


async def test_of_a_conversation_it_says_the_last_thing_the_user_said() -> None:
    prompt = ChatPrompt((Message("user", "first"), Message("assistant", "first"), Message("user", "second thing")))
    assert (await generate(EchoEngine(), prompt)).text == "second thing"


async def test_a_partial_answer_is_gone_on_with() -> None:
    prompt = ChatPrompt((Message("user", "one two three"), Message("assistant", "one two")), continue_final=True)
    assert (await generate(EchoEngine(), prompt)).text == " three"


@pytest.mark.parametrize("ignore_eos", [True, False])
async def test_any_beginning_of_its_answer_is_gone_on_with_to_the_letter(ignore_eos: bool) -> None:
    sampling: dict[str, Any] = {"max_tokens": 9, "ignore_eos": ignore_eos}
    prompt = TextPrompt(" Grüße,  aus\n東京 👩‍👩‍👧! ")
    whole = await generate(EchoEngine(), prompt, **sampling)
    for cut in range(1, len(whole.text) + 1):
        said = whole.text[:cut]
        rest = await generate(EchoEngine(), prompt, SoFar(said), **sampling)
        assert (said + rest.text)[: len(whole.text)] == whole.text
        assert rest.last.finish_reason == whole.last.finish_reason


async def test_what_can_not_be_the_beginning_of_its_answer_is_refused() -> None:
    for said in ("one to", "one two three four", "x", " one"):
        sink = await generate(EchoEngine(), TextPrompt("one two three"), SoFar(said))
        assert sink.error is not None
        assert (sink.error.status, sink.error.param) == (400, "continue_from")


async def test_an_answer_that_was_all_said_ends_at_once() -> None:
    sink = await generate(EchoEngine(), TextPrompt("one two"), SoFar("one two"))
    assert (sink.text, sink.last.finish_reason, sink.last.usage) == ("", "stop", Usage(2, 2))


async def test_it_goes_round_until_max_tokens_if_told_not_to_stop() -> None:
    sink = await generate(EchoEngine(), TextPrompt("a b"), max_tokens=5, ignore_eos=True)
    assert sink.text == " a b a b a"


async def test_text_of_white_space_or_nothing_ends_at_once() -> None:
    assert (await generate(EchoEngine(), TextPrompt(" \n"))).text == " \n"
    empty = await generate(EchoEngine(), ChatPrompt((Message("user", ""),)), ignore_eos=True)
    assert (empty.text, empty.last.finish_reason) == ("", "stop")


async def test_token_ids_are_refused_since_they_mean_nothing_here() -> None:
    sink = await generate(EchoEngine(), TokensPrompt((1, 2)))
    assert sink.error is not None
    assert (sink.error.status, sink.error.param) == (400, "prompt")


async def test_the_pause_comes_before_every_token_and_is_shared_by_all() -> None:
    engine = EchoEngine(delay_ms=20)
    began = time.monotonic()
    await asyncio.gather(*(generate(engine, TextPrompt("a b c")) for _ in range(8)))
    assert 0.08 <= time.monotonic() - began < 5


async def test_a_cancelled_request_is_freed_long_before_the_next_token_and_moves_no_other() -> None:
    engine = EchoEngine(delay_ms=60_000)
    request = GenerationRequest(prompt=TextPrompt("a b"))
    sinks = RecordingSink(), RecordingSink()
    first, second = [engine.submit(request, sink) for sink in sinks]
    first.cancel()
    await asyncio.wait_for(sinks[0].done.wait(), 5)
    assert (sinks[0].last.finish_reason, sinks[0].text) == ("cancelled", "")
    assert engine.load().running == 1
    assert sinks[1].prompt_token_ids is None and not sinks[1].pieces
    second.cancel()
    await asyncio.wait_for(sinks[1].done.wait(), 5)
    assert engine.load().running == 0


async def test_whoever_comes_after_a_cancel_waits_the_whole_pause() -> None:
    engine = EchoEngine(delay_ms=100)
    engine.submit(GenerationRequest(prompt=TextPrompt("a")), RecordingSink()).cancel()
    await asyncio.sleep(0.05)
    began = time.monotonic()
    await generate(engine, TextPrompt("a"), max_tokens=1)
    assert time.monotonic() - began >= 0.09


@pytest.mark.parametrize("delay_ms", [0.0, 1.0])
async def test_a_request_made_while_a_step_runs_is_not_lost(delay_ms: float) -> None:
    engine = EchoEngine(delay_ms=delay_ms)
    first, second = RecordingSink(), RecordingSink()
    request = GenerationRequest(prompt=TextPrompt("a b"), sampling=Sampling())

    def submit_second() -> None:
        if len(first.pieces) == 1:
            engine.submit(request, second)

    first.on_piece = submit_second
    engine.submit(request, first)
    await asyncio.wait_for(first.done.wait(), 5)
    await asyncio.wait_for(second.done.wait(), 5)
    assert second.text == "a b"
