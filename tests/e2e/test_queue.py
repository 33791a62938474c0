"""Waiting for a slot: in order, bounded, told about, and never longer than promised. Fault 28."""

from __future__ import annotations

from contextlib import AsyncExitStack

from tests.e2e.pool import SERVED_S, backend, pool
from tests.e2e.talk import Answer, Talk, ask, echoed, endless, talk

ONE_SLOT = [["--slots", "1", "--echo-delay-ms", "20"]]


async def occupied(stack: AsyncExitStack, port: int, tokens: int = 4000) -> Talk:
    """A connection whose stream holds a slot."""
    connection = await stack.enter_async_context(talk(port))
    stream = connection.ask("busy busy", "stream", **endless(tokens))
    await connection.begun(stream)
    return connection


async def told(connection: Talk, answer: Answer) -> None:
    """The request waits, and its client knows."""
    await connection.until(lambda: answer.queued)


async def test_requests_are_served_in_the_order_in_which_they_came() -> None:
    """And those who wait hear that they move up, which is told twice a second: so the first of them takes longer."""
    async with pool(backends=ONE_SLOT) as (front, _), AsyncExitStack() as stack:
        first = await occupied(stack, front.port)
        waiting: list[tuple[Talk, Answer]] = []
        for n in range(5):
            connection = await stack.enter_async_context(talk(front.port))
            answer = connection.ask(f"number {n}", n, **(endless(60) if n == 0 else {}))
            await told(connection, answer)
            assert answer.queued == [n + 1]
            waiting.append((connection, answer))
        first.cancel("stream")
        for connection, answer in waiting:
            await connection.ended(answer)
        texts = [answer.text for _, answer in waiting]
        waits_ms = [answer.done["queue_ms"] for _, answer in waiting if answer.done is not None]
        assert texts == [echoed("number 0", 60), *(f"number {n}" for n in range(1, 5))]
        assert len(waits_ms) == 5 and waits_ms == sorted(waits_ms)
        heard = waiting[-1][1].queued
        assert heard[0] == 5 and len(heard) > 1 and heard == sorted(set(heard), reverse=True)


async def test_who_waits_too_long_is_told_so() -> None:
    async with pool("--queue-timeout", "0.7", backends=ONE_SLOT) as (front, _), AsyncExitStack() as stack:
        await occupied(stack, front.port)
        answer = await ask(front.port, "let me in")
        assert answer.code == "queue_timeout" and answer.queued == [1]
        assert answer.error is not None and answer.error["retry_after_s"] > 0
        assert (await front.status())["queue"]["waiting"] == 0


async def test_a_full_queue_refuses_at_once() -> None:
    async with pool("--queue-size", "2", backends=ONE_SLOT) as (front, _), AsyncExitStack() as stack:
        await occupied(stack, front.port)
        waiting = await stack.enter_async_context(talk(front.port))
        queued = [waiting.ask("wait", n) for n in range(2)]
        await waiting.until(lambda: all(answer.queued for answer in queued))
        refused = await ask(front.port, "one more", within_s=SERVED_S)
        assert refused.code == "queue_full" and refused.error is not None and refused.error["retry_after_s"] > 0
        assert (await front.status())["queue"]["waiting"] == 2


async def test_a_deadline_that_passes_in_the_queue_never_reaches_a_backend() -> None:
    """Fault 28."""
    async with pool(backends=ONE_SLOT) as (front, _), AsyncExitStack() as stack:
        connection = await occupied(stack, front.port)
        answer = await ask(front.port, "quick", within_s=SERVED_S, deadline_s=0.5)
        assert answer.code == "deadline_passed" and not answer.pieces
        connection.cancel("stream")
        await connection.ended(connection.answers["stream"])
        counts = (await front.until_idle())["counts"]
        assert counts["failed.deadline_passed"] == 1 and "attempts_failed" not in counts


async def test_a_backend_that_joins_serves_those_who_wait() -> None:
    async with pool(backends=ONE_SLOT) as (front, _), AsyncExitStack() as stack:
        await occupied(stack, front.port)
        connection = await stack.enter_async_context(talk(front.port))
        answer = connection.ask("at last")
        await connection.until(lambda: answer.queued)
        helper = await stack.enter_async_context(backend(front.port))
        await connection.ended(answer)
        assert answer.text == "at last" and answer.backend == helper.ready["name"]
