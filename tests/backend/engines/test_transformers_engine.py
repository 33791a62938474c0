from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from backend.engines.base import Engine, GenerationRequest, Sampling, SoFar, TextPrompt, TokensPrompt
from backend.engines.catalog import STORYTELLER_PATH
from backend.engines.load import LoadedModel
from backend.engines.transformers_engine import Job, TransformersEngine, Worker
from backend.errors import EngineUnavailable
from tests.backend.engines.contract import EngineContract, generate, goes_on_from_every_piece
from tests.backend.fakes import RecordingSink

pytestmark = pytest.mark.torch


@pytest_asyncio.fixture
async def engine(tiny_path: Path) -> AsyncIterator[Engine]:
    engine = TransformersEngine(str(tiny_path), name="tiny", slots=4, device="cpu", threads=1)
    await engine.start()
    yield engine
    await engine.close()


class TestContract(EngineContract):
    pass


def asked(seed: int) -> dict[str, Any]:
    """A way of asking, different for each seed."""
    ways: list[dict[str, Any]] = [
        {"temperature": 0.0},
        {"temperature": 1.0},
        {"temperature": 0.8, "top_p": 0.9},
        {"top_k": 20, "repetition_penalty": 1.2},
        {"presence_penalty": 0.5, "frequency_penalty": 0.3},
    ]
    return {"seed": seed, "ignore_eos": True, "max_tokens": 20 + 3 * (seed % 7), **ways[seed % len(ways)]}


async def answers_are_the_same_alone_and_together(engine: Engine, prompts: list[str], count: int) -> None:
    """Byte for byte and token for token: alone, all at once, and joining one after the other."""

    def prompt(n: int) -> TextPrompt:
        return TextPrompt(prompts[n % len(prompts)])

    alone = [await generate(engine, prompt(n), **asked(n)) for n in range(count)]
    together = await asyncio.gather(*(generate(engine, prompt(n), **asked(n)) for n in range(count)))
    rng = random.Random(4)

    async def later(n: int) -> RecordingSink:
        await asyncio.sleep(rng.random() * 0.2)
        return await generate(engine, prompt(n), **asked(n))

    staggered = await asyncio.gather(*(later(n) for n in range(count)))
    for n in range(count):
        assert together[n].token_ids == alone[n].token_ids
        assert staggered[n].token_ids == alone[n].token_ids
        assert together[n].text.encode() == staggered[n].text.encode() == alone[n].text.encode()


async def test_a_seed_gives_the_same_answer_whatever_the_neighbours(engine: Engine) -> None:
    await answers_are_the_same_alone_and_together(engine, ["one two", "tell me a story of seven", "x"], 16)


@pytest.mark.skipif(not (STORYTELLER_PATH / "model.safetensors").exists(), reason="the built-in model is not here")
async def test_so_does_the_built_in_model() -> None:
    engine = TransformersEngine(str(STORYTELLER_PATH), name="storyteller", slots=16, device="cpu", threads=1)
    await engine.start()
    await answers_are_the_same_alone_and_together(engine, ["Once upon a time", "In a small town by the sea lived"], 12)
    await engine.close()


async def test_another_seed_gives_another_answer(engine: Engine) -> None:
    one, two = [await generate(engine, max_tokens=30, seed=seed, ignore_eos=True) for seed in (1, 2)]
    assert one.text != two.text


@pytest.mark.parametrize("seed", range(5))
async def test_whatever_was_asked_an_answer_begun_elsewhere_is_gone_on_with(engine: Engine, seed: int) -> None:
    prompt, sampling = TextPrompt("tell me: naïve 東京 👩‍👩‍👧"), asked(seed) | {"max_tokens": 30}
    sampling["stop"] = ("one two t", 4 * "\N{REPLACEMENT CHARACTER}")
    await goes_on_from_every_piece(engine, await generate(engine, prompt, **sampling), prompt, **sampling)


