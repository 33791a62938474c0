"""``POST /v1/embeddings`` with the official Python SDK: our own embedder, and a backend that offers them."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import AsyncIterator
from typing import Any

import openai
import pytest
import pytest_asyncio
from openai import AsyncOpenAI

from tests.e2e.pool import FREED_S, Pool, http, pool

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.torch]

NAME = "all-MiniLM-L6-v2"
LONG_WORK = ["a rather long text about nothing " * 30] * 256
"""For more seconds than a client that left is computed for."""
QUESTIONS = ["How do I reset my password?", "How can I reset my password?", "Why is the sea salty?"]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running() -> AsyncIterator[Pool]:
    """With the cache, whose embedder is ready."""
    pytest.importorskip("sentence_transformers")
    async with pool(cache=True) as found:
        await found.balancer.until(lambda status: status["cache"]["embedder"]["ready"], 150.0)
        yield found


@pytest_asyncio.fixture(loop_scope="module")
async def client(running: Pool) -> AsyncIterator[AsyncOpenAI]:
    url = f"http://127.0.0.1:{running.port}/v1"
    async with AsyncOpenAI(base_url=url, api_key="any", max_retries=0, timeout=30.0) as found:
        yield found


def cosine(one: list[float], other: list[float]) -> float:
    return sum(a * b for a, b in zip(one, other, strict=True))


async def test_the_sdk_gets_vectors_that_know_what_is_alike(client: AsyncOpenAI) -> None:
    """It asks for base64 by itself."""
    found = await client.embeddings.create(model=NAME, input=QUESTIONS)
    vectors = [one.embedding for one in found.data]
    assert [len(vector) for vector in vectors] == [384] * 3
    assert all(math.isclose(cosine(vector, vector), 1.0, abs_tol=1e-4) for vector in vectors)
    assert cosine(vectors[0], vectors[1]) > 0.95 > 0.3 > cosine(vectors[0], vectors[2])
    assert (found.model, found.usage.prompt_tokens, found.usage.total_tokens) == (NAME, 26, 26)


async def test_as_many_texts_as_openai_takes_and_one_beside_them_does_not_wait_for_all(client: AsyncOpenAI) -> None:
    many = asyncio.create_task(client.embeddings.create(model=NAME, input=[f"text {n}" for n in range(2048)]))
    await asyncio.sleep(0.1)
    await client.embeddings.create(model=NAME, input="one beside them")
    assert not many.done()
    found = await many
    assert [one.index for one in found.data] == list(range(2048))


async def test_floats_and_base64_say_the_same(client: AsyncOpenAI) -> None:
    given: dict[str, Any] = {"model": f"sentence-transformers/{NAME}", "input": QUESTIONS[0]}
    packed = await client.embeddings.create(**given)
    plain = await client.embeddings.create(**given, encoding_format="float", dimensions=384)
    assert packed.data[0].embedding == pytest.approx(plain.data[0].embedding, abs=1e-6)


async def test_of_a_long_text_the_beginning_is_embedded(client: AsyncOpenAI) -> None:
    found = await client.embeddings.create(model=NAME, input=["word " * 300, "word " * 400])
    assert found.data[0].embedding == pytest.approx(found.data[1].embedding, abs=1e-5)
    assert found.usage.prompt_tokens == 512


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({"input": [[1, 2, 3]]}, "invalid_input"),
        ({"input": "x", "dimensions": 256}, "invalid_dimensions"),
        ({"input": ["x"] * 2049}, "too_many_inputs"),
    ],
)
async def test_what_it_cannot_do_is_a_bad_request(client: AsyncOpenAI, given: dict[str, Any], code: str) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        await client.embeddings.create(model=NAME, **given)
    assert refused.value.code == code


async def test_its_model_is_listed(client: AsyncOpenAI) -> None:
    assert [model.id async for model in client.models.list()] == [NAME, "echo"]


async def test_without_a_name_it_is_meant_where_no_backend_embeds(running: Pool) -> None:
    answer = await http(running.port, "POST", "/v1/embeddings", body=json.dumps({"input": "one"}).encode())
    assert answer.status == 200 and answer.json()["model"] == NAME
    assert answer.headers["x-balancer-backend"] == "embedder"


async def test_a_model_that_does_not_embed_says_so(client: AsyncOpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        await client.embeddings.create(model="echo", input="x")
    assert refused.value.code == "wrong_endpoint"


async def test_chats_go_on_meanwhile(client: AsyncOpenAI, running: Pool) -> None:
    embedding = asyncio.create_task(client.embeddings.create(model=NAME, input=LONG_WORK))
    await running.balancer.until(lambda status: status["cache"]["embedder"]["encodings"] > 0)
    answer = await client.completions.create(model="echo", prompt="one two")
    assert answer.choices[0].text == "one two" and not embedding.done()
    embedding.cancel()
    await asyncio.gather(embedding, return_exceptions=True)


async def test_a_client_that_leaves_is_not_computed_for(client: AsyncOpenAI, running: Pool) -> None:
    with pytest.raises(openai.APITimeoutError):
        await client.with_options(timeout=0.5).embeddings.create(model=NAME, input=LONG_WORK)
    await running.balancer.until(lambda status: not status["cache"]["embedder"]["encodings"], FREED_S)
