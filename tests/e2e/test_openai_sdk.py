"""OpenAI's own Python client, and curl, against a running balancer."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import AsyncIterator
from typing import Any

import openai
import pytest
import pytest_asyncio
from openai import AsyncOpenAI, OpenAI
from openai.types.chat import ChatCompletionMessageParam

from tests.e2e.fake_engine import HEAD, LAST_CHUNK, Wire, as_chat, chunk, engine, events
from tests.e2e.pool import FREED_S, Pool, backend, balancer, pool
from tests.e2e.programs import output_of
from tests.e2e.talk import echoed

pytestmark = pytest.mark.asyncio(loop_scope="module")

HELLO: list[ChatCompletionMessageParam] = [{"role": "user", "content": "one two three"}]
ENDLESS: dict[str, Any] = {"max_tokens": 5000, "extra_body": {"ignore_eos": True}}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running() -> AsyncIterator[Pool]:
    """Two slots, fifty tokens a second; nothing is cached."""
    async with pool(backends=[["--slots", "2", "--echo-delay-ms", "20"]]) as found:
        yield found


@pytest_asyncio.fixture(loop_scope="module")
async def client(running: Pool) -> AsyncIterator[AsyncOpenAI]:
    async with client_of(running.port) as found:
        yield found


def client_of(port: int, **options: Any) -> AsyncOpenAI:
    """Without retries, unless told otherwise: an error is to be seen."""
    settings: dict[str, Any] = {"max_retries": 0, "timeout": 30.0, **options}
    return AsyncOpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key="any", **settings)


# --- answers


async def test_chat(client: AsyncOpenAI, running: Pool) -> None:
    raw = await client.chat.completions.with_raw_response.create(model="echo", messages=HELLO)
    found = raw.parse()
    assert found.choices[0].message.content == "one two three"
    assert found.choices[0].message.role == "assistant" and found.choices[0].finish_reason == "stop"
    assert found.object == "chat.completion" and found.model == "echo"
    assert found.usage is not None and found.usage.completion_tokens == 3
    assert raw.headers["x-balancer-backend"] == running.backends[0].ready["name"]
    assert (raw.headers["x-balancer-cache"], raw.headers["x-balancer-attempts"]) == ("off", "1")
    assert raw.headers["x-request-id"] == found._request_id


async def test_completions(client: AsyncOpenAI) -> None:
    found = await client.completions.create(model="echo", prompt="one two three", max_tokens=2)
    assert (found.choices[0].text, found.choices[0].finish_reason) == ("one two", "length")


async def test_models(client: AsyncOpenAI) -> None:
    assert [model.id async for model in client.models.list()] == ["echo"]
    assert (await client.models.retrieve("echo")).object == "model"


@pytest.mark.parametrize("wanted", [False, True])
async def test_a_chat_streams(client: AsyncOpenAI, wanted: bool) -> None:
    options: dict[str, Any] = {"stream_options": {"include_usage": True}} if wanted else {}
    stream = await client.chat.completions.create(model="echo", messages=HELLO, stream=True, **options)
    chunks = [chunk async for chunk in stream]
    deltas = [chunk.choices[0].delta for chunk in chunks if chunk.choices]
    assert "".join(delta.content or "" for delta in deltas) == "one two three"
    assert [delta.role for delta in deltas] == ["assistant", *[None] * (len(deltas) - 1)]
    assert len({(chunk.id, chunk.model, chunk.created, chunk.object) for chunk in chunks}) == 1
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1] == "stop"
    usages = [chunk.usage for chunk in chunks if chunk.usage is not None]
    assert len(usages) == int(wanted) and bool(chunks[-1].choices) is not wanted


async def test_a_completion_streams_word_by_word(client: AsyncOpenAI) -> None:
    stream = await client.completions.create(
        model="echo", prompt="one two", stream=True, **ENDLESS | {"max_tokens": 40}
    )
    texts = [chunk.choices[0].text async for chunk in stream]
    assert "".join(texts) == echoed("one two", 40) and len(texts) >= 20


async def test_the_helper_that_gathers_a_stream(client: AsyncOpenAI) -> None:
    async with client.chat.completions.stream(model="echo", messages=HELLO) as stream:
        found = await stream.get_final_completion()
    assert found.choices[0].message.content == "one two three"
    assert found.choices[0].message.role == "assistant"


def ask_from_a_thread(port: int) -> tuple[str | None, str]:
    with OpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key="any", max_retries=0, timeout=30.0) as client:
        whole = client.chat.completions.create(model="echo", messages=HELLO)
        stream = client.completions.create(model="echo", prompt="four five", stream=True)
        return whole.choices[0].message.content, "".join(chunk.choices[0].text for chunk in stream)


async def test_the_blocking_client(running: Pool) -> None:
    assert await asyncio.to_thread(ask_from_a_thread, running.port) == ("one two three", "four five")


async def test_many_at_once_over_kept_connections(client: AsyncOpenAI, running: Pool) -> None:
    async def one(n: int) -> str:
        if n % 2:
            stream = await client.completions.create(model="echo", prompt=f"q {n}", stream=True)
            return "".join([chunk.choices[0].text async for chunk in stream])
        return (await client.completions.create(model="echo", prompt=f"q {n}")).choices[0].text

    assert await asyncio.gather(*map(one, range(40))) == [f"q {n}" for n in range(40)]
    await running.balancer.until_idle()


async def test_the_cache_serves_both_ways_and_obeys_cache_control() -> None:
    async with pool(cache=True) as (front, _), client_of(front.port) as client:
        asked: dict[str, Any] = {"model": "echo", "messages": HELLO}
        create = client.chat.completions.with_raw_response.create
        with pytest.raises(openai.InternalServerError) as missed:
            await client.chat.completions.create(**asked, extra_headers={"cache-control": "only-if-cached"})
        assert (missed.value.status_code, missed.value.code) == (504, "not_cached")
        seen = [(await create(**asked)).headers["x-balancer-cache"] for _ in range(2)]
        assert seen[0] == "miss" and seen[1].startswith("exact; age=")
        stream = await client.chat.completions.create(**asked, stream=True)
        assert "".join([chunk.choices[0].delta.content or "" async for chunk in stream]) == "one two three"
        for value, found in (("no-store", "bypass"), ("no-cache", "miss"), ("only-if-cached", "exact")):
            answer = await create(**asked, extra_headers={"cache-control": value})
            assert answer.headers["x-balancer-cache"].split(";")[0] == found


# --- errors


async def test_errors_are_those_of_the_client(client: AsyncOpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as unknown:
        await client.models.retrieve("nobody/nothing")
    assert unknown.value.code == "model_not_found" and unknown.value.request_id
    with pytest.raises(openai.BadRequestError) as bad:
        await client.chat.completions.create(model="echo", messages=[])
    assert (bad.value.code, bad.value.type) == ("invalid_messages", "invalid_request_error")
    with pytest.raises(openai.BadRequestError):
        await client.completions.create(model="echo", prompt="x", temperature=-1)  # the engine's own word
    with pytest.raises(openai.BadRequestError):
        await client.completions.create(model="echo", prompt="x", stream=True, temperature=-1)


async def test_a_request_is_asked_again_until_there_is_a_backend() -> None:
    """The client waits as long as ``retry-after`` says."""
    async with balancer() as front:
        async with client_of(front.port) as hasty:
            with pytest.raises(openai.InternalServerError) as refused:
                await hasty.completions.create(model="echo", prompt="one")
            assert (refused.value.status_code, refused.value.code) == (503, "no_backend")
            assert 1 <= int(refused.value.response.headers["retry-after"]) <= 120
        async with client_of(front.port, max_retries=20) as patient:
            asking = asyncio.create_task(patient.completions.create(model="echo", prompt="one"))
            async with backend(front.port):
                assert (await asking).choices[0].text == "one"


async def test_a_stream_that_breaks_raises_and_never_just_ends() -> None:
    """Fault 18."""
    async with pool(backends=[["--echo-delay-ms", "20"]]) as (front, (program,)), client_of(front.port) as client:
        stream = await client.completions.create(model="echo", prompt="one two", stream=True, **ENDLESS)
        texts = [(await anext(stream)).choices[0].text]
        await program.kill()
        with pytest.raises(openai.APIError) as broken:
            texts += [chunk.choices[0].text async for chunk in stream]
        assert broken.value.code in ("backend_failed", "backend_lost")
        assert "".join(texts) == echoed("one two", len(texts))
        await front.until_idle()


async def test_an_engine_that_is_busy_is_not_the_clients_concern() -> None:
    """A 429 of one engine is another's request, or a moment's wait."""
    calls = 0

    async def busy_at_first(body: dict[str, Any], wire: Wire) -> None:
        nonlocal calls
        calls += 1
        answer = b'{"choices":[{"index":0,"text":"at last","finish_reason":"stop"}]}'
        status = b"429 Too Many Requests\r\nretry-after: 0.2" if calls == 1 else b"200 OK"
        await wire.send(b"HTTP/1.1 %b\r\ncontent-length: %d\r\n\r\n" % (status, len(answer)) + answer)

    async with engine(busy_at_first) as found, balancer("--upstream", found.url) as front:
        await front.until(lambda status: len(status.alive) == 1)
        async with client_of(front.port) as client:
            raw = await client.completions.with_raw_response.create(model="echo", prompt="x")
        assert raw.parse().choices[0].text == "at last" and calls == 2


# --- leaving


async def test_a_timeout_of_the_client_stops_the_work(client: AsyncOpenAI, running: Pool) -> None:
    with pytest.raises(openai.APITimeoutError):
        await client.with_options(timeout=0.3).completions.create(model="echo", prompt="one", **ENDLESS)
    await running.balancer.until(lambda status: status.idle, FREED_S)


@pytest.mark.parametrize("way", ["close", "break", "cancel"])
async def test_who_stops_reading_a_stream_frees_the_slot(client: AsyncOpenAI, running: Pool, way: str) -> None:
    """Fault 29."""

    async def read() -> None:
        stream = await client.completions.create(model="echo", prompt="one", stream=True, **ENDLESS)
        async with stream:
            async for _ in stream:
                began.set()
                if way == "break":
                    return
                if way == "close":
                    await stream.close()
                    return

    began = asyncio.Event()
    reading = asyncio.create_task(read())
    await asyncio.wait_for(began.wait(), 20.0)
    if way == "cancel":
        reading.cancel()
    await asyncio.gather(reading, return_exceptions=True)
    await running.balancer.until(lambda status: status.idle, FREED_S)


async def test_a_whole_answer_that_nobody_waits_for_is_stopped(client: AsyncOpenAI, running: Pool) -> None:
    """Fault 29."""
    asking = asyncio.create_task(client.completions.create(model="echo", prompt="one", **ENDLESS))
    await running.balancer.until(lambda status: status.in_flight == 1)
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    await running.balancer.until(lambda status: status.idle, FREED_S)
    name = running.backends[0].ready["name"]
    await running.balancer.until(lambda status: status.running(name) == 0)


async def test_the_daemon_lets_streams_finish_when_it_stops() -> None:
    """Fault 37."""
    async with pool(backends=[["--echo-delay-ms", "20"]]) as (front, _), client_of(front.port) as client:
        stream = await client.completions.create(
            model="echo", prompt="one two", stream=True, max_tokens=60, extra_body={"ignore_eos": True}
        )
        texts = [(await anext(stream)).choices[0].text]
        front.program.terminate()
        texts += [chunk.choices[0].text async for chunk in stream]
        assert "".join(texts) == echoed("one two", 60)
        assert await front.program.exited() == 0


# --- a long wait


async def test_a_stream_that_waits_long_shows_life_and_the_client_reads_on() -> None:
    """The head goes out after five seconds, the first token comes after that."""
    heads_are_out = asyncio.Event()

    async def late(body: dict[str, Any], wire: Wire) -> None:
        await heads_are_out.wait()
        said = as_chat(events("one")) if "messages" in body else events("one")
        await wire.send(HEAD + chunk(said) + LAST_CHUNK)

    async with engine(late) as found, balancer("--upstream", f"{found.url};name=late") as front:
        await front.until(lambda status: status.alive)
        curling = asyncio.create_task(curl(front.port, "/v1/completions", {"prompt": "x", "stream": True}))
        await front.until(lambda status: status["exchanges"]["asking"] == 1)
        async with client_of(front.port) as client:
            create = client.chat.completions.with_raw_response.create
            raw = await create(model="echo", messages=HELLO, stream=True)  # who asked before has his head, too
            assert "x-balancer-backend" not in raw.headers and "x-request-id" in raw.headers
            heads_are_out.set()
            assert "".join([chunk.choices[0].delta.content or "" async for chunk in raw.parse()]) == "one"
        body = (await curling).partition("\r\n\r\n")[2]
    assert body.startswith(": ping\n\ndata: ")
    assert body.endswith("data: [DONE]\n\n: balancer backend=late attempts=1 cache=off\n\n")


# --- curl

needs_curl = pytest.mark.skipif(shutil.which("curl") is None, reason="no curl here")


async def curl(port: int, path: str, body: dict[str, Any], *arguments: str) -> str:
    """Head and body of the answer."""
    if shutil.which("curl") is None:
        pytest.skip("no curl here")
    url = f"http://127.0.0.1:{port}{path}"
    given = ["-sS", "-N", "-i", "-m", "30", "-H", "content-type: application/json", "--data-binary", "@-", *arguments]
    status, out, err = await output_of(["curl", *given, url], json.dumps(body).encode())
    assert status == 0, err
    return out.replace("\r\n", "\n").replace("\n\n", "\r\n\r\n", 1)


@needs_curl
async def test_curl(running: Pool) -> None:
    chat = {"model": "echo", "messages": HELLO}
    head, _, body = (await curl(running.port, "/v1/chat/completions", chat)).partition("\r\n\r\n")
    assert head.startswith("HTTP/1.1 200 OK") and "content-length:" in head
    assert json.loads(body)["choices"][0]["message"]["content"] == "one two three"
    head, _, body = (
        await curl(running.port, "/v1/chat/completions", chat | {"stream": True}, "-H", "x-request-id: mine")
    ).partition("\r\n\r\n")
    assert "content-type: text/event-stream" in head and "x-request-id: mine" in head
    assert body.startswith('data: {"') and body.endswith("data: [DONE]\n\n") and '"usage"' not in body
    with_1_0 = await curl(running.port, "/v1/completions", {"prompt": "a b", "stream": True}, "--http1.0")
    assert "transfer-encoding" not in with_1_0 and with_1_0.endswith("data: [DONE]\n\n")


@needs_curl
async def test_curl_with_a_body_that_is_announced_first(running: Pool) -> None:
    """``Expect: 100-continue``, as curl sends it with large bodies."""
    words = "word " * 40_000
    out = await curl(running.port, "/v1/completions", {"prompt": words}, "-H", "Expect: 100-continue")
    assert "100 Continue" in out and ("context" in out or "too long" in out)
