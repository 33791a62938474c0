"""The cache as clients meet it: equal questions, questions in other words, and who may say no to it.

Faults 18, 24, 41, 42, 44. One balancer with the real embedder; the echo backends answer with the question itself, so
an answer tells whose question it was made for.
"""

from __future__ import annotations

import asyncio
import importlib.util
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from tests.e2e.fake_engine import HEAD, LAST_CHUNK, Wire, chunk, engine, event
from tests.e2e.pool import Pool, http, pool
from tests.e2e.programs import output_of, python
from tests.e2e.raw_agent import registered
from tests.e2e.talk import ask, talk

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.torch,
    pytest.mark.skipif(importlib.util.find_spec("sentence_transformers") is None, reason="needs sentence-transformers"),
]

EMBEDDER_S = 150.0
PATIENT = ("--cache-wait-ms", "20000")
"""A busy machine must not turn a near match into a miss."""
AT_ONCE_S = 10.0
"""Half of that: nobody waits for an embedding."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running() -> AsyncIterator[Pool]:
    backends = [["--name", "a"], ["--name", "b"]]
    async with pool("-r", *PATIENT, backends=backends, cache=True) as found:
        yield found


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def embedding(running: Pool) -> Pool:
    """The same, once the embedder is ready."""
    await running.balancer.until(lambda status: status["cache"]["embedder"]["ready"], EMBEDDER_S)
    return running


async def test_an_equal_question_is_answered_from_the_cache_and_streams_the_same(running: Pool) -> None:
    first = await ask(running.port, "Why is the sky blue at noon?")
    again = await ask(running.port, "Why is the sky blue at noon?")
    assert (first.cache, again.cache) == ("miss", "exact") and first.text == again.text
    assert first.done is not None and again.done is not None
    assert again.done["finish_reason"] == "stop" and again.done["usage"] == first.done["usage"]
    assert again.backend == first.backend and again.done["attempts"] == 0
    counts = (await running.balancer.status())["cache"]
    assert counts["hits"]["exact"] >= 1 and counts["entries"] >= 1


async def test_a_request_says_what_the_cache_may_do(running: Pool) -> None:
    question = "How tall is the tower of Pisa?"
    missing = await ask(running.port, question, cache="only")
    assert missing.code == "not_cached"
    assert (await ask(running.port, question, cache="bypass")).cache == "bypass"
    assert (await ask(running.port, question, cache="only")).code == "not_cached"  # a bypass stores nothing
    assert (await ask(running.port, question)).cache == "miss"
    assert (await ask(running.port, question, cache="only")).cache == "exact"
    refreshed = await ask(running.port, question, cache="refresh")
    assert refreshed.cache != "exact" and refreshed.text == question and refreshed.done is not None
    assert refreshed.done["attempts"] == 1
    assert (await ask(running.port, question)).backend == refreshed.backend


@pytest.mark.parametrize(
    "other",
    [
        {"max_tokens": 3},
        {"seed": 7},
        {"stop": ["zebra"]},
        {"top_p": 0.5},
        {"an_unknown_field": 1},
        {"temperature": 1.5},
    ],
    ids=lambda other: next(iter(other)),
)
async def test_another_request_is_another_entry(running: Pool, other: dict[str, Any]) -> None:
    """Fault 42."""
    question = f"What do {next(iter(other))} foxes eat in winter?"
    await ask(running.port, question)
    assert (await ask(running.port, question)).cache == "exact"
    assert (await ask(running.port, question, **other)).cache == "miss"


async def test_another_history_is_another_entry(running: Pool) -> None:
    """Fault 42."""
    turns = [{"role": "user", "content": "I have a cat."}, {"role": "assistant", "content": "Nice."}]
    last = {"role": "user", "content": "What does it eat?"}
    others = [last], [*turns, last], [{"role": "system", "content": "Be brief."}, last]
    for messages in others:
        async with talk(running.port) as connection:
            for expected in ("miss", "exact"):
                connection.write(json.dumps({"messages": messages}).encode() + b"\n")
                answer = connection.expect()
                await connection.ended(answer)
                assert answer.cache == expected, messages


async def test_another_tenant_is_another_cache(running: Pool) -> None:
    """Fault 41: classic clients are a tenant of their own."""
    question = "Where do swallows sleep?"
    assert (await ask(running.port, question)).cache == "miss"
    before = (await running.balancer.status())["counts"]
    async with talk(running.port) as connection:
        connection.write(b"CLIENT|ADD" + question.encode())
        assert await connection.reader.read(1024) == question.encode()
    after = (await running.balancer.status())["counts"]
    assert after["cache.miss"] == before["cache.miss"] + 1


async def test_what_was_cut_cancelled_or_failed_is_not_kept(running: Pool) -> None:
    """Faults 18, 24 and 44."""

    async def dies(body: dict[str, Any], wire: Wire) -> None:
        await wire.send(HEAD + chunk(event("half an answer")))

    async def cut(body: dict[str, Any], wire: Wire) -> None:
        await wire.send(HEAD + chunk(event("cut", "length") + b"data: [DONE]\n\n") + LAST_CHUNK)

    for n, script in enumerate((dies, cut)):
        async with engine(script) as broken:
            fields: dict[str, Any] = {"name": f"e{n}", "models": [{"name": f"m{n}"}], "endpoints": ["completions"]}
            async with registered(running.balancer.port, broken.url, **fields):
                await running.balancer.until(lambda status: f"e{n}" in status.alive)  # noqa: B023 - awaited here
                await ask(running.port, "Will it be kept?", model=f"m{n}")
                await ask(running.port, "Will it be kept?", model=f"m{n}")
                assert len(broken.asked) == (4 if script is dies else 2), "who was cut off may go on, once"
                assert (await ask(running.port, "Will it be kept?", model=f"m{n}", cache="only")).code == "not_cached"


async def test_a_question_in_other_words_is_answered_with_its_similarity(embedding: Pool) -> None:
    await learn(embedding, "How do I reset my password?")
    near = await ask(embedding.port, "How can I reset my password?")
    assert near.cache == "semantic" and near.text == "How do I reset my password?"
    assert near.done is not None and 0.95 <= near.done["similarity"] < 1.0 and 0.98 <= near.done["probability"] <= 1.0
    assert (await embedding.balancer.status())["cache"]["verdict"] == "learned"
    assert (await ask(embedding.port, "How can I reset my password?", cache="only")).cache == "semantic"


async def test_who_asks_in_other_words_what_is_being_answered_shares_that_answer(embedding: Pool) -> None:
    go_on = asyncio.Event()

    async def slow(body: dict[str, Any], wire: Wire) -> None:
        await wire.send(HEAD + chunk(event("Click ")))
        await go_on.wait()
        await wire.send(chunk(event("there", "stop") + b"data: [DONE]\n\n") + LAST_CHUNK)

    async with engine(slow) as fake, talk(embedding.port) as first, talk(embedding.port) as second:
        fields: dict[str, Any] = {"name": "slow", "models": [{"name": "slow"}], "endpoints": ["completions"]}
        async with registered(embedding.balancer.port, fake.url, **fields):
            await embedding.balancer.until(lambda status: "slow" in status.alive)
            leader = first.ask("How do I reset my password?", model="slow")
            await embedding.balancer.until(lambda status: status["cache"]["under_way"] == 1, EMBEDDER_S)
            other = second.ask("How can I reset my password?", model="slow")
            await embedding.balancer.until(lambda status: status["exchanges"].get("following") == 1, EMBEDDER_S)
            go_on.set()
            await first.ended(leader)
            await second.ended(other)
    assert (leader.cache, other.cache) == ("miss", "joined") and leader.text == other.text == "Click there"
    assert other.done is not None and other.done["probability"] > 0.98
    assert len(fake.asked) == 1


@pytest.mark.parametrize(
    ("known", "asked"),
    [
        ("Is ibuprofen safe during pregnancy?", "Is ibuprofen not safe during pregnancy?"),
        ("Is this mushroom safe to eat?", "Is this mushroom not safe to eat?"),
        ("What is 15 percent of 80 dollars?", "What is 15 percent of 90 dollars?"),
        ("How do I bake bread at home?", "How far is the moon from the earth?"),
    ],
    ids=["drug", "negation", "numbers", "another topic"],
)
async def test_a_question_that_only_looks_alike_is_asked(embedding: Pool, known: str, asked: str) -> None:
    await learn(embedding, known)
    answer = await ask(embedding.port, asked)
    assert answer.cache == "miss" and answer.text == asked


async def test_an_answer_that_was_called_wrong_is_not_given_to_that_question_again(embedding: Pool) -> None:
    known, asked = "How do I reset my password?", "How can I reset my password?"
    scope = {"seed": 7}  # of this test alone
    await learn(embedding, known, **scope)
    near = await ask(embedding.port, asked, **scope)
    assert near.cache == "semantic" and near.done is not None
    assert (await http(embedding.port, "POST", f"/v1/cache/wrong/{near.done['entry']}")).status == 200
    await learn(embedding, known, **scope)
    assert (await ask(embedding.port, asked, **scope)).cache == "miss"
    status = await embedding.balancer.status()
    assert status["cache"]["near_refusals"]["denied"] == 1 and status["cache"]["denied_pairs"] == 1


async def learn(running: Pool, question: str, **fields: Any) -> None:
    """Ask what the cache does not know, and await the vector of the new entry."""
    busy = ("waiting", "background", "in_batch")  # with questions of earlier tests
    status = await running.balancer.until(
        lambda status: not any(status["cache"]["embedder"][name] for name in busy), EMBEDDER_S
    )
    before = status["cache"]["vectors"]
    assert (await ask(running.port, question, **fields)).cache == "miss"
    await running.balancer.until(lambda status: status["cache"]["vectors"] > before, EMBEDDER_S)


async def test_purge_forgets_and_says_how_much(running: Pool) -> None:
    await ask(running.port, "Is there life on Mars?")
    entries = (await running.balancer.status())["cache"]["entries"]
    status, out, err = await output_of(python("balancer", "purge", "--json", "--admin", running.balancer.admin))
    assert status == 0 and json.loads(out)["purged"] == entries > 0, err
    assert (await running.balancer.status())["cache"]["entries"] == 0
    assert (await ask(running.port, "Is there life on Mars?", cache="only")).code == "not_cached"
    assert (await ask(running.port, "Is there life on Mars?")).cache == "miss"


async def test_the_status_command_tells_of_the_cache(running: Pool) -> None:
    status, out, err = await output_of(python("balancer", "status", "--admin", running.balancer.admin))
    assert status == 0 and "cache" in out and "exact" in out, err


async def test_a_killed_embedder_costs_near_matches_and_nothing_else(embedding: Pool) -> None:
    """Fault 47: answers go on at once, and it is started again."""
    front = embedding.balancer
    children = await output_of(["pgrep", "-P", str(front.program.pid)])
    await output_of(["kill", "-9", *children[1].split()])
    answer = await ask(embedding.port, "Who painted the ceiling?", within_s=AT_ONCE_S)
    assert answer.cache == "miss"
    assert (await ask(embedding.port, "Who painted the ceiling?", within_s=AT_ONCE_S)).cache == "exact"
    await front.until(lambda status: status["cache"]["embedder"]["restarts"] >= 1, EMBEDDER_S)
