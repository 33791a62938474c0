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
PHASE_S, SETTLING_S = 5.0, 1.0
REFUSED_WITHIN_S: Final = 0.5
"""Five times what is promised: the client and all backends run on this machine, too."""
GOODPUT_MIN: Final = 0.7
"""0.9 is promised: this machine serves the clients as well."""


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


async def test_three_times_the_load_is_refused_at_once_and_costs_no_goodput(
    record_property: Callable[[str, object], None],
) -> None:
    async with pool("--queue-size", str(QUEUE_MAX), backends=BACKENDS) as (front, _):
        peak_per_s = goodput_per_s(*await keep_busy(front.port))
        over = asyncio.Event()
        watching = asyncio.create_task(longest_queue(front, over))
        asked, began = await offer(front.port, 3 * peak_per_s)
        over.set()
        longest = await watching
        status = await front.until_idle()
    under_load_per_s = goodput_per_s(asked, began)
    refused = [each for each in asked if each.answer.status != 200]
    slowest_s = max(each.took_s for each in refused)
    record_property("goodput_per_s", (peak_per_s, under_load_per_s))
    record_property("slowest_refusal_s", slowest_s)
    record_property("refused", len(refused))
    assert under_load_per_s >= GOODPUT_MIN * peak_per_s, f"{peak_per_s:.1f} -> {under_load_per_s:.1f} a second"
    assert 0 < longest <= QUEUE_MAX
    assert len(refused) >= len(asked) / 3
    assert slowest_s <= REFUSED_WITHIN_S
    for each in refused:
        assert each.answer.status in (429, 503)
        assert each.answer.json()["error"]["code"] == "queue_full"
        assert 1 <= int(each.answer.headers["retry-after"]) <= 120
    assert status["counts"]["failed.queue_full"] == len(refused)
    assert "failed.queue_timeout" not in status["counts"]
