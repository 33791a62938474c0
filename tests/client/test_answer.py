from __future__ import annotations

import asyncio

import pytest

import client
from client import answer as answer_module
from tests.client.fake_balancer import FakeBalancer, FakeExchange


async def test_a_view_tells_how_far_an_answer_is():
    step = asyncio.Event()

    async def script(x: FakeExchange) -> None:
        await x.queued(4)
        await step.wait()
        await x.text("hello")
        await x.done(finish_reason="length")

    async with FakeBalancer(script).running() as fake, client.connect("127.0.0.1", fake.port) as c:
        answer = c.ask("go")
        events = answer.events()
        await anext(events)
        assert (answer.queued, answer.text, answer.ended, answer.done, answer.error) == (4, "", False, None, None)
        step.set()
        async for _ in events:
            pass
        assert (answer.queued, answer.text, answer.ended, answer.error) == (None, "hello", True, None)
        assert answer.done is not None
        assert answer.done.finish_reason == "length"


async def test_a_cancel_that_nobody_confirms_ends_all_the_same(monkeypatch):
    monkeypatch.setattr(answer_module, "CANCEL_WAIT_S", 0.2)

    async def deaf(x: FakeExchange) -> None:
        while True:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                if not x.cancelled.is_set():
                    raise
                x.cancelled.clear()

    async with FakeBalancer(deaf).running() as fake, client.connect("127.0.0.1", fake.port) as c:
        answer = c.ask("go")
        await answer.cancel()
        with pytest.raises(client.ConnectionLost, match="confirm"):
            await answer.read()
