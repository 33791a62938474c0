"""Clients that leave over HTTP and the classic door, in each phase and in each way. Fault 29.

There a closed sending side means that nobody waits any more. Native lines are in test_leaving_clients.py, engines
that are told to stop in test_broken_engines.py.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Any, Final

import pytest
import pytest_asyncio

from tests.e2e.pool import Pool, Status, pool
from tests.e2e.streams import PATHS
from tests.e2e.talk import Talk, check_served, echoed, endless, talk

pytestmark = pytest.mark.asyncio(loop_scope="module")

FREED_S: Final = 1.0
AGAIN: Final = 2
"""So often in a row, so that a slot that is lost only sometimes is missed."""
SLOTS: Final = 2
LEAVE: Final[dict[str, Callable[[Talk], None]]] = {
    "close": Talk.close,
    "reset": Talk.reset,
    "half-close": Talk.half_close,
}


def http_request(**body: Any) -> bytes:
    content = json.dumps({"model": "echo", "prompt": "will I stay", **body, **endless(5000)}).encode()
    head = f"POST {PATHS['completions']} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(content)}\r\n\r\n"
    return head.encode() + content


ASK: Final = {
    "stream": http_request(stream=True),
    "whole": http_request(stream=False),
    "classic": b"CLIENT|ADD" + " ".join(["will", "I", "stay"] * 300).encode(),
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running() -> AsyncIterator[Pool]:
    """Fifty tokens a second."""
    async with pool(backends=[["--slots", str(SLOTS), "--echo-delay-ms", "20"]]) as found:
        yield found


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def sluggish() -> AsyncIterator[Pool]:
    """A token every second and a half."""
    async with pool(backends=[["--slots", str(SLOTS), "--echo-delay-ms", "1500"]]) as found:
        yield found


async def check_engine_stopped(running: Pool) -> None:
    """The engine itself works on nothing any more, as it tells with its next beat."""
    name = running.backends[0].ready["name"]
    assert await running.balancer.until(lambda status: status.idle and status.running(name) == 0)


async def leave(running: Pool, door: str, when: Callable[[Status], object]) -> None:
    """Ask, leave when it is so, and be forgotten within a second; again and again, in all ways."""
    front = running.balancer
    for go in [*LEAVE.values()] * AGAIN:
        async with talk(front.port) as leaver:
            leaver.write(ASK[door])
            await front.until(when)
            go(leaver)
            await front.until(lambda status: status.idle, FREED_S)


@pytest.mark.parametrize("door", ASK)
async def test_who_leaves_before_the_first_token_frees_the_slot(sluggish: Pool, door: str) -> None:
    await leave(sluggish, door, lambda status: status["exchanges"]["asking"] == 1)
    await check_engine_stopped(sluggish)


@pytest.mark.parametrize("door", ["stream", "classic"])
async def test_who_leaves_in_the_middle_frees_the_slot(running: Pool, door: str) -> None:
    await leave(running, door, lambda status: status["exchanges"]["streaming"] == 1)
    await check_engine_stopped(running)


@pytest.mark.parametrize("way", LEAVE)
async def test_who_leaves_between_two_slow_tokens_frees_the_slot(sluggish: Pool, way: str) -> None:
    """There is nothing to write to the client that would tell, for longer than a second."""
    front = sluggish.balancer
    async with talk(front.port) as leaver:
        leaver.write(ASK["stream"])
        await front.until(lambda status: status["exchanges"]["streaming"] == 1)
        LEAVE[way](leaver)
        await front.until(lambda status: status.idle, FREED_S)


@pytest.mark.parametrize("door", ASK)
async def test_who_leaves_the_queue_is_forgotten_and_disturbs_nobody(running: Pool, door: str) -> None:
    front = running.balancer
    async with talk(front.port) as holder:
        streams = [holder.ask("one two", n, **endless(5000)) for n in range(SLOTS)]
        await holder.begun(*streams)
        for go in [*LEAVE.values()] * AGAIN:
            async with talk(front.port) as leaver:
                leaver.write(ASK[door])
                await front.until(lambda status: status["queue"]["waiting"] == 1)
                go(leaver)
                await front.until(lambda status: status["queue"]["waiting"] == 0, FREED_S)
        assert (await front.status()).in_flight == SLOTS
        said = len(streams[0].pieces)
        await holder.until(lambda: len(streams[0].pieces) > said)
        assert echoed("one two", 5000).startswith(streams[0].text)
    await front.until_idle()
    await check_served(front.port)


async def test_the_requests_behind_a_client_that_left_are_not_asked(sluggish: Pool) -> None:
    """HTTP pipelining: who leaves takes all that he asked with him."""
    front = sluggish.balancer
    before = (await front.status())["counts"]
    async with talk(front.port) as leaver:
        leaver.write(ASK["whole"] * 3)
        await front.until(lambda status: status["exchanges"]["asking"] == 1)
        leaver.reset()
        after = await front.until(lambda status: status.idle, FREED_S)
    await asyncio.sleep(0.1)
    assert (await front.status())["counts"] == after["counts"]
    assert after["counts"]["requests"] == before.get("requests", 0) + 1
