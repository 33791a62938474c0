"""Engines that break with nobody to take over, or that only look broken. Faults 20 to 24, and 29.

What another engine saves is in test_retry.py. Each test has models of its own on one balancer whose token deadlines
are a second.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from tests.e2e.broken import engines, is_full, never_answers, stalls, streams_wrong_json, well
from tests.e2e.fake_engine import HEAD, LAST_CHUNK, Script, Wire, chunk, events
from tests.e2e.pool import FREED_S, Balancer, balancer
from tests.e2e.talk import Answer, ask, talk

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def front() -> AsyncIterator[Balancer]:
    async with balancer("-r", "--first-token-timeout", "1", "--token-timeout", "1") as found:
        yield found


@pytest.mark.parametrize("slow", [never_answers, stalls])
async def test_an_engine_that_stalls_is_told_to_stop(front: Balancer, slow: Script) -> None:
    """Faults 20 and 21: its connection is closed, the slot is free."""
    async with engines(front, slow) as (model, (broken,)):
        answer = await ask(front.port, "how is it", model=model)
        assert answer.code == "backend_timeout"
        await asyncio.wait_for(broken.cancelled.wait(), FREED_S)


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
        await asyncio.wait_for(slow.cancelled.wait(), FREED_S)


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
