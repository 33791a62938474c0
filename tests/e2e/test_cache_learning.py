"""The bound that learns from traffic: a daemon whose near answers are all wrong finds it out and stops serving them."""

from __future__ import annotations

import importlib.util
import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from tests.e2e.fake_engine import HEAD, LAST_CHUNK, Wire, chunk, engine, events
from tests.e2e.pool import balancer, http
from tests.e2e.talk import ask, talk

pytestmark = [
    pytest.mark.torch,
    pytest.mark.skipif(importlib.util.find_spec("sentence_transformers") is None, reason="needs sentence-transformers"),
]

EMBEDDER_S: Final = 150.0
HITS_MAX: Final = 1500
"""A twentieth of them is checked, and a handful of checks suffices."""


def spellings(question: str) -> Iterator[str]:
    """The same question, spaced otherwise each time: other requests, near to each other as can be."""
    words = question.split()
    for gaps in itertools.product((" ", "  "), repeat=len(words) - 1):
        yield "".join(word + gap for word, gap in zip(words, (*gaps, ""), strict=True))


async def test_near_answers_that_checks_find_wrong_are_served_no_more_not_even_after_a_restart(tmp_path: Path) -> None:
    made = itertools.count(1)

    async def another_each_time(body: dict[str, Any], wire: Wire) -> None:
        await wire.send(HEAD + chunk(events(f"City {next(made)}")) + LAST_CHUNK)

    kept = ("--cache-file", str(tmp_path / "cache.db"))
    options = ("--cache-check-share", "0.05", "--cache-wait-ms", "20000", *kept)
    async with engine(another_each_time) as wrong:
        async with balancer("--upstream", wrong.url, *options, cache=True) as front:
            await front.until(lambda status: status["cache"]["embedder"]["ready"] and status.alive, EMBEDDER_S)
            questions = spellings("which city was the capital of the old kingdom by the great river in spring")
            assert (await ask(front.port, next(questions))).cache == "miss"
            status = await front.until(lambda status: status["cache"]["vectors"] == 1, EMBEDDER_S)
            assert status["cache"]["bound"]["source"] == "none"

            served = 0
            async with talk(front.port) as client:
                for question in itertools.islice(questions, HITS_MAX):
                    answer = client.ask(question)
                    await client.ended(answer)
                    if answer.cache == "miss":
                        break
                    served += answer.cache == "semantic"
            assert served > 0 and answer.cache == "miss", answer

            told = (await front.status())["cache"]["bound"]
            assert told["withheld"] == 1 and told["served"] == served
            assert told["checks"]["served"]["wrong"] >= 1 and told["checking"]["judge"] == "words"
            assert told["source"] == "checks" and told["interval"][1] > 0.3
            assert sum(told["checking"]["counts"].values()) < 0.2 * served + 20
            await front.until_idle()
            # Of each entry, also of the last one.
            status = await front.until(
                lambda status: status["cache"]["vectors"] == status["cache"]["entries"], EMBEDDER_S
            )
            vectors = status["cache"]["vectors"]
            front.program.terminate()
            assert await front.program.exited() == 0

        async with balancer("--upstream", wrong.url, *options, cache=True) as front:
            status = await front.until(
                lambda status: status["cache"]["vectors"] == vectors and status.alive, EMBEDDER_S
            )
            again = status["cache"]["bound"]
            assert again["checks"]["served"]["wrong"] >= told["checks"]["served"]["wrong"] and again["served"] >= served
            assert (await ask(front.port, next(questions))).cache == "miss"
            assert (await front.status())["cache"]["bound"]["withheld"] == told["withheld"] + 1


async def test_shadow_mode_tells_what_it_would_serve() -> None:
    async def the_same(body: dict[str, Any], wire: Wire) -> None:
        await wire.send(HEAD + chunk(events("Paris")) + LAST_CHUNK)

    async with engine(the_same) as right:
        options = ("--cache-shadow", "--cache-wait-ms", "20000")
        async with balancer("--upstream", right.url, *options, cache=True) as front:
            await front.until(lambda status: status["cache"]["embedder"]["ready"] and status.alive, EMBEDDER_S)
            heard = []
            for at, question in enumerate(itertools.islice(spellings("what is the capital city of france"), 2)):
                body = json.dumps({"prompt": question, "stream": True}).encode()
                answer = await http(front.port, "POST", "/v1/completions", body=body)
                assert answer.status == 200
                heard.append(answer.headers["x-balancer-cache"])
                await front.until(lambda status, most=at: status["cache"]["vectors"] > most, EMBEDDER_S)
            assert heard == ["miss", "miss; shadow=semantic"] and len(right.asked) == 2
            status = await front.until(lambda status: status["cache"]["bound"]["checks"]["served"]["right"] == 1)
            told = status["cache"]["bound"]
            assert told["shadow"] and told["served"] == 1 and status["counts"]["cache.shadow"] == 1
