"""The balancer is killed under load and started again: OpenAI's client asks again and is answered. Fault 36."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import Final

from openai import AsyncOpenAI

from tests.e2e.pool import BEAT_S, DEAD_AFTER_S, SLOW_MACHINE_S, backend, balancer
from tests.e2e.talk import echoed

CLIENTS: Final = 24
TOKENS: Final = 20
REQUESTS_EACH: Final = 4
RETRIES: Final = 10
"""The client waits half a second, then twice as long each time, up to eight."""


async def ask_on(client: AsyncOpenAI, number: int, answered: list[str]) -> None:
    for n in range(REQUESTS_EACH):
        prompt = f"client {number} asks {n}"
        found = await client.completions.create(
            model="echo", prompt=prompt, max_tokens=TOKENS, extra_body={"ignore_eos": True}
        )
        assert found.choices[0].text == echoed(prompt, TOKENS)
        answered.append(prompt)


async def test_a_balancer_killed_under_load_is_missed_by_nobody_once_it_is_back() -> None:
    async with AsyncExitStack() as stack:
        answered: list[str] = []
        async with balancer() as first:
            port = first.port
            arguments = ("--echo-delay-ms", "20", "--slots", "8")
            backends = [await stack.enter_async_context(backend(port, *arguments)) for _ in range(2)]
            await first.until_alive(*backends)
            url = f"http://127.0.0.1:{port}/v1"
            client = await stack.enter_async_context(AsyncOpenAI(base_url=url, api_key="any", max_retries=RETRIES))
            asking = asyncio.gather(*(ask_on(client, n, answered) for n in range(CLIENTS)))
            await first.until(lambda status: status["counts"].get("completed", 0) >= CLIENTS)
            await first.program.kill()
        assert len(answered) < CLIENTS * REQUESTS_EACH
        async with balancer(port=port) as second:
            await second.until_alive(*backends, within_s=BEAT_S + DEAD_AFTER_S + SLOW_MACHINE_S)
            async with asyncio.timeout(60.0):
                await asking
            assert len(set(answered)) == len(answered) == CLIENTS * REQUESTS_EACH
            await second.until_idle()
