from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from balancer.upstream.connection import ConnectionPool
from balancer.upstream.fetch import Denied, FetchError, NotAsked, NotThere, fetch
from balancer.upstream.resolve import resolved
from balancer.upstream.spec import parse_upstream, with_key
from tests.balancer.upstream.descriptors import none_left
from tests.balancer.upstream.engine import Engine, Script, Visit, a_closed_port


async def fetched(script: Script, *, max_bytes: int = 1000, key: str = "") -> tuple[bytes, Visit]:
    upstream = with_key(parse_upstream("http://127.0.0.1:1" + (";key-env=K" if key else "")), {"K": key})
    pool = ConnectionPool()
    async with Engine(script).running() as engine:
        spec = replace(await resolved(upstream), port=engine.port)
        try:
            async with asyncio.timeout(10):
                return await fetch(pool, spec, "/what", max_bytes), engine.visits[0]
        finally:
            pool.close()


async def test_a_body_comes_whole_and_the_key_goes_along() -> None:
    async def answers(v: Visit) -> None:
        await v.plain(200, b"hello")

    body, visit = await fetched(answers, key="sk-1")
    assert body == b"hello"
    assert visit.head.startswith(b"GET /what HTTP/1.1\r\n") and b"authorization: Bearer sk-1\r\n" in visit.head
    _, visit = await fetched(answers)
    assert b"authorization" not in visit.head.lower()


@pytest.mark.parametrize(("status", "error"), [(404, NotThere), (405, NotThere), (401, Denied), (503, FetchError)])
async def test_another_status_is_an_error(status: int, error: type[Exception]) -> None:
    async def answers(v: Visit) -> None:
        await v.plain(status, b"no")

    with pytest.raises(FetchError) as raised:
        await fetched(answers, key="sk-secret")
    assert type(raised.value) is error and "secret" not in str(raised.value)


async def test_a_body_beyond_its_bound_is_not_read() -> None:
    async def answers(v: Visit) -> None:
        await v.plain(200, b"x" * 1001)

    with pytest.raises(NotThere, match="more than"):
        await fetched(answers)


@pytest.mark.parametrize("how", ["reset", "junk"])
async def test_a_broken_answer_is_an_error(how: str) -> None:
    async def breaks(v: Visit) -> None:
        v.reset() if how == "reset" else await v.send(b"junk\r\n\r\n")

    with pytest.raises(FetchError):
        await fetched(breaks)


async def test_nobody_there_is_an_error() -> None:
    spec = replace(await resolved(parse_upstream("http://127.0.0.1:1")), port=await a_closed_port())
    with pytest.raises(FetchError):
        async with asyncio.timeout(10):
            await fetch(ConnectionPool(), spec, "/", 1000)


async def test_what_could_not_be_dialled_for_want_of_a_descriptor_was_not_asked() -> None:
    spec = replace(await resolved(parse_upstream("http://127.0.0.1:1")), port=await a_closed_port())
    with none_left(), pytest.raises(NotAsked):
        async with asyncio.timeout(10):
            await fetch(ConnectionPool(), spec, "/", 1000)
