"""Questions and answers over a real WebSocket, uvicorn in between, a scripted balancer behind."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from frontend.bridge import IDLE_CODE
from frontend.limits import Limits
from tests.client.fake_balancer import FakeBalancer, FakeExchange, echo
from tests.frontend.served import Served, served


@pytest.fixture
async def balancer() -> AsyncIterator[FakeBalancer]:
    async with FakeBalancer().running() as fake:
        yield fake


@pytest.fixture
async def page(balancer: FakeBalancer) -> AsyncIterator[Served]:
    async with served(balancer.port) as page:
        yield page


async def endless(x: FakeExchange) -> None:
    while True:
        await x.text("tick ")
        await asyncio.sleep(0.005)


async def ask(ws: ClientConnection, id: int, question: str, turns: list[tuple[str, str]] = ()) -> None:
    fields = [{"question": q, "answer": a} for q, a in turns]
    await ws.send(json.dumps({"id": id, "question": question, "turns": fields}))


async def until_end(ws: ClientConnection) -> list[dict]:
    """All messages up to the end of an answer."""
    found: list[dict] = []
    async with asyncio.timeout(20):
        while not found or not {"done", "error"} & found[-1].keys():
            found.append(json.loads(await ws.recv()))
    return found


async def test_pieces_come_as_they_are_made(balancer, page):
    second = asyncio.Event()

    async def script(x: FakeExchange) -> None:
        await x.queued(2)
        await x.text("one ")
        await second.wait()
        await x.raw(b'{"id":%d,"resumed":{"backend":"b2"}}\n' % x.ask.id)
        await x.text("two")
        await x.done(cache="semantic", similarity=0.97)

    balancer.script = script
    async with connect(page.ws) as ws:
        await ask(ws, 7, "count")
        assert json.loads(await ws.recv()) == {"id": 7, "queued": 2}
        assert json.loads(await ws.recv()) == {"id": 7, "text": "one "}
        second.set()
        resumed, text, done = await until_end(ws)
    assert (resumed, text) == ({"id": 7, "resumed": True}, {"id": 7, "text": "two"})
    assert (done["done"]["backend"], done["done"]["cache"], done["done"]["similarity"]) == ("b1", "semantic", 0.97)


async def test_the_turns_before_go_along_and_the_session_is_the_user(balancer, page):
    async with connect(page.ws) as a, connect(page.ws) as b:
        await ask(a, 1, "now", [("before", "answered")])
        await until_end(a)
        await ask(a, 2, "again")
        await until_end(a)
        await ask(b, 1, "other")
        await until_end(b)
    first, second, other = balancer.asks
    assert [m["content"] for m in first.body["messages"]] == ["before", "answered", "now"]
    assert first.body["user"] == second.body["user"]
    assert first.body["user"] != other.body["user"]
    assert first.body["user"].startswith("web-")


async def test_stop_ends_the_answer_at_the_balancer_too(balancer, page):
    balancer.script = endless
    async with connect(page.ws) as ws:
        await ask(ws, 1, "go")
        await ws.recv()
        await ws.send('{"cancel":1}')
        assert (await until_end(ws))[-1]["done"]["finish_reason"] == "cancelled"
        assert balancer.cancels == [1]
        balancer.script = echo
        await ask(ws, 2, "still here")
        assert [m.get("text") for m in await until_end(ws)][:2] == ["still", " here"]


async def test_stop_while_waiting_for_the_first_word(balancer, page):
    asked = asyncio.Event()

    async def script(x: FakeExchange) -> None:
        asked.set()
        await asyncio.sleep(60)

    balancer.script = script
    async with connect(page.ws) as ws:
        await ask(ws, 1, "go")
        await asked.wait()
        await ws.send('{"cancel":1}')
        assert (await until_end(ws))[-1]["done"]["finish_reason"] == "cancelled"


async def test_the_next_question_may_follow_a_stop_at_once(balancer, page):
    async def script(x: FakeExchange) -> None:
        await (endless(x) if x.last_user_text == "go" else echo(x))

    balancer.script = script
    async with connect(page.ws) as ws:
        for id in range(1, 21, 2):
            await ask(ws, id, "go")
            await ws.recv()
            await ws.send(json.dumps({"cancel": id}))
            await ask(ws, id + 1, "next")
            assert (await until_end(ws))[-1]["done"]["finish_reason"] == "cancelled"
            assert (await until_end(ws))[-1]["done"]["finish_reason"] == "stop"


async def test_leaving_ends_the_answer_at_the_balancer_too(balancer, page):
    balancer.script = endless
    async with connect(page.ws) as ws:
        await ask(ws, 1, "go")
        await ws.recv()
    async with asyncio.timeout(10):
        await balancer.cancel_seen.wait()


async def test_one_answer_at_a_time(balancer, page):
    balancer.script = endless
    async with connect(page.ws) as ws:
        await ask(ws, 1, "go")
        await ws.recv()
        await ask(ws, 2, "me too")
        while (message := json.loads(await ws.recv()))["id"] == 1:
            pass
        assert (message["id"], message["error"]["code"]) == (2, "busy")
        assert len(balancer.asks) == 1


async def test_errors_come_as_words(balancer, page):
    async def script(x: FakeExchange) -> None:
        await x.text("half")
        await x.error("backend_lost", "backend b1 was lost while it answered", retry_after_s=1.0)

    balancer.script = script
    async with connect(page.ws) as ws:
        await ask(ws, 1, "go")
        text, error = await until_end(ws)
    assert text["text"] == "half"
    assert error["error"] == {
        "code": "backend_lost",
        "message": "Backend b1 was lost while it answered.",
        "retry": True,
        "retry_after_s": 1.0,
    }


async def test_a_lost_balancer_is_an_error_and_found_again(balancer, page):
    async def script(x: FakeExchange) -> None:
        if x.last_user_text == "break":
            await x.cut()
        else:
            await echo(x)

    balancer.script = script
    async with connect(page.ws) as ws:
        await ask(ws, 1, "break")
        assert (await until_end(ws))[-1]["error"]["code"] == "connection_lost"
        await ask(ws, 2, "and now")
        assert "done" in (await until_end(ws))[-1]
    assert balancer.connections == 2


async def test_no_balancer_is_an_error_in_words():
    async with FakeBalancer().running() as fake:
        port = fake.port
    async with served(port) as page, connect(page.ws) as ws:
        await ask(ws, 1, "hi")
        error = (await until_end(ws))[-1]["error"]
        assert error["code"] == "cannot_connect"
        assert str(port) not in error["message"]


async def test_the_oldest_turns_go_when_the_context_is_full(balancer, page):
    async def script(x: FakeExchange) -> None:
        if len(x.ask.body["messages"]) > 3:
            await x.error("context_length_exceeded", "too long", "invalid_request_error")
        else:
            await echo(x)

    balancer.script = script
    async with connect(page.ws) as ws:
        await ask(ws, 1, "now", [("one " * 9, "1"), ("two " * 9, "2"), ("three " * 9, "3")])
        messages = await until_end(ws)
    assert sum(m.get("dropped", 0) for m in messages) in (2, 3)
    assert "done" in messages[-1]
    assert balancer.asks[-1].body["messages"][-1]["content"] == "now"


async def test_a_question_that_never_fits_is_an_error(balancer, page):
    async def script(x: FakeExchange) -> None:
        await x.error("context_length_exceeded", "too long", "invalid_request_error")

    balancer.script = script
    async with connect(page.ws) as ws:
        await ask(ws, 1, "now")
        assert (await until_end(ws))[-1]["error"]["code"] == "context_length_exceeded"


@pytest.mark.parametrize("message", ["", "not json", '{"id":1}', "[1]"])
async def test_a_bad_message_is_an_error_and_the_connection_lives_on(balancer, page, message):
    async with connect(page.ws) as ws:
        await ws.send(message)
        assert json.loads(await ws.recv())["error"]["code"] == "bad_message"
        await ask(ws, 1, "fine")
        assert "done" in (await until_end(ws))[-1]


async def test_binary_messages_are_refused(balancer, page):
    async with connect(page.ws) as ws:
        await ws.send(b"\x00")
        with pytest.raises(ConnectionClosed):
            await ws.recv()
        assert ws.close_code == 1003


async def test_a_browser_that_asks_nothing_is_let_go(balancer):
    async with served(balancer.port, Limits(idle_max_s=0.2)) as page, connect(page.ws) as ws:
        with pytest.raises(ConnectionClosed):
            await ws.recv()
        assert ws.close_code == IDLE_CODE


async def test_a_long_answer_is_no_idleness(balancer):
    async def slow(x: FakeExchange) -> None:
        await asyncio.sleep(1.5)
        await echo(x)

    balancer.script = slow
    async with served(balancer.port, Limits(idle_max_s=1.0)) as page, connect(page.ws) as ws:
        await ask(ws, 1, "take your time")
        assert "done" in (await until_end(ws))[-1]


async def test_a_browser_that_reads_nothing_is_cut_and_its_answer_ended(balancer):
    async def flood(x: FakeExchange) -> None:
        while True:
            await x.text("x" * 10_000)

    balancer.script = flood
    async with served(balancer.port, Limits(write_max_s=0.5)) as page:
        reader, writer = await asyncio.open_connection("127.0.0.1", page.port, limit=1 << 16)
        writer.write(
            b"GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        await reader.readuntil(b"\r\n\r\n")
        question = b'{"id":1,"question":"go"}'
        writer.write(b"\x81" + bytes([0x80 | len(question)]) + b"\0\0\0\0" + question)
        async with asyncio.timeout(20):
            await balancer.cancel_seen.wait()
        writer.transport.abort()


async def test_a_browser_calls_wrong_only_what_it_was_answered(balancer, page):
    async def script(x: FakeExchange) -> None:
        await x.text("no")
        await x.done(cache="exact", entry="5f0c")

    balancer.script = script
    async with connect(page.ws) as ws:
        await ws.send('{"wrong":"5f0c"}')
        await ask(ws, 1, "near")
        assert (await until_end(ws))[-1]["done"]["entry"] == "5f0c"
        for entry in ("other", "5f0c", "5f0c"):
            await ws.send(json.dumps({"wrong": entry}))
        await ask(ws, 2, "again")
        await until_end(ws)
    assert [each.entry for each in balancer.wrongs] == ["5f0c"]
