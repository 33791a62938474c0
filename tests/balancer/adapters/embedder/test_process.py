from __future__ import annotations

import asyncio
import logging
import math
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from balancer import tasks
from balancer.adapters.embedder import process
from balancer.adapters.embedder.frames import TEXT_MAX_BYTES, Vector
from balancer.adapters.embedder.process import Embedder

WORKER = [sys.executable, str(Path(__file__).with_name("scripted_worker.py"))]
Start = Callable[..., Awaitable[Embedder]]


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    """Starts an embedder on the scripted child, and ends it after the test."""
    running: list[Embedder] = []

    async def start(*options: str, ready: bool = True) -> Embedder:
        embedder = Embedder(command=[*WORKER, *options])
        running.append(embedder)
        await embedder.start()
        if ready:
            await until(lambda: embedder.ready)
        return embedder

    yield start
    for embedder in running:
        await embedder.stop()
    await tasks.cancel_all()


async def until(condition: Callable[[], bool], limit_s: float = 30.0) -> None:
    async with asyncio.timeout(limit_s):
        while not condition():
            await asyncio.sleep(0.005)


def answer() -> asyncio.Future[Vector | None]:
    return asyncio.get_running_loop().create_future()


async def embed(embedder: Embedder, text: str) -> Vector | None:
    vector = answer()
    assert embedder.submit(text, vector.set_result) is not None
    return await vector


async def test_texts_become_vectors(start: Start) -> None:
    embedder = await start()
    assert (embedder.id, embedder.dimension) == ("scripted@1", 2)
    vector = await embed(embedder, "banana")
    assert vector is not None
    assert vector.tolist() == [6, 3]
    assert await embed(embedder, "long") is None
    assert (embedder.embedded, embedder.batches) == (2, 2)


async def test_tokens_come_along_where_the_child_tells_them(start: Start) -> None:
    embedder = await start()
    vector = answer()
    ticket = embedder.submit("tokens", vector.set_result)
    assert await vector is not None
    assert ticket is not None and ticket.token_vectors is not None
    assert ticket.token_vectors.tobytes() == b"tokens"


async def test_before_it_is_ready_it_refuses_at_once() -> None:
    embedder = Embedder(command=[*WORKER, "--mute"])
    before = time.perf_counter()
    await embedder.start()
    assert time.perf_counter() - before < 5  # of for ever
    assert embedder.submit("a", lambda _: None) is None
    assert embedder.encode("a", lambda _: None) is None
    assert embedder.expected_wait_s(0.0) == math.inf
    assert (embedder.id, embedder.dimension, embedder.ready) == (None, None, False)
    await embedder.stop()
    assert embedder.pid is None


async def test_texts_of_one_loop_cycle_share_a_batch_and_keep_their_order(start: Start) -> None:
    embedder = await start()
    vectors = [answer() for _ in range(20)]
    for number, vector in enumerate(vectors):
        embedder.submit("x" * (number + 1), vector.set_result)
    found = await asyncio.gather(*vectors)
    assert [int(vector[0]) for vector in found if vector is not None] == list(range(1, 21))
    assert embedder.batches == 2


async def test_a_callback_is_never_called_within_submit(start: Start) -> None:
    embedder = await start()
    told: list[object] = []
    embedder.submit("a", told.append, wait_s=10)
    assert told == []
    await until(lambda: bool(told))


async def test_a_killed_child_costs_its_texts_and_comes_back(start: Start) -> None:
    embedder = await start()
    first, second = answer(), answer()
    embedder.submit("slow", first.set_result)
    await asyncio.sleep(0)  # it is with the child
    embedder.submit("waits", second.set_result)
    assert embedder.pid is not None
    os.kill(embedder.pid, signal.SIGKILL)
    assert list(await asyncio.wait_for(asyncio.gather(first, second), 10)) == [None, None]
    assert not embedder.ready
    assert embedder.submit("a", lambda _: None) is None
    await until(lambda: embedder.ready)
    assert (await embed(embedder, "banana")) is not None
    assert embedder.restarts == 1
    assert embedder.id == "scripted@1"


async def test_a_child_that_dies_of_a_text_does_not_get_it_again(start: Start) -> None:
    embedder = await start()
    assert await embed(embedder, "die") is None
    await until(lambda: embedder.ready)
    assert await embed(embedder, "banana") is not None


