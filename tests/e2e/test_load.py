"""Many clients at once: every answer whole, no slot leaked, work spread as the operator chose. Faults 17, 23, 39."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from typing import Any

from tests.e2e.pool import Pool, pool
from tests.e2e.raw_agent import registered
from tests.e2e.talk import Answer, ask, echoed, endless, talk

CLIENTS = 200
TWO_OF_FOUR = [["--slots", "4"], ["--slots", "4"]]


async def test_two_hundred_clients_on_two_backends_of_four_slots_get_whole_answers() -> None:
    async with pool("--queue-size", "256", backends=TWO_OF_FOUR) as (front, backends):
        answers = await asyncio.gather(*(ask(front.port, prompt(n), within_s=60.0) for n in range(CLIENTS)))
        assert [answer.text for answer in answers] == [prompt(n) for n in range(CLIENTS)]
        assert {answer.backend for answer in answers} == {program.ready["name"] for program in backends}
        status = await front.until_idle()
        assert status["counts"] == {"requests": CLIENTS, "completed": CLIENTS, "cache.off": CLIENTS}


async def test_two_hundred_clients_get_whole_answers_though_a_backend_is_killed() -> None:
    """Whoever had no byte yet is answered by the other backend, whoever had goes on there: nobody hears an error."""
    slots = 4
    tokens = [30 + n % 17 for n in range(CLIENTS)]  # of one length they would all begin and end at the same moments
    backends = [["--slots", str(slots), "--echo-delay-ms", "3"]] * 2
    async with pool(backends=backends) as (front, (first, second)):
        each = (ask(front.port, prompt(n), within_s=60.0, **endless(tokens[n])) for n in range(CLIENTS))
        asked = [asyncio.create_task(one) for one in each]
        await front.until(lambda status: status["counts"].get("completed", 0) >= 20)
        await front.until(lambda status: status["exchanges"]["streaming"] > slots)
        await first.kill()
        answers = await asyncio.gather(*asked)
        assert [answer.text for answer in answers] == [echoed(prompt(n), tokens[n]) for n in range(CLIENTS)]
        moved = [answer for answer in answers if answer.done is not None and answer.done["resumed"]]
        assert 1 <= len(moved) <= slots, "those that the first one was answering"
        assert {(answer.backend, answer.done["resumed"]) for answer in moved if answer.done is not None} == {
            (second.ready["name"], 1)
        }
        status = await front.until_idle()
        counts = status["counts"]
        assert counts["completed"] == counts["requests"] == CLIENTS and counts["resumed"] == len(moved)
        assert status.alive == [second.ready["name"]]


def prompt(n: int) -> str:
    return f"client {n} says " + " ".join(f"w{n}-{i}" for i in range(n % 17 + 5))


async def test_round_robin_asks_each_in_turn() -> None:
    """Fault 39: the spread is one at most."""
    async with pool("-r", backends=[["--name", name] for name in "abc"]) as (front, _):
        order = [(await ask(front.port, f"q {n}")).backend for n in range(31)]
        assert max(Counter(order).values()) - min(Counter(order).values()) <= 1
        assert order[:3] == order[3:6] == order[27:30] and len(set(order[:3])) == 3


async def test_round_robin_honours_weights() -> None:
    weights = [["--name", "big", "--weight", "3"], ["--name", "small"]]
    async with pool("-r", backends=weights) as (front, _):
        order = [(await ask(front.port, f"q {n}")).backend for n in range(40)]
        assert Counter(order) == {"big": 30, "small": 10}


async def test_least_connections_fills_the_emptier_and_never_above_its_slots() -> None:
    """Fault 39."""
    backends = [["--name", name, "--slots", "4", "--echo-delay-ms", "20"] for name in "ab"]
    async with pool("-c", backends=backends) as (front, _), talk(front.port) as connection:
        streams: list[Answer] = []
        for n in range(8):
            streams.append(connection.ask("a b", n, **endless(2000)))
            await connection.begun(streams[-1])
            loads = sorted(each["in_flight"] for each in (await front.status())["backends"])
            assert loads == [(n + 1) // 2, (n + 2) // 2]
        waiting = connection.ask("one too many", "late")
        await connection.until(lambda: waiting.queued)
        assert [each["in_flight"] for each in (await front.status())["backends"]] == [4, 4]
        for n in range(0, 8, 2):
            connection.cancel(n)
        await connection.ended(waiting)
        assert waiting.text == "one too many"


async def test_no_counter_is_left_behind_by_any_mix_of_endings() -> None:
    """Fault 39: answered, cancelled, timed out, refused, cut off, all at once."""
    async with pool("-c", "--queue-size", "40", backends=[["--slots", "3", "--echo-delay-ms", "3"]] * 2) as running:
        rng = random.Random(20)
        await asyncio.gather(*(one_client(running, random.Random(rng.random())) for _ in range(60)))
        status = await running.balancer.until_idle()
        counts = status["counts"]
        ends = counts["completed"] + counts["cancelled"]
        assert ends + sum(n for name, n in counts.items() if name.startswith("failed.")) == counts["requests"]
        assert counts["completed"] > 0 and counts["cancelled"] > 0


ENDINGS: dict[str, dict[str, Any]] = {"deadline": {"deadline_s": 0.05}, "unknown": {"model": "none"}}


async def one_client(running: Pool, rng: random.Random) -> None:
    """Some requests that end in different ways, then a way to leave."""
    async with talk(running.port) as connection:
        answers = []
        for n in range(6):
            kind = rng.choice(["plain", "cancel", "deadline", "unknown"])
            fields = ENDINGS.get(kind, {})
            answers.append(connection.ask(f"words of {n} " * 6, n, **fields))
            if kind == "cancel":
                connection.cancel(n)
        if rng.random() < 0.3:
            await connection.writer.drain()
            connection.reset()
            return
        await connection.ended(*answers)
        assert all(answer.error is not None or answer.done is not None for answer in answers)


async def test_a_refused_dial_costs_one_attempt_and_nobody_notices() -> None:
    """Fault 17: one of three registered backends refuses connections."""
    async with pool("-r", backends=[["--name", "a"], ["--name", "b"]]) as (front, _):
        async with registered(front.port, "http://127.0.0.1:9", name="deaf"):
            await front.until(lambda status: len(status.alive) == 3)
            answers = [await ask(front.port, f"q {n}") for n in range(9)]
        assert [answer.text for answer in answers] == [f"q {n}" for n in range(9)]
        attempts = [answer.done["attempts"] for answer in answers if answer.done is not None]
        assert max(attempts) == 2 and {answer.backend for answer in answers} == {"a", "b"}


async def test_one_megabyte_of_prompt_comes_back_as_it_went() -> None:
    """Fault 23: frames of any size, each parsed once."""
    async with pool() as (front, _):
        words = [f"{n:05d}" + "ü" * 200 for n in range(2400)]
        answer = await ask(front.port, " ".join(words))
        assert answer.text == " ".join(words)
