"""A real model loses backends in the middle of 32 stories: each comes out as if nothing had happened. Fault 18."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any, Final, NamedTuple

import pytest
import pytest_asyncio

from tests.e2e.pool import Pool, http, pool
from tests.e2e.programs import ROOT, Program
from tests.e2e.streams import PATHS, HttpStream, stream
from tests.e2e.talk import Answer, talk

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.torch,
    pytest.mark.skipif(importlib.util.find_spec("transformers") is None, reason="needs transformers"),
    pytest.mark.skipif(not (ROOT / "backend/models/storyteller/model.safetensors").exists(), reason="needs the model"),
]

SEED: Final = 18
SLOTS: Final = 16
TOKENS: Final = 60
HEROES: Final = ("a fox", "two sisters", "an old robot", "the baker", "a lighthouse", "Mira", "a small cloud", "Jo")
TALE_S: Final = 150.0


class Tale(NamedTuple):
    """What a request came to, whoever told it."""

    text: str
    finish_reason: str | None
    prompt_tokens: int
    completion_tokens: int


Asked = tuple[str, str]
"""Endpoint and hero."""
ASKED: Final[tuple[Asked, ...]] = tuple((endpoint, hero) for endpoint in PATHS for hero in HEROES)


def body_of(asked: Asked) -> dict[str, Any]:
    endpoint, hero = asked
    prompt = f"Tell me a story about {hero}."
    said = {"prompt": prompt} if endpoint == "completions" else {"messages": [{"role": "user", "content": prompt}]}
    return {"model": "storyteller", **said, "max_tokens": TOKENS, "temperature": 0, "ignore_eos": True}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running() -> AsyncIterator[Pool]:
    arguments = ["--model", "storyteller", "--slots", str(SLOTS), "--threads", "1"]
    names = [[*arguments, "--name", f"teller-{n}"] for n in range(4)]
    async with pool("--queue-timeout", "120", backends=names) as found:
        yield found


async def undisturbed(program: Program, asked: Asked) -> Tale:
    """What one backend tells by itself."""
    body = json.dumps(body_of(asked)).encode()
    answer = await http(program.ready["port"], "POST", PATHS[asked[0]], body=body, timeout_s=TALE_S)
    assert answer.status == 200, answer
    found = answer.json()
    (choice,) = found["choices"]
    text = choice["message"]["content"] if asked[0] == "chat" else choice["text"]
    return tale(text, choice["finish_reason"], found["usage"])


def tale(text: str, finish_reason: str | None, usage: dict[str, Any] | None) -> Tale:
    assert usage is not None
    return Tale(text, finish_reason, usage["prompt_tokens"], usage["completion_tokens"])


class Disaster:
    """Strikes when so much has been told."""

    def __init__(self, told: list[HttpStream | Answer]) -> None:
        self._told = told

    async def when(self, tokens: int) -> None:
        while sum(len(each.pieces) for each in self._told) < tokens:
            await asyncio.sleep(0.01)


async def test_32_stories_survive_two_kills_and_a_freeze_and_stay_the_same(running: Pool) -> None:
    """At temperature 0, byte for byte; two are killed at random moments, a third stands still."""
    front, tellers = running
    expected = dict(zip(ASKED, await asyncio.gather(*(undisturbed(tellers[0], each) for each in ASKED)), strict=True))
    rng = random.Random(SEED)
    moments = sorted(rng.randint(2 * len(ASKED), len(ASKED) * TOKENS) for _ in range(3))
    first, second, third, _ = rng.sample(tellers, 4)
    async with AsyncExitStack() as stack:
        lines = [await stack.enter_async_context(talk(front.port)) for _ in range(4)]
        streams = [await stack.enter_async_context(stream(front.port, each[0], **body_of(each))) for each in ASKED]
        answers: list[Answer] = []
        for n, each in enumerate(ASKED):
            lines[n % 4].write(json.dumps({"id": n, **body_of(each)}).encode() + b"\n")
            answers.append(lines[n % 4].expect(n))
        readers = [asyncio.create_task(each.ended(TALE_S)) for each in streams]
        readers += [asyncio.create_task(talk_.ended(*talk_.answers.values(), within_s=TALE_S)) for talk_ in lines]
        disaster = Disaster([*streams, *answers])
        await disaster.when(moments[0])
        await first.kill()
        await disaster.when(moments[1])
        third.freeze()
        await disaster.when(moments[2])
        await second.kill()
        await asyncio.gather(*readers)
    for each, found in zip(ASKED, streams, strict=True):
        assert not found.events.faults and found.events.error is None, found.events.error
        assert tale(found.text, found.events.finish_reason, found.events.usage) == expected[each]
    for each, answer in zip(ASKED, answers, strict=True):
        assert answer.done is not None, answer.error
        assert tale(answer.text, answer.done["finish_reason"], answer.done["usage"]) == expected[each]
    status = await front.until_idle()
    assert status["counts"]["completed"] == 2 * len(ASKED)
    assert status["counts"]["resumed"] >= 8
    third.thaw()
