"""Engines that break in every way an answer can, each in service under a model of its own."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from tests.e2e.fake_engine import DONE, HEAD, LAST_CHUNK, FakeEngine, Script, Wire, chunk, engine, event, events
from tests.e2e.pool import Balancer
from tests.e2e.raw_agent import registered

_models = itertools.count(1)


@asynccontextmanager
async def engines(front: Balancer, *scripts: Script, slots: int = 4) -> AsyncIterator[tuple[str, list[FakeEngine]]]:
    """Engines registered under a model of their own; its name."""
    model = f"model-{next(_models)}"
    async with AsyncExitStack() as stack:
        found = [await stack.enter_async_context(engine(script)) for script in scripts]
        names = {f"{model}-{n}" for n in range(len(found))}
        for n, each in enumerate(found):
            fields: dict[str, Any] = {"name": f"{model}-{n}", "models": [{"name": model}], "slots": slots}
            fields["endpoints"] = ["completions"]
            await stack.enter_async_context(registered(front.port, each.url, **fields))
        await front.until(lambda status: names <= set(status.alive))
        yield model, found
        await front.until(lambda status: status.idle)


async def well(body: dict[str, Any], wire: Wire) -> None:
    await wire.send(HEAD + chunk(events("all", " is", " well")) + LAST_CHUNK)


async def resets(body: dict[str, Any], wire: Wire) -> None:
    wire.reset()


async def never_answers(body: dict[str, Any], wire: Wire) -> None:
    await wire.hung_up()


async def stalls(body: dict[str, Any], wire: Wire) -> None:
    await wire.send(HEAD + chunk(event("so") + event(" far")))
    await wire.hung_up()


async def dies_in_mid_stream(body: dict[str, Any], wire: Wire) -> None:
    await wire.send(HEAD + chunk(event("so") + event(" far") + event(" so good")[:40]))


async def ends_without_a_finish(body: dict[str, Any], wire: Wire) -> None:
    await wire.send(HEAD + chunk(event("so") + event(" far")) + LAST_CHUNK)


async def tells_an_error_inside(body: dict[str, Any], wire: Wire) -> None:
    await wire.send(HEAD + chunk(event("so") + event(" far")))
    await wire.until_read()
    await wire.send(chunk(b'data: {"error":{"message":"out of memory"}}\n\n'))


async def is_full(body: dict[str, Any], wire: Wire) -> None:
    await wire.send(b"HTTP/1.1 429 Too Many\r\nRetry-After: 1\r\nContent-Length: 2\r\n\r\n{}")


async def says_internal_error(body: dict[str, Any], wire: Wire) -> None:
    await wire.send(b"HTTP/1.1 500 Oops\r\nContent-Length: 2\r\n\r\n{}")


async def answers_html(body: dict[str, Any], wire: Wire) -> None:
    page = b"<html>Welcome to nginx!</html>"
    await wire.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: %d\r\n\r\n%s" % (len(page), page))


async def answers_junk(body: dict[str, Any], wire: Wire) -> None:
    await wire.send(b"\x00\x01\x02 not HTTP at all\r\n\r\n")


async def streams_wrong_json(body: dict[str, Any], wire: Wire) -> None:
    await wire.send(HEAD + chunk(b'data: {"choices": "none", \n\n' + DONE) + LAST_CHUNK)
