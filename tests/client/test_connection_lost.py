"""Connections that fail, and errors that come over them."""

from __future__ import annotations

import asyncio
import socket

import pytest

import client
from tests.client.fake_balancer import FakeBalancer, FakeExchange, endless


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
