"""Clients that leave over HTTP and the classic door, in each phase and in each way. Fault 29.

There a closed sending side means that nobody waits any more. Native lines are in test_leaving_clients.py, engines
that are told to stop in test_broken_engines.py.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Final, NamedTuple

import pytest
import pytest_asyncio

from tests.e2e.broken import never_answers, stalls
from tests.e2e.fake_engine import FakeEngine, Script, engine
from tests.e2e.pool import FREED_S, Balancer, Pool, Status, balancer, pool
from tests.e2e.streams import PATHS
from tests.e2e.talk import Talk, check_served, echoed, endless, talk

pytestmark = pytest.mark.asyncio(loop_scope="module")

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


class Silent(NamedTuple):
    """A balancer whose only engine says nothing more."""

    front: Balancer
    engine: FakeEngine

    async def check_engine_stopped(self) -> None:
        """It was asked, and has been told."""
        await asyncio.wait_for(self.engine.cancelled.wait(), FREED_S)
        self.engine.cancelled.clear()
        self.engine.asked.clear()


@asynccontextmanager
async def silent(script: Script) -> AsyncIterator[Silent]:
    async with engine(script) as found, balancer("--upstream", f"{found.url};slots={SLOTS}") as front:
        await front.until(lambda status: status.alive)
        yield Silent(front, found)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def sluggish() -> AsyncIterator[Silent]:
    """Not even a first token comes."""
    async with silent(never_answers) as found:
        yield found


async def leave(front: Balancer, door: str, when: Callable[[Status], object]) -> AsyncIterator[None]:
    """Ask, leave when it is so, and be forgotten soon; again and again, in all ways."""
    for go in [*LEAVE.values()] * AGAIN:
        async with talk(front.port) as leaver:
            leaver.write(ASK[door])
            await front.until(when)
            go(leaver)
            await front.until(lambda status: status.idle, FREED_S)
        yield


@pytest.mark.parametrize("door", ASK)
async def test_who_leaves_before_the_first_token_frees_the_slot(sluggish: Silent, door: str) -> None:
    asked = sluggish.engine.asked
    async for _ in leave(sluggish.front, door, lambda status: asked and status["exchanges"]["asking"] == 1):
        await sluggish.check_engine_stopped()


@pytest.mark.parametrize("door", ["stream", "classic"])
async def test_who_leaves_in_the_middle_frees_the_slot(running: Pool, door: str) -> None:
    front, name = running.balancer, running.backends[0].ready["name"]
    async for _ in leave(front, door, lambda status: status["exchanges"]["streaming"] == 1):
        pass
    # The engine works on nothing any more, as it tells with its next beat.
    assert await front.until(lambda status: status.idle and status.running(name) == 0)


async def test_who_leaves_between_two_slow_tokens_frees_the_slot() -> None:
    """There is nothing to write to the client that would tell."""
    async with silent(stalls) as slow:
        async for _ in leave(slow.front, "stream", lambda status: status["exchanges"]["streaming"] == 1):
            await slow.check_engine_stopped()


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


async def test_the_requests_behind_a_client_that_left_are_not_asked(sluggish: Silent) -> None:
    """HTTP pipelining: who leaves takes all that he asked with him."""
    front = sluggish.front
    before = (await front.status())["counts"]
    async with talk(front.port) as leaver:
        leaver.write(ASK["whole"] * 3)
        await front.until(lambda status: status["exchanges"]["asking"] == 1)
        leaver.reset()
        after = await front.until(lambda status: status.idle, FREED_S)
    await asyncio.sleep(0.1)
    assert (await front.status())["counts"] == after["counts"]
    assert after["counts"]["requests"] == before.get("requests", 0) + 1
