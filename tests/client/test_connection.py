"""Many requests on one connection."""

from __future__ import annotations

import asyncio
import gc

import pytest

import client
from client.connection import body_of
from tests.client.fake_balancer import FakeBalancer, FakeExchange, echo, endless


async def test_pieces_come_as_they_are_made(balancer):
    second = asyncio.Event()

    async def script(x: FakeExchange) -> None:
        await x.text("one ")
        await second.wait()
        await x.text("two")
        await x.done(usage={"completion_tokens": 2})

    balancer.script = script
    async with client.connect("127.0.0.1", balancer.port) as c:
        answer = c.ask("count", max_tokens=2, temperature=None, cache="bypass", deadline_s=9)
        pieces = []
        async for piece in answer:
            pieces.append(piece)
            second.set()
    assert pieces == ["one ", "two"]
    assert answer.text == "one two"
    assert answer.done is not None
    assert (answer.done.backend, answer.done.cache, answer.done.finish_reason) == ("b1", "miss", "stop")
    assert answer.timing.tokens == 2
    ask = balancer.asks[0]
    assert (ask.body, ask.cache, ask.deadline_s) == ({"prompt": "count", "max_tokens": 2}, "bypass", 9.0)


async def test_messages_go_as_messages(balancer):
    async with client.connect("127.0.0.1", balancer.port, key="k") as c:
        assert await c.ask([{"role": "user", "content": "hi there"}]).read() == "hi there"
    assert balancer.asks[0].body == {"messages": [{"role": "user", "content": "hi there"}]}
    assert balancer.asks[0].key == "k"


async def test_many_requests_share_one_connection(balancer):
    async with client.connect("127.0.0.1", balancer.port) as c:
        answers = [c.ask(f"this is number {i}") for i in range(200)]
        assert await asyncio.gather(*(a.read() for a in answers)) == [f"this is number {i}" for i in range(200)]
    assert balancer.connections == 1


async def test_leaving_the_loop_early_cancels(balancer):
    balancer.script = endless
    async with client.connect("127.0.0.1", balancer.port) as c:
        async for _ in c.ask("go"):
            break
        async with asyncio.timeout(5):
            await balancer.cancel_seen.wait()
        assert balancer.cancels == [1]
        balancer.script = echo
        assert await c.ask("still here").read() == "still here"


async def test_an_exception_in_the_loop_cancels(balancer):
    balancer.script = endless
    async with client.connect("127.0.0.1", balancer.port) as c:

        async def fail() -> None:
            async for _ in c.ask("go"):
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            await fail()
        gc.collect()
        async with asyncio.timeout(5):
            await balancer.cancel_seen.wait()


async def test_a_cancelled_reader_cancels_the_request(balancer):
    balancer.script = endless
    async with client.connect("127.0.0.1", balancer.port) as c:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await c.ask("go").read()
        async with asyncio.timeout(5):
            await balancer.cancel_seen.wait()


async def test_async_with_cancels_on_the_way_out(balancer):
    balancer.script = endless
    async with client.connect("127.0.0.1", balancer.port) as c:
        async with c.ask("go"):
            pass
        async with asyncio.timeout(5):
            await balancer.cancel_seen.wait()


async def test_cancel_ends_the_readers_loop_without_an_error(balancer):
    balancer.script = endless
    async with client.connect("127.0.0.1", balancer.port) as c:
        answer = c.ask("go")
        async for _ in answer:
            if not answer.ended and not balancer.cancels:
                await answer.cancel()
        assert answer.done is not None
        assert answer.done.finish_reason == "cancelled"
        assert answer.text.startswith("tick")
        await answer.cancel()


async def test_one_cancel_leaves_the_siblings_alone(balancer):
    release = asyncio.Event()

    async def script(x: FakeExchange) -> None:
        await x.text("begin ")
        await release.wait()
        await x.text("end")
        await x.done()

    balancer.script = script
    async with client.connect("127.0.0.1", balancer.port) as c:
        a, b = c.ask("a"), c.ask("b")
        await a.cancel()
        release.set()
        assert await b.read() == "begin end"


async def test_queue_positions_and_resumes_show_as_events(balancer):
    async def script(x: FakeExchange) -> None:
        await x.queued(2)
        await x.raw(b"\n")
        await x.queued(1)
        await x.text("a")
        await x.raw(b'{"id":%d,"resumed":{"backend":"b2"}}\n' % x.ask.id)
        await x.raw(b'{"id":%d,"chunk":{"choices":[]}}\n' % x.ask.id)
        await x.done()

    balancer.script = script
    async with client.connect("127.0.0.1", balancer.port) as c:
        answer = c.ask("go")
        events = [event async for event in answer.events()]
    assert events == [
        client.Queued(2),
        client.Queued(1),
        client.Text("a"),
        client.Resumed({"backend": "b2"}),
        client.Chunk(b'{"choices":[]}'),
    ]
    assert answer.resumed == 1


async def test_a_slow_reader_alone_pushes_back_on_the_balancer(balancer):
    made = 0

    async def script(x: FakeExchange) -> None:
        nonlocal made
        for _ in range(400):
            await x.text("x" * 50_000)
            made += 1
        await x.done()

    balancer.script = script
    async with client.connect("127.0.0.1", balancer.port, buffer_max_bytes=1 << 20) as c:
        answer = c.ask("a")
        pieces = aiter(answer)
        await anext(pieces)
        before = -1
        while made != before:  # until the balancer can't write any more
            before = made
            await asyncio.sleep(0.3)
        assert made < 400
        with pytest.raises(client.AnswerTooLong):  # reading on lets it go on, to the next bound
            await answer.read()


async def test_a_slow_reader_among_others_is_cut_alone(balancer):
    async def script(x: FakeExchange) -> None:
        if x.last_user_text == "flood":
            for _ in range(100):
                await x.text("x" * 50_000)
        await x.text("ok")
        await x.done()

    balancer.script = script
    async with client.connect("127.0.0.1", balancer.port) as c:
        flood, quiet = c.ask("flood"), c.ask("quiet")
        assert await quiet.read() == "ok"
        while not flood.ended:
            assert await c.ask("quiet").read() == "ok"
        with pytest.raises(client.SlowReader):
            await flood.read()


async def test_awaited_instead_of_entered(balancer):
    c = await client.connect("127.0.0.1", balancer.port)
    try:
        assert await c.ask("plain words").read() == "plain words"
    finally:
        await c.aclose()
    assert not c.connected


def test_fields_that_are_none_are_left_out():
    assert body_of("p", {"model": None, "seed": 0}) == {"prompt": "p", "seed": 0}


def test_it_runs_on_uvloop_too():
    uvloop = pytest.importorskip("uvloop")

    async def talk() -> str:
        async with FakeBalancer().running() as fake, client.connect("127.0.0.1", fake.port) as c:
            return await c.ask("one two").read()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(talk()) == "one two"
