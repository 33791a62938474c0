"""Answers and failures that only look like somebody's: told to be whole, or held against a healthy engine."""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any

from tests.e2e.fake_engine import DONE, HEAD, LAST_CHUNK, Wire, chunk, engine
from tests.e2e.pool import Balancer, Status, balancer, http
from tests.e2e.programs import python, started

CHAT = "/v1/chat/completions"
WHOLE = json.dumps({
    "id": "1",
    "object": "chat.completion",
    "created": 1,
    "model": "echo",
    "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "well"}}],
}).encode()  # fmt: skip
EMBEDDED = json.dumps({"object": "list", "data": [{"index": 0, "embedding": [0.5] * 100}], "usage": {}}).encode()


def asking(**fields: Any) -> bytes:
    return json.dumps({"model": "echo", "messages": [{"role": "user", "content": "how is it"}], **fields}).encode()


def blamed(status: Status) -> int:
    return sum(int(status["counts"].get(name, 0)) for name in ("attempts_failed", "ejections"))


async def test_an_unread_answer_that_a_reset_cuts_short_is_no_answer() -> None:
    async def cut(body: dict[str, Any], wire: Wire) -> None:
        await wire.send(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n" + EMBEDDED[:200])
        await asyncio.sleep(0.1)  # else the reset may overtake what it cuts, and that is another story
        if body["input"] == "reset":
            wire.reset()

    async with engine(cut) as found:
        upstream = f"{found.url};endpoints=embeddings,responses"
        async with balancer("--upstream", upstream) as front:
            await front.until(lambda status: status.alive)
            for path in ("/v1/embeddings", "/v1/responses"):
                for how in ("reset", "close"):
                    body = json.dumps({"model": "echo", "input": how}).encode()
                    answer = await http(front.port, "POST", path, body=body)
                    assert (answer.status, answer.json()["error"]["code"]) == (502, "backend_failed"), (path, how)


async def test_an_engine_that_streams_its_thoughts_in_parts_is_relayed_and_blamed_for_nothing() -> None:
    parts = [
        {"role": "assistant", "content": [{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}]},
        {"content": [{"type": "text", "text": "It is "}]},
        {"content": "well"},
    ]
    choices = [{"index": 0, "delta": delta, "finish_reason": None} for delta in parts]
    choices.append({"index": 0, "delta": {}, "finish_reason": "stop"})
    events = b"".join(b"data: %b\n\n" % json.dumps({"id": "1", "choices": [each]}).encode() for each in choices) + DONE

    async def thinks(body: dict[str, Any], wire: Wire) -> None:
        await wire.send(HEAD + chunk(events) + LAST_CHUNK)

    async with engine(thinks) as found, balancer("--upstream", found.url, cache=True) as front:
        await front.until(lambda status: status.alive)
        for _ in range(8):
            answer = await http(front.port, "POST", CHAT, body=asking(stream=True))
            assert answer.status == 200 and b'"thinking"' in answer.body
            assert all(line in answer.body for line in events.split(b"\n\n"))
        assert blamed(await front.status()) == 0
        assert len(found.asked) == 8, "an answer in parts is not cached"


async def asked_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes) -> int:
    """The status of the answer."""
    writer.write(request)
    async with asyncio.timeout(40):
        head = await reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"content-length: *(\d+)", head, re.IGNORECASE)
        await reader.readexactly(int(length[1]) if length else 0)
    return int(head.split(b" ", 2)[1])


async def test_when_descriptors_run_out_requests_wait_and_no_engine_is_blamed() -> None:
    """Fault 33 on the other side: it is the balancer that cannot dial."""
    go_on = asyncio.Event()

    async def holds(body: dict[str, Any], wire: Wire) -> None:
        await go_on.wait()
        await wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(WHOLE) + WHOLE)

    async with engine(holds) as one, engine(holds) as two:
        options = ["--port", "0", "--admin-port", "0", "--log-json", "--no-cache"]
        upstreams = [f"--upstream={found.url};name={name}" for name, found in (("one", one), ("two", two))]
        limited = ["sh", "-c", 'ulimit -n 256 && exec "$@"', "sh", *python("balancer", *options, *upstreams)]
        async with started("balancer", limited) as program:
            await program.until_ready()
            front = Balancer(program)
            await front.until(lambda status: len(status.alive) == 2)
            # All are let in before anybody asks: else newcomers are refused, and there is room for every dial.
            clients = [await asyncio.open_connection("127.0.0.1", front.port) for _ in range(185)]
            for client in clients:
                assert await asked_on(*client, b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n") == 200
            body = asking()
            post = b"POST %b HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b"
            request = post % (CHAT.encode(), len(body), body)
            requests = [asyncio.create_task(asked_on(*client, request)) for client in clients[:95]]
            await program.wrote("nobody is to blame")
            go_on.set()
            assert await asyncio.gather(*requests) == [200] * len(requests)
            status = await front.status()
            assert blamed(status) == 0 and status["counts"]["attempts_busy"] > 0
            assert sorted(status.alive) == ["one", "two"]
            assert {backend["breaker"]["state"] for backend in status["backends"]} == {"closed"}
            for _, writer in clients:
                writer.close()
        assert program.log.count("nobody is to blame") < 5
