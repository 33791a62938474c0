"""Three times as many requests as the slots can serve: the rest is refused at once, the work goes on. Fault 27."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Final, NamedTuple

from tests.e2e.pool import Balancer, HttpAnswer, http, pool

TOKENS, TOKEN_MS, SLOTS = 8, 50, 8
BACKENDS = [["--slots", str(SLOTS // 2), "--echo-delay-ms", str(TOKEN_MS)]] * 2
BODY = json.dumps({"model": "echo", "prompt": " ".join(f"word{n}" for n in range(TOKENS))}).encode()
QUEUE_MAX = 16
CAPACITY_PER_S = SLOTS * 1000 / (TOKENS * TOKEN_MS)
PHASE_S, SETTLING_S = 5.0, 1.0
REFUSED_WITHIN_S: Final = 0.5
"""Nine of ten, in five times what is promised: the clients and all backends run on this machine, too."""
HANGS_S: Final = 5.0
"""A refusal that takes longer than that is none at once, however busy the machine is."""
GOODPUT_MIN: Final = 0.7
"""0.9 is promised: this machine serves the clients as well."""
ROUNDS_MAX: Final = 3
"""Peak and overload are measured one after the other: a machine that stands still in either says nothing."""


class Asked(NamedTuple):
    answer: HttpAnswer
    ended_at: float
    took_s: float


async def ask(port: int) -> Asked:
    loop = asyncio.get_running_loop()
    began = loop.time()
    answer = await http(port, "POST", "/v1/completions", "Content-Type: application/json", body=BODY)
    return Asked(answer, loop.time(), loop.time() - began)


def goodput_per_s(asked: list[Asked], began: float) -> float:
    """Answers a second, once it has settled and while more is asked."""
    since, until = began + SETTLING_S, began + PHASE_S
    return sum(each.answer.status == 200 and since <= each.ended_at < until for each in asked) / (until - since)


async def keep_busy(port: int) -> tuple[list[Asked], float]:
    """As many clients as fill all slots and a bit of the queue, each asking again when it is answered."""
    loop = asyncio.get_running_loop()
    began = loop.time()

    async def client() -> list[Asked]:
        asked = []
        while loop.time() < began + PHASE_S:
            asked.append(await ask(port))
        return asked

    found = await asyncio.gather(*(client() for _ in range(SLOTS + 4)))
    return [each for asked in found for each in asked], began


async def offer(port: int, per_s: float) -> tuple[list[Asked], float]:
    """Clients that come at this pace, whatever becomes of those before them."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    tasks = []
    for n in range(int(per_s * PHASE_S)):
        tasks.append(asyncio.create_task(ask(port)))
        await asyncio.sleep(began + (n + 1) / per_s - loop.time())
    return await asyncio.gather(*tasks), began


async def longest_queue(front: Balancer, over: asyncio.Event) -> int:
    """As the status tells it."""
    longest = 0
    while not over.is_set():
        longest = max(longest, (await front.status())["queue"]["waiting"])
        await asyncio.sleep(0.1)
    return longest


class Round(NamedTuple):
    """One measurement: the peak, and what became of three times as much."""

    peak_per_s: float
    under_load_per_s: float
    asked: list[Asked]
    longest_queue: int

    @property
    def refused(self) -> list[Asked]:
        return [each for each in self.asked if each.answer.status != 200]

    @property
    def refused_within_s(self) -> float:
        """Nine of ten."""
        took_s = sorted(each.took_s for each in self.refused)
        return took_s[int(0.9 * len(took_s))]


def are_good(rounds: list[Round]) -> bool:
    """The best of each: of what the machine can do at all, enough is done under load, and refusals are quick."""
    peak_per_s = max(each.peak_per_s for each in rounds)
    kept_its_pace = max(each.under_load_per_s for each in rounds) >= GOODPUT_MIN * peak_per_s
    return kept_its_pace and min(each.refused_within_s for each in rounds) <= REFUSED_WITHIN_S


async def measured(front: Balancer) -> Round:
    peak_per_s = goodput_per_s(*await keep_busy(front.port))
    over = asyncio.Event()
    watching = asyncio.create_task(longest_queue(front, over))
    asked, began = await offer(front.port, 3 * CAPACITY_PER_S)
    over.set()
    return Round(peak_per_s, goodput_per_s(asked, began), asked, await watching)


async def test_three_times_the_load_is_refused_at_once_and_costs_no_goodput(
    record_property: Callable[[str, object], None],
) -> None:
    async with pool("--queue-size", str(QUEUE_MAX), backends=BACKENDS) as (front, _):
        rounds = [await measured(front)]
        while not are_good(rounds) and len(rounds) < ROUNDS_MAX:
            rounds.append(await measured(front))
        status = await front.until_idle()
    found = [(each.peak_per_s, each.under_load_per_s, len(each.refused), each.refused_within_s) for each in rounds]
    record_property("peak and goodput a second, refused, seconds for nine of ten", found)
    assert are_good(rounds), found
    assert all(0 < each.longest_queue <= QUEUE_MAX for each in rounds)
    assert all(len(each.refused) >= len(each.asked) / 3 for each in rounds)
    refused = [each for one in rounds for each in one.refused]
    for each in refused:
        assert each.took_s < HANGS_S
        assert each.answer.status in (429, 503)
        assert each.answer.json()["error"]["code"] == "queue_full"
        assert 1 <= int(each.answer.headers["retry-after"]) <= 120
    assert status["counts"]["failed.queue_full"] == len(refused)
    assert "failed.queue_timeout" not in status["counts"]