async def test_each_death_in_a_row_doubles_the_pause(start: Start, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    embedder = await start("--die", ready=False)
    await until(lambda: embedder.restarts >= 2)
    assert "again in 0.5 s" in caplog.text
    assert "again in 1.0 s" in caplog.text
    assert embedder.failure is None


async def test_a_frozen_child_is_soon_too_far_away_to_wait_for(start: Start) -> None:
    embedder = await start()
    loop = asyncio.get_running_loop()
    assert embedder.expected_wait_s(loop.time()) < 0.030
    assert embedder.pid is not None
    os.kill(embedder.pid, signal.SIGSTOP)
    early = answer()
    asked = loop.time()
    ticket = embedder.submit("banana", early.set_result, wait_s=0.030)
    assert ticket is not None
    assert await early is None
    assert loop.time() - asked >= 0.029
    await asyncio.sleep(0.1)
    assert embedder.expected_wait_s(loop.time()) > 0.030
    assert embedder.submit("another", lambda _: None, wait_s=0.030) is None
    assert (embedder.late, embedder.refused) == (1, 1)
    os.kill(embedder.pid, signal.SIGCONT)
    await until(lambda: ticket.vector is not None)
    assert ticket.vector is not None
    assert ticket.vector.tolist() == [6, 3]


async def test_a_frozen_child_is_replaced(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "BATCH_TIMEOUT_S", 0.2)
    embedder = await start()
    frozen = embedder.pid
    assert frozen is not None
    os.kill(frozen, signal.SIGSTOP)
    assert await embed(embedder, "banana") is None
    await until(lambda: embedder.ready)
    assert embedder.pid != frozen


async def test_a_cancelled_text_is_neither_computed_nor_told(start: Start) -> None:
    embedder = await start()
    told: list[object] = []
    slow, last = answer(), answer()
    embedder.submit("slow", slow.set_result)
    await asyncio.sleep(0)
    ticket = embedder.submit("a", told.append, wait_s=30)
    assert ticket is not None
    embedder.cancel(ticket)
    embedder.submit("b", last.set_result)
    await asyncio.gather(slow, last)
    assert told == []
    assert embedder.embedded == 2


async def test_lookups_overtake_background_work(start: Start) -> None:
    embedder = await start()
    order: list[str] = []
    slow = answer()
    embedder.submit("slow", slow.set_result)
    await asyncio.sleep(0)
    embedder.submit("a", lambda _: order.append("background"), background=True)
    embedder.submit("b", lambda _: order.append("lookup"))
    await until(lambda: len(order) == 2)
    assert order == ["lookup", "background"]


async def test_clients_get_vectors_and_token_counts_also_of_long_texts(start: Start) -> None:
    embedder = await start()
    first, second = answer(), answer()
    tickets = [embedder.encode("long", first.set_result), embedder.encode("two words", second.set_result)]
    vectors = await asyncio.gather(first, second)
    assert [vector is not None and vector.tolist() for vector in vectors] == [[4, 1], [9, 2]]
    assert [ticket is not None and ticket.tokens for ticket in tickets] == [1, 2]
    assert embedder.stats()["expected_single_ms"] == pytest.approx(1.0)  # they say nothing of how long a lookup takes


async def test_lookups_overtake_clients(start: Start) -> None:
    embedder = await start()
    order: list[str] = []
    slow = answer()
    embedder.encode("slow", slow.set_result)
    await asyncio.sleep(0)
    embedder.encode("a", lambda _: order.append("client"))
    embedder.submit("b", lambda _: order.append("lookup"))
    await until(lambda: len(order) == 2)
    assert order == ["lookup", "client"]


async def test_texts_that_cannot_be_sent_are_refused(start: Start) -> None:
    embedder = await start()
    assert embedder.submit("x" * (TEXT_MAX_BYTES + 1), lambda _: None) is None
    assert embedder.submit("\ud800", lambda _: None) is None


async def test_a_child_that_cannot_work_is_not_tried_again(start: Start, caplog: pytest.LogCaptureFixture) -> None:
    embedder = await start("--fail", ready=False)
    await until(lambda: embedder.failure is not None and embedder.pid is None)
    assert embedder.failure == "no such thing: pip install it"
    assert embedder.failure in caplog.text
    assert {record.levelname for record in caplog.records} == {"WARNING"}, "the exact tier works: that is no error"
    assert embedder.restarts == 0
    assert embedder.submit("a", lambda _: None) is None


async def test_a_child_that_breaks_the_protocol_is_replaced(start: Start) -> None:
    embedder = await start()
    assert await embed(embedder, "garbage") is None
    await until(lambda: embedder.ready)
    assert embedder.restarts == 1


async def test_stopping_tells_everybody_and_leaves_nothing_behind(start: Start) -> None:
    embedder = await start()
    pid, waits = embedder.pid, answer()
    assert pid is not None
    embedder.submit("slow", waits.set_result)
    await embedder.stop()
    assert await waits is None
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert embedder.submit("a", lambda _: None) is None
    await embedder.stop()


async def test_a_program_that_is_not_there_is_tried_again_later() -> None:
    embedder = Embedder(command=["/no/such/program"])
    await embedder.start()
    await until(lambda: embedder.restarts == 1)
    await embedder.stop()
    assert not embedder.ready


async def test_another_model_is_told_to_be_loaded_once(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO"):
        embedder = Embedder("some/model", command=["/no/such/program"])
        await embedder.start()
        await until(lambda: embedder.restarts == 1)
        await embedder.stop()
    assert caplog.text.count("loading some/model, exact hits only until then") == 1


async def test_the_status_page_sees_it(start: Start) -> None:
    stats = (await start()).stats()
    assert stats["ready"] is True
    assert stats["id"] == "scripted@1"
    assert stats["expected_single_ms"] == pytest.approx(1.0)
