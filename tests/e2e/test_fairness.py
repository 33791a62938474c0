"""Tenants that compete for slots: each has its turn, whatever another one sends. Fault 52."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path

from balancer.admission.keys import ClientKey, digest_of, line_of
from tests.e2e.pool import pool
from tests.e2e.talk import Answer, Talk, echoed, endless, talk

ONE_SLOT = [["--slots", "1", "--echo-delay-ms", "20"]]
TOKENS, TOKEN_MS = 8, 50
PROMPT = " ".join(f"word{n}" for n in range(TOKENS))
EIGHT_SLOTS = [["--slots", "4", "--echo-delay-ms", str(TOKEN_MS)]] * 2
CAPACITY_PER_S = 8 * 1000 / (TOKENS * TOKEN_MS)
PHASE_S = 6.0
NOISE_S = 1.0
"""What a busy machine may add to a request. Behind all that bob has queued she would wait for three seconds more."""


def keys_file(folder: Path, **weights: float) -> str:
    """A key for each of these tenants: its name."""
    path = folder / "keys"
    keys = (ClientKey(name, digest_of(name.encode()), weight) for name, weight in weights.items())
    path.write_text("".join(line_of(key) + "\n" for key in keys))
    return str(path)


async def occupied(stack: AsyncExitStack, port: int) -> Talk:
    """Bob's connection, whose stream holds the only slot."""
    bob = await stack.enter_async_context(talk(port))
    await bob.begun(bob.ask("busy busy", "stream", key="bob", **endless(4000)))
    return bob


async def queued(connection: Talk, key: str, count: int) -> list[Answer]:
    """Ask so many times, one after the other; each waits, or is refused, when the next is sent."""
    answers: list[Answer] = []
    for n in range(count):
        answers.append(connection.ask(f"{key} {n}", n, key=key, **endless(10)))
        await connection.until(lambda: answers[-1].queued or answers[-1].ended)
    return answers


async def test_a_tenant_that_comes_late_has_its_turn_beside_one_that_queued_much(tmp_path: Path) -> None:
    async with pool("--keys", keys_file(tmp_path, alice=1, bob=1), backends=ONE_SLOT) as (front, _):
        async with AsyncExitStack() as stack:
            bob = await occupied(stack, front.port)
            many = await queued(bob, "bob", 5)
            alice = await stack.enter_async_context(talk(front.port))
            few = await queued(alice, "alice", 2)
            assert [answer.queued[0] for answer in many] == [1, 2, 3, 4, 5]
            assert [answer.queued[0] for answer in few] == [2, 4]
            bob.cancel("stream")
            await asyncio.gather(alice.ended(*few), bob.ended(*many))
            assert waited_ms(few[0]) < waited_ms(many[1])
            assert waited_ms(few[1]) < waited_ms(many[2])
            assert (await front.until_idle())["counts"]["completed"] == 7


def waited_ms(answer: Answer) -> float:
    """In the queue. All came within a moment beside what each takes, so it tells the order of service."""
    assert answer.done is not None, answer
    return float(answer.done["queue_ms"])


async def test_a_full_queue_makes_room_for_a_tenant_that_holds_less_than_its_share(tmp_path: Path) -> None:
    keys = keys_file(tmp_path, alice=1, bob=1)
    async with pool("--keys", keys, "--queue-size", "4", backends=ONE_SLOT) as (front, _), AsyncExitStack() as stack:
        bob = await occupied(stack, front.port)
        many = await queued(bob, "bob", 5)
        assert [answer.code for answer in many] == [None] * 4 + ["queue_full"]
        alice = await stack.enter_async_context(talk(front.port))
        few = await queued(alice, "alice", 3)
        assert [answer.code for answer in few] == [None, None, "queue_full"]
        await bob.ended(many[2], many[3])
        assert [answer.code for answer in many] == [None, None] + ["queue_full"] * 3
        assert many[3].error is not None and many[3].error["retry_after_s"] > 0
        assert (await front.status())["queue"]["waiting"] == 4
        bob.cancel("stream")
        await asyncio.gather(alice.ended(*few[:2]), bob.ended(*many[:2]))
        said = [echoed(f"{key} {n}", 10) for key in ("alice", "bob") for n in range(2)]
        assert [answer.text for answer in few[:2] + many[:2]] == said
        await front.until_idle()


async def sending(port: int, tenant: str, per_s: float) -> list[Answer]:
    """Ask at this pace, whatever comes back, for so long; all answers, once they have ended."""
    count = int(PHASE_S * per_s)
    async with talk(port) as connection:
        answers: list[Answer] = []

        async def send() -> None:
            loop = asyncio.get_running_loop()
            began = loop.time()
            for n in range(count):
                answers.append(connection.ask(PROMPT, n, key=tenant))
                await asyncio.sleep(began + (n + 1) / per_s - loop.time())

        sender = asyncio.create_task(send())
        await connection.until(lambda: len(answers) == count and all(answer.ended for answer in answers))
        await sender
        return answers


def p99_s(answers: list[Answer]) -> float:
    """Of the whole request. Raises `AssertionError` if one was not answered."""
    assert not [answer for answer in answers if answer.done is None], answers
    took_ms = sorted(answer.done["total_ms"] for answer in answers if answer.done is not None)
    return float(took_ms[int(len(took_ms) * 0.99)]) / 1000


async def test_a_tenant_s_p99_at_most_doubles_when_another_sends_ten_times_as_much(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """Fault 52: twice what the slots can do, of which alice asks for a fifth, as before."""
    keys, pace = keys_file(tmp_path, alice=1, bob=1), CAPACITY_PER_S / 5
    async with pool("--keys", keys, "--queue-size", "64", backends=EIGHT_SLOTS) as (front, _):
        normal, _ = await asyncio.gather(sending(front.port, "alice", pace), sending(front.port, "bob", pace))
        light, heavy = await asyncio.gather(sending(front.port, "alice", pace), sending(front.port, "bob", 10 * pace))
        await front.until_idle()
    before_s, after_s = p99_s(normal), p99_s(light)
    refused = [answer for answer in heavy if answer.error is not None]
    record_property("p99_s", (before_s, after_s))
    record_property("refused", len(refused))
    assert after_s <= 2 * before_s + NOISE_S, f"p99 {before_s:.3f} -> {after_s:.3f} s"
    assert refused and {answer.code for answer in refused} == {"queue_full"}
