"""Engines that break in every way an answer can: one retry before the first byte, an explicit error after it.

Faults 18 to 24. Each test has models of its own on one balancer whose token deadlines are a second.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest
import pytest_asyncio

from tests.e2e.fake_engine import DONE, HEAD, LAST_CHUNK, FakeEngine, Script, Wire, chunk, engine, event, events
from tests.e2e.pool import Balancer, balancer
from tests.e2e.raw_agent import registered
from tests.e2e.talk import Answer, ask, talk

pytestmark = pytest.mark.asyncio(loop_scope="module")

_models = itertools.count(1)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def front() -> AsyncIterator[Balancer]:
    async with balancer("-r", "--first-token-timeout", "1", "--token-timeout", "1") as found:
        yield found


@asynccontextmanager
async def engines(front: Balancer, *scripts: Script) -> AsyncIterator[tuple[str, list[FakeEngine]]]:
    """Engines registered under a model of their own; its name."""
    model = f"model-{next(_models)}"
    async with AsyncExitStack() as stack:
        found = [await stack.enter_async_context(engine(script)) for script in scripts]
        names = {f"{model}-{n}" for n in range(len(found))}
        for n, each in enumerate(found):
            fields: dict[str, Any] = {"name": f"{model}-{n}", "models": [{"name": model}], "endpoints": ["completions"]}
            await stack.enter_async_context(registered(front.port, each.url, **fields))
        await front.until(lambda status: names <= set(status.alive))
        yield model, found
        await front.until(lambda status: status.idle)


async def well(body: dict[str, Any], wire: Wire) -> None:
    await wire.send(HEAD + chunk(events("all", " is", " well")) + LAST_CHUNK)


async def resets(body: dict[str, Any], wire: Wire) -> None:
    wire.reset()


async def never_answers(body: dict[str, Any], wire: Wire) -> None:
    await wire.hung_up()


async def stalls(body: dict[str, Any], wire: Wire) -> None:
    await wire.send(HEAD + chunk(event("so") + event(" far")))
    await wire.hung_up()


async def dies_in_mid_stream(body: dict[str, Any], wire: Wire) -> None:
    await wire.send(HEAD + chunk(event("so") + event(" far") + event(" so good")[:40]))


async def ends_without_a_finish(body: dict[str, Any], wire: Wire) -> None:
    await wire.send(HEAD + chunk(event("so") + event(" far")) + LAST_CHUNK)


async def tells_an_error_inside(body: dict[str, Any], wire: Wire) -> None:
    await wire.send(HEAD + chunk(event("so") + event(" far")))
    await wire.until_read()
    await wire.send(chunk(b'data: {"error":{"message":"out of memory"}}\n\n'))


async def is_full(body: dict[str, Any], wire: Wire) -> None:
    await wire.send(b"HTTP/1.1 429 Too Many\r\nRetry-After: 1\r\nContent-Length: 2\r\n\r\n{}")


async def says_internal_error(body: dict[str, Any], wire: Wire) -> None:
    await wire.send(b"HTTP/1.1 500 Oops\r\nContent-Length: 2\r\n\r\n{}")


async def answers_html(body: dict[str, Any], wire: Wire) -> None:
    page = b"<html>Welcome to nginx!</html>"
    await wire.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: %d\r\n\r\n%s" % (len(page), page))


async def answers_junk(body: dict[str, Any], wire: Wire) -> None:
    await wire.send(b"\x00\x01\x02 not HTTP at all\r\n\r\n")


async def streams_wrong_json(body: dict[str, Any], wire: Wire) -> None:
    await wire.send(HEAD + chunk(b'data: {"choices": "none", \n\n' + DONE) + LAST_CHUNK)


@pytest.mark.parametrize("bad", [resets, never_answers, says_internal_error, answers_html, answers_junk])
async def test_what_fails_before_the_first_byte_is_asked_once_elsewhere(front: Balancer, bad: Script) -> None:
    """Faults 19, 20 and 24."""
    async with engines(front, bad, well) as (model, (broken, healthy)):
        answers = [await ask(front.port, "how is it", model=model) for _ in range(2)]
        assert [answer.text for answer in answers] == ["all is well"] * 2
        assert sorted(answer.done["attempts"] for answer in answers if answer.done) == [1, 2]
        assert len(broken.asked) == 1 and len(healthy.asked) == 2


@pytest.mark.parametrize("bad", [resets, never_answers, says_internal_error, answers_html, answers_junk])
async def test_when_every_engine_fails_two_attempts_are_the_most_and_the_error_is_told(
    front: Balancer, bad: Script
) -> None:
    """Faults 19, 20 and 24: structured, and three engines that share a fault are not all tried."""
    async with engines(front, bad, bad, bad) as (model, broken):
        answer = await ask(front.port, "how is it", model=model)
        assert answer.error is not None and not answer.pieces
        assert answer.code in ("backend_failed", "backend_timeout") and answer.error["type"] == "server_error"
        assert sum(len(each.asked) for each in broken) == 2


@pytest.mark.parametrize("bad", [dies_in_mid_stream, ends_without_a_finish, tells_an_error_inside, stalls])
async def test_what_fails_after_the_first_byte_is_an_error_and_never_replayed(front: Balancer, bad: Script) -> None:
    """Faults 18 and 21: never a clean end; the other engine hears nothing of it."""
    async with engines(front, bad, well) as (model, (broken, healthy)):
        answers = []
        for _ in range(2):
            async with talk(front.port) as connection:
                answers.append(connection.ask("how is it", model=model))
                await connection.begun(answers[-1])
                broken.read_by_client.set()
                await connection.ended(answers[-1])
        (cut,) = [answer for answer in answers if answer.error is not None]
        assert "so far".startswith(cut.text) and cut.code in ("backend_failed", "backend_timeout")
        assert (len(broken.asked), len(healthy.asked)) == (1, 1)


@pytest.mark.parametrize("slow", [never_answers, stalls])
async def test_an_engine_that_stalls_is_told_to_stop(front: Balancer, slow: Script) -> None:
    """Faults 20 and 21: its connection is closed, the slot is free."""
    async with engines(front, slow) as (model, (broken,)):
        answer = await ask(front.port, "how is it", within_s=5.0, model=model)
        assert answer.code == "backend_timeout"
        await asyncio.wait_for(broken.cancelled.wait(), 2.0)


async def test_wrong_json_in_a_stream_is_an_error(front: Balancer) -> None:
    """Fault 24."""
    async with engines(front, streams_wrong_json) as (model, _):
        answer = await ask(front.port, "how is it", model=model)
        assert answer.code == "backend_failed"


async def test_a_busy_engine_is_nobodys_failure(front: Balancer) -> None:
    async with engines(front, is_full, well) as (model, _):
        answers = [await ask(front.port, "how is it", model=model) for _ in range(2)]
        assert [answer.text for answer in answers] == ["all is well"] * 2
        assert [answer.done["attempts"] for answer in answers if answer.done] == [1, 1]


async def test_a_client_that_leaves_cancels_the_engine(front: Balancer) -> None:
    """Fault 29, seen from the engine."""
    async with engines(front, stalls) as (model, (slow,)), talk(front.port) as connection:
        answer = connection.ask("how is it", 1, model=model)
        await connection.begun(answer)
        connection.reset()
        await asyncio.wait_for(slow.cancelled.wait(), 1.0)


@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"], ids=["LF", "CRLF", "CR"])
async def test_bytes_that_come_singly_make_the_same_text(front: Balancer, line_end: str) -> None:
    """Fault 22: cut in the middle of characters, events and chunk heads."""
    texts = ("Grüße", " aus", " 東京", " 🚀", "\n\n data: no event\r\n", "\u2028!")

    async def sliced(body: dict[str, Any], wire: Wire) -> None:
        await wire.send_sliced(
            HEAD + b"".join(chunk(part) for part in halves(events(*texts, line_end=line_end))) + LAST_CHUNK
        )

    async with engines(front, sliced) as (model, _):
        answer = await ask(front.port, "how is it", model=model)
        check_text(answer, "".join(texts))


def halves(data: bytes, size: int = 7) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]


def check_text(answer: Answer, text: str) -> None:
    assert answer.error is None and answer.text == text
    assert answer.done is not None and answer.done["finish_reason"] == "stop"


async def test_many_events_in_one_write_and_one_event_of_100_kilobytes_are_read_once(front: Balancer) -> None:
    """Fault 23."""
    words = [f" {n}" for n in range(3000)] + ["x" * 100_000]

    async def at_once(body: dict[str, Any], wire: Wire) -> None:
        await wire.send(HEAD + chunk(events(*words)) + LAST_CHUNK)

    async with engines(front, at_once) as (model, _):
        check_text(await ask(front.port, "how is it", model=model), "".join(words))


async def test_an_engine_that_never_ends_an_event_is_cut(front: Balancer) -> None:
    async def endless_event(body: dict[str, Any], wire: Wire) -> None:
        await wire.send(HEAD)
        for _ in range(64):
            await wire.send(chunk(b"data: " + b"x" * (64 << 10)))
        await wire.hung_up()

    async with engines(front, endless_event) as (model, _):
        answer = await ask(front.port, "how is it", model=model)
        assert answer.code == "backend_failed" and not answer.pieces


async def test_an_engine_gets_no_more_than_the_request(front: Balancer) -> None:
    async with engines(front, well) as (model, (healthy,)):
        await ask(
            front.port, "how is it", model=model, key="secret", cache="bypass", deadline_s=5, temperature=0.5, top_p=0.9
        )
        (body,) = healthy.asked
        assert body["prompt"] == "how is it" and body["temperature"] == 0.5 and body["top_p"] == 0.9
        assert body["stream"] is True and not {"key", "cache", "deadline_s", "id"} & set(body)
