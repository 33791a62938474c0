"""Many ask the same at once: one call to a backend, and each gets the whole answer."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

from tests.e2e.fake_engine import HEAD, LAST_CHUNK, Wire, chunk, engine, event
from tests.e2e.pool import balancer
from tests.e2e.streams import stream
from tests.e2e.talk import ask, talk

ASKERS = 60
DONE = chunk(b"data: [DONE]\n\n") + LAST_CHUNK


async def test_equal_questions_at_once_are_one_call_and_go_on_without_the_one_who_asked_first() -> None:
    go_on, begun = asyncio.Event(), asyncio.Event()

    async def script(body: dict[str, object], wire: Wire) -> None:
        await wire.send(HEAD + chunk(event("Once ")))
        begun.set()
        await go_on.wait()
        await wire.send(chunk(event("upon ")) + chunk(event("a time", "stop")) + DONE)

    async with engine(script) as fake, balancer("--upstream", fake.url, "--no-embedder", cache=True) as running:
        await running.until(lambda status: status.alive)
        async with AsyncExitStack() as stack:
            leader = await stack.enter_async_context(stream(running.port, "completions", prompt="tell"))
            await leader.begun()
            await begun.wait()
            talks = [await stack.enter_async_context(talk(running.port)) for _ in range(6)]
            answers = [(each, each.ask("tell", id=n)) for each in talks for n in range(ASKERS // 6)]
            web = await stack.enter_async_context(stream(running.port, "completions", prompt="tell"))
            await web.begun()
            await running.until(lambda status: status["exchanges"].get("following", 0) == ASKERS + 1)
            leader.reset()
            await running.until(lambda status: status["counts"]["cancelled"] == 1)
            go_on.set()
            for each, answer in answers:
                await each.ended(answer)
                assert answer.text == "Once upon a time" and answer.cache == "joined"
            await web.ended()
            assert web.text == "Once upon a time" and web.headers["x-balancer-cache"] == "joined"
        assert len(fake.asked) == 1
        again = await ask(running.port, "tell")
        assert again.cache == "exact" and again.text == "Once upon a time"
        await running.until_idle()
