from __future__ import annotations

import asyncio
import gc
import socket

import pytest

import client
from client.connection import body_of
from tests.client.fake_balancer import FakeBalancer, FakeExchange, echo


@pytest.fixture
async def balancer():
    fake = FakeBalancer()
    async with fake.running():
        yield fake


async def endless(x: FakeExchange) -> None:
    while True:
        await x.text("tick ")
        await asyncio.sleep(0.005)


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


async def test_an_error_is_raised_after_what_came_before_it(balancer):
    async def script(x: FakeExchange) -> None:
        await x.text("half")
        await x.error("backend_lost", "backend b1 was lost while it answered", retry_after_s=1.0)

    balancer.script = script
    async with client.connect("127.0.0.1", balancer.port) as c:
        answer = c.ask("go")
        pieces = aiter(answer)
        assert await anext(pieces) == "half"
        with pytest.raises(client.BackendFailed, match="was lost") as caught:
            await anext(pieces)
    assert answer.done is None
    assert answer.error is caught.value


@pytest.mark.parametrize("last", [b"", b'{"id":1,"done":{"finish_reason":"st'], ids=["between lines", "half a line"])
async def test_a_lost_connection_ends_every_answer_with_an_error(balancer, last):
    ready = asyncio.Event()

    async def script(x: FakeExchange) -> None:
        await x.text("half")
        if x.ask.id == 1:
            await ready.wait()
            await x.raw(last)
            await x.cut()
        ready.set()
        await asyncio.sleep(60)

    balancer.script = script
    async with client.connect("127.0.0.1", balancer.port) as c:
        answers = [c.ask("a"), c.ask("b")]
        outcomes = await asyncio.gather(*(a.read() for a in answers), return_exceptions=True)
        assert [type(o) for o in outcomes] == [client.ConnectionLost] * 2
        assert not c.connected
        with pytest.raises(client.ConnectionLost):
            c.ask("again")


async def test_garbage_is_an_error_and_closes(balancer):
    async def script(x: FakeExchange) -> None:
        await x.text("half")
        await x.raw(b"<html>502 Bad Gateway</html>\n")

    balancer.script = script
    async with client.connect("127.0.0.1", balancer.port) as c:
        with pytest.raises(client.BadReply):
            await c.ask("a").read()


async def test_closing_ends_answers_with_an_error(balancer):
    balancer.script = endless
    async with client.connect("127.0.0.1", balancer.port) as c:
        answer = c.ask("go")
    with pytest.raises(client.ConnectionLost):
        await answer.read()


async def test_a_silent_balancer_is_given_up(balancer):
    async def script(x: FakeExchange) -> None:
        await asyncio.sleep(60)

    balancer.script = script
    async with client.connect("127.0.0.1", balancer.port, silence_timeout_s=0.2) as c:
        with pytest.raises(client.ConnectionLost, match="said nothing"):
            await c.ask("a").read()


async def test_blank_lines_are_a_sign_of_life(balancer):
    async def script(x: FakeExchange) -> None:
        for _ in range(22):
            await x.raw(b"\n")
            await asyncio.sleep(0.1)
        await x.done()

    balancer.script = script
    async with client.connect("127.0.0.1", balancer.port, silence_timeout_s=2.0) as c:
        assert await c.ask("a").read() == ""


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


async def test_nobody_there_is_a_clear_error():
    async with FakeBalancer().running() as fake:
        port = fake.port
    with pytest.raises(client.CannotConnect, match=f"no balancer at 127.0.0.1:{port}"):
        await client.connect("127.0.0.1", port)


async def test_connecting_has_a_deadline():
    # A listener whose backlog is full answers no SYN.

    with socket.socket() as full, socket.socket() as first, socket.socket() as second:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for sock in (first, second):
            sock.setblocking(False)
            sock.connect_ex(full.getsockname())
        with pytest.raises(client.CannotConnect, match=r"no answer in 0\.3 s"):
            await client.connect(*full.getsockname(), connect_timeout_s=0.3)


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