@pytest.mark.skipif(not (STORYTELLER_PATH / "model.safetensors").exists(), reason="the built-in model is not here")
async def test_the_built_in_model_goes_on_with_an_answer_in_any_company() -> None:
    engine = TransformersEngine(str(STORYTELLER_PATH), name="storyteller", slots=4, device="cpu", threads=1)
    await engine.start()
    prompt = TextPrompt("Once upon a time")
    sampling: dict[str, Any] = {"temperature": 0.0, "ignore_eos": True}
    whole = await generate(engine, prompt, max_tokens=90, **sampling)

    async def rest(cut: int) -> None:
        said = SoFar("".join(piece.text for piece in whole.pieces[:cut]), whole.token_ids[:cut])
        sink = await generate(engine, prompt, said, max_tokens=90 - cut, **sampling)
        assert (said.text + sink.text, said.token_ids + sink.token_ids) == (whole.text, whole.token_ids)

    assert all(len(piece.token_ids) == 1 for piece in whole.pieces)
    await asyncio.gather(*(rest(cut) for cut in range(3, 90, 11)))
    await engine.close()


async def test_token_ids_of_an_answer_can_be_gone_on_from(engine: Engine) -> None:
    whole = await generate(engine, max_tokens=20, temperature=0.0, ignore_eos=True)
    assert whole.prompt_token_ids is not None
    half = TokensPrompt(whole.prompt_token_ids + whole.token_ids[:8])
    rest = await generate(engine, half, max_tokens=12, temperature=0.0, ignore_eos=True)
    assert rest.token_ids == whole.token_ids[8:]


@pytest.mark.parametrize("seed", range(3, 8))
async def test_text_so_far_is_always_the_text_of_the_token_ids_so_far(
    engine: Engine, tiny: LoadedModel, seed: int
) -> None:
    sink = await generate(engine, max_tokens=60, seed=seed, ignore_eos=True, stop=("zz", "one"))
    text, ids = "", list(sink.prompt_token_ids or ())
    begin = tiny.tokenizer.decode(ids)
    for piece in sink.pieces[:-1]:
        text += piece.text
        ids += piece.token_ids
        assert tiny.tokenizer.decode(ids, skip_special_tokens=True) == begin + text


def test_a_joiner_has_its_first_token_in_the_step_after_it_was_submitted(tiny: LoadedModel) -> None:
    worker = Worker(tiny, 4)
    endless = GenerationRequest(prompt=TextPrompt("one two"), sampling=Sampling(ignore_eos=True, seed=1))
    single = GenerationRequest(prompt=TextPrompt("three"), sampling=Sampling(ignore_eos=True, max_tokens=1))
    worker.step([Job(endless, RecordingSink())])
    worker.step([])
    joiner = Job(single, RecordingSink())
    told = [what for job, what in worker.step([joiner]) if job is joiner]
    assert [getattr(what, "finish_reason", None) for what in told] == [None, "length"]


def test_a_cancel_takes_effect_before_the_next_forward_pass(tiny: LoadedModel) -> None:
    worker = Worker(tiny, 4)
    job = Job(GenerationRequest(prompt=TextPrompt("one two")), RecordingSink())
    worker.step([job])
    job.cancel()
    ((told, piece),) = worker.step([])
    assert told is job
    assert getattr(piece, "finish_reason", None) == "cancelled"
    assert worker.is_idle


def test_an_engine_that_breaks_tells_all_and_begins_anew(tiny: LoadedModel) -> None:
    worker = Worker(tiny, 4)
    forward, tiny.model.forward = tiny.model.forward, None
    jobs = [Job(GenerationRequest(prompt=TextPrompt("one")), RecordingSink()) for _ in range(2)]
    try:
        told = worker.step(jobs)
    finally:
        tiny.model.forward = forward
    assert [getattr(what, "code", None) for _, what in told if not isinstance(what, tuple)] == ["engine_failed"] * 2
    assert worker.is_idle
    again = worker.step([Job(GenerationRequest(prompt=TextPrompt("one")), RecordingSink())])
    assert getattr(again[-1][1], "code", None) is None


async def test_a_model_that_can_not_be_loaded_ends_the_start(tmp_path: Path) -> None:
    engine = TransformersEngine(str(tmp_path), name="none", slots=1, device="cpu", threads=1)
    with pytest.raises(EngineUnavailable):
        await engine.start()
    await engine.close()
    assert engine.load().running == 0
