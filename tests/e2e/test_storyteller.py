"""The built-in model behind the balancer: the one module here that starts an engine with torch."""

from __future__ import annotations

import asyncio
import importlib.util
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.e2e.pool import Pool, pool
from tests.e2e.programs import ROOT
from tests.e2e.talk import ask, talk

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.torch,
    pytest.mark.skipif(importlib.util.find_spec("transformers") is None, reason="needs transformers"),
    pytest.mark.skipif(not (ROOT / "backend/models/storyteller/model.safetensors").exists(), reason="needs the model"),
]

PROMPT = "Once upon a time there was a girl named Mira who lived by the sea."


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running() -> AsyncIterator[Pool]:
    async with pool(backends=[["--model", "storyteller", "--slots", "4", "--threads", "1"]]) as found:
        yield found


async def test_a_story_streams_in_many_pieces_and_is_counted(running: Pool) -> None:
    answer = await ask(running.port, PROMPT, max_tokens=40, seed=1)
    assert answer.done is not None and len(answer.pieces) > 10
    assert answer.done["finish_reason"] in ("stop", "length") and answer.done["model"] == "storyteller"
    assert 0 < answer.done["usage"]["completion_tokens"] <= 40


async def test_a_seed_tells_the_same_story_again_alone_and_in_company(running: Pool) -> None:
    alone = await ask(running.port, PROMPT, max_tokens=40, seed=5)
    together = await asyncio.gather(*(ask(running.port, PROMPT, max_tokens=40, seed=seed) for seed in (5, 6, 7, 5)))
    assert [answer.text for answer in (together[0], together[3])] == [alone.text] * 2
    assert len({answer.text for answer in together}) == 3


async def test_a_stop_word_ends_the_story_before_it(running: Pool) -> None:
    whole = await ask(running.port, PROMPT, max_tokens=60, seed=2)
    word = whole.text.split()[8]
    answer = await ask(running.port, PROMPT, max_tokens=60, seed=2, stop=[word])
    assert word not in answer.text and whole.text.startswith(answer.text)
    assert answer.done is not None and answer.done["finish_reason"] == "stop"


async def test_a_client_that_leaves_stops_the_engine(running: Pool) -> None:
    name = running.backends[0].ready["name"]
    async with talk(running.port) as connection:
        story = connection.ask(PROMPT, 1, max_tokens=900, ignore_eos=True)
        await connection.begun(story)
        connection.cancel(1)
        await connection.ended(story)

    status = await running.balancer.until(lambda status: status.idle and status.running(name) == 0)
    assert status.alive == [name]


async def test_a_prompt_longer_than_the_context_is_refused_in_words(running: Pool) -> None:
    answer = await ask(running.port, "once upon a time " * 2000)
    assert answer.error is not None and answer.error["type"] == "invalid_request_error"
    assert "token" in answer.error["message"] and not answer.pieces


async def test_more_stories_than_slots_are_all_told(running: Pool) -> None:
    answers = await asyncio.gather(*(ask(running.port, PROMPT, max_tokens=12, seed=n) for n in range(8)))
    assert all(answer.done is not None and answer.pieces for answer in answers)
    await running.balancer.until_idle()
