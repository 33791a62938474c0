from __future__ import annotations

import asyncio

import pytest

import client
from client import blocking
from tests.client.fake_balancer import FakeExchange, echo, in_thread


async def endless(x: FakeExchange) -> None:
    while True:
        await x.text("tick ")
        await asyncio.sleep(0.005)


def test_pieces_come_without_asyncio():
    with in_thread() as fake, client.connect_sync("127.0.0.1", fake.port, key="k") as c:
        answer = c.ask("one two three", max_tokens=5)
        assert list(answer) == ["one", " two", " three"]
        assert answer.done is not None
        assert answer.done.backend == "b1"
        assert fake.asks[0].key == "k"
        assert c.ask([{"role": "user", "content": "again"}]).read() == "again"


def test_answers_may_be_read_in_any_order():
    with in_thread() as fake, client.connect_sync("127.0.0.1", fake.port) as c:
        answers = [c.ask(f"number {i}") for i in range(50)]
        assert [a.read() for a in reversed(answers)] == [f"number {i}" for i in reversed(range(50))]


def test_leaving_early_cancels_and_the_connection_lives_on():
    with in_thread(endless) as fake, client.connect_sync("127.0.0.1", fake.port) as c:
        for _ in c.ask("go"):
            break
        answer = c.ask("go")
        next(iter(answer))
        answer.cancel()
        assert answer.done is not None
        assert answer.done.finish_reason == "cancelled"
        fake.script = echo
        with c.ask("never read"):
            pass
        assert c.ask("still here").read() == "still here"
        assert fake.cancels[:2] == [1, 2]


def test_a_lost_connection_is_an_error():
    async def script(x: FakeExchange) -> None:
        await x.text("half")
        await x.raw(b'{"id":1,"te')
        await x.cut()

    with in_thread(script) as fake, client.connect_sync("127.0.0.1", fake.port) as c:
        pieces = iter(c.ask("go"))
        assert next(pieces) == "half"
        with pytest.raises(client.ConnectionLost):
            next(pieces)
        assert not c.connected


def test_silence_is_given_up():
    async def script(x: FakeExchange) -> None:
        await asyncio.sleep(60)

    with in_thread(script) as fake, client.connect_sync("127.0.0.1", fake.port, silence_timeout_s=0.2) as c:
        answer = c.ask("go")
        with pytest.raises(client.ConnectionLost, match="said nothing"):
            answer.read()


def test_a_cancel_that_nobody_confirms_ends_all_the_same(monkeypatch):
    monkeypatch.setattr(blocking, "CANCEL_WAIT_S", 0.3)

    async def babble(x: FakeExchange) -> None:
        while True:
            try:
                await x.raw(b"\n")
                await asyncio.sleep(0.02)
            except asyncio.CancelledError:
                if not x.cancelled.is_set():
                    raise
                x.cancelled.clear()

    with in_thread(babble) as fake, client.connect_sync("127.0.0.1", fake.port) as c:
        answer = c.ask("go")
        answer.cancel()
        assert isinstance(answer.error, client.ConnectionLost)


def test_errors_are_the_same_classes():
    async def script(x: FakeExchange) -> None:
        await x.error("queue_full", "every backend is busy", retry_after_s=3.0)

    with in_thread(script) as fake, client.connect_sync("127.0.0.1", fake.port) as c:
        with pytest.raises(client.Busy) as caught:
            c.ask("go").read()
        assert caught.value.retry_after_s == 3.0


def test_nobody_there_is_a_clear_error():
    with in_thread() as fake:
        port = fake.port
    with pytest.raises(client.CannotConnect, match="no balancer at"):
        client.connect_sync("127.0.0.1", port)
