"""What nobody should send: each gets a clear error or a closed door, and a client beside it notices nothing.

Faults 31, 32, 34 and 35, and the bad input that every door must survive.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import pytest_asyncio

from tests.e2e.pool import SERVED_S, Pool, http, pool, read_http, rest_of, thrown_out
from tests.e2e.talk import check_served, echoed, endless, talk

pytestmark = pytest.mark.asyncio(loop_scope="module")

BEGINNING_S = 10.0
"""How long a first byte, a line, a head or a registration may take to be complete."""
SLACK_S = 15.0
"""A thousand connections are much for a machine that does something else, too."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running() -> AsyncIterator[Pool]:
    async with pool(backends=[["--slots", "8", "--echo-delay-ms", "10"]]) as found:
        yield found


@asynccontextmanager
async def unaffected(running: Pool) -> AsyncIterator[None]:
    """Around what is hostile: a sibling's stream stays whole, and afterwards nothing is left behind."""
    async with talk(running.port) as sibling:
        stream = sibling.ask("nothing happens here", 1, **endless(40))
        await sibling.begun(stream)
        yield
        await sibling.ended(stream)
        assert stream.text == echoed("nothing happens here", 40)
    await check_served(running.port)
    await running.balancer.until(lambda status: status.idle and status.alive)
    assert "Traceback" not in running.balancer.program.log and "traceback" not in running.balancer.program.log


BAD_LINES = {
    "not JSON": (b"hello there\n", "not_json"),
    "half an object": (b'{"prompt":"x"\n', "not_json"),
    "a list": (b"[1,2]\n", None),
    "no known message": (b'{"question":"x"}\n', "unknown_message"),
    "an empty prompt": (b'{"prompt":""}\n', "empty_prompt"),
    "a prompt of blanks": (b'{"prompt":"  \\n "}\n', "empty_prompt"),
    "no messages": (b'{"messages":[]}\n', "empty_prompt"),
    "messages of nothing": (b'{"messages":[1]}\n', "invalid_messages"),
    "invalid UTF-8": (b'{"prompt":"\xff\xfe"}\n', None),
    "a prompt that is a number": (b'{"prompt":7}\n', "invalid_prompt"),
    "an id that is an object": (b'{"id":{},"prompt":"x"}\n', "invalid_id"),
    "a very long id": (b'{"id":"' + b"i" * 65 + b'","prompt":"x"}\n', "invalid_id"),
    "a deadline of never": (b'{"prompt":"x","deadline_s":-1}\n', "invalid_deadline"),
    "a strange cache": (b'{"prompt":"x","cache":"maybe"}\n', "invalid_cache"),
    "a deep nest": (b'{"prompt":"x","a":' + b"[" * 100_000 + b"]" * 100_000 + b"}\n", None),
    "a beat from nowhere": (b'{"beat":"AAAA"}\n', None),
    "null bytes": (b"\0\0\0\0\n", None),
}


@pytest.mark.parametrize("name", BAD_LINES)
async def test_a_bad_line_is_answered_and_the_connection_lives_on(running: Pool, name: str) -> None:
    line, code = BAD_LINES[name]
    async with unaffected(running), talk(running.port) as connection:
        told = connection.expect(None)
        connection.write(b'{"id":0,"prompt":"first"}\n' + line)
        await connection.ended(told)
        assert told.error is not None and told.error["type"] == "invalid_request_error" and told.error["message"]
        assert code is None or told.code == code
        fine = connection.ask("still here", 9)
        await connection.ended(fine)
        assert fine.text == "still here"


async def test_a_line_of_ten_megabytes_is_refused_without_being_kept(running: Pool) -> None:
    before_bytes = running.balancer.program.rss_bytes()
    async with unaffected(running), talk(running.port) as connection:
        told = connection.expect(None)
        connection.write(b'{"prompt":"' + b"x" * (10 << 20))
        await connection.ended(told)
        await connection.hung_up()
        assert told.code == "line_too_long"
    assert running.balancer.program.rss_bytes() - before_bytes < 16 << 20


async def test_the_same_id_twice_is_an_error_and_the_first_is_answered(running: Pool) -> None:
    async with unaffected(running), talk(running.port) as connection:
        connection.write(
            b'{"id":"a","prompt":"one two three"}\n{"id":"a","prompt":"again"}\n{"id":"b","prompt":"end"}\n'
        )
        replies: list[dict[str, Any]] = []
        while not replies or "done" not in replies[-1] or replies[-1].get("id") != "a":
            line = await asyncio.wait_for(connection.reader.readline(), 10.0)
            replies += [json.loads(line)] if not line.isspace() else []
        assert [reply["error"]["code"] for reply in replies if "error" in reply] == ["duplicate_id"]
        assert "".join(reply.get("text", "") for reply in replies if reply.get("id") == "a") == "one two three"


async def test_an_unknown_model_is_named(running: Pool) -> None:
    async with unaffected(running), talk(running.port) as connection:
        answer = connection.ask("x", 1, model="gpt-99")
        await connection.ended(answer)
        assert answer.error is not None and answer.code in ("model_not_found", "no_backend")
        assert "gpt-99" in answer.error["message"]


async def test_random_bytes_to_every_door(running: Pool) -> None:
    async def throw(start: bytes) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
        try:
            writer.write(start + os.urandom(2000))
            writer.write_eof()
            async with asyncio.timeout(BEGINNING_S + SLACK_S):
                await reader.read()
        except ConnectionError:
            pass  # a closed door is an answer
        finally:
            writer.transport.abort()

    starts = [
        b"",
        b"{",
        b"GET ",
        b"POST / HTTP/1.1\r\n",
        b"CLIENT|",
        b"REGISTER|",
        b"REGISTER|127.0.0.1|",
        b"\x16\x03\x01",
    ]
    async with unaffected(running):
        await asyncio.gather(*(throw(start) for start in starts * 4))
        assert (await running.balancer.status())["backends"][0]["state"] == "alive"


async def test_what_trickles_in_byte_by_byte_is_understood(running: Pool) -> None:
    async with unaffected(running), talk(running.port) as connection:
        answer = connection.expect(1)
        for byte in '{"id":1,"prompt":"größe"}\n'.encode():
            connection.write(bytes([byte]))
            await connection.writer.drain()
            await asyncio.sleep(0)
        await connection.ended(answer)
        assert answer.text == "größe"


SMUGGLED = {
    "length and chunks": b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "two lengths": b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
    "a signed length": b"Content-Length: +5\r\n\r\nhello",
    "chunked twice": b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
    "a strange coding": b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "a bad chunk end": b"Transfer-Encoding: chunked\r\n\r\n5\r\nhelloXX0\r\n\r\n",
    "a bare line feed": b"X: y\n\r\n",
    "a space before the colon": b"Content-Length : 5\r\n\r\nhello",
    "a folded header": b"X: y\r\n z\r\n\r\n",
}


@pytest.mark.parametrize("name", SMUGGLED)
async def test_smuggled_requests_are_refused_and_the_connection_closed(running: Pool, name: str) -> None:
    """Fault 35."""
    async with unaffected(running):
        reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
        writer.write(
            b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\n"
            + SMUGGLED[name]
            + b"GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"
        )
        async with asyncio.timeout(BEGINNING_S):
            answer = await read_http(reader)
            rest = await rest_of(reader)
        writer.close()
        # 501 for a transfer coding that is not known: RFC 9112, 6.1.
        assert answer.status in (400, 501) and rest == b"", (answer, rest)


async def test_a_head_that_is_too_large_is_refused(running: Pool) -> None:
    """Fault 34."""
    async with unaffected(running):
        answer = await http(running.port, "GET", "/livez", "X-Big: " + "b" * (64 << 10))
        assert answer.status == 431
        many = await http(running.port, "GET", "/livez", *(f"X-{n}: y" for n in range(500)))
        assert many.status == 431


async def test_a_body_that_is_too_large_is_refused(running: Pool) -> None:
    """Fault 34."""
    async with unaffected(running):
        answer = await http(running.port, "POST", "/v1/chat/completions", f"Content-Length: {100 << 20}")
        assert answer.status == 413


async def test_what_never_comes_to_its_end_is_cut_while_others_are_served(running: Pool) -> None:
    """Faults 31 and 32: a thousand silent sockets, half lines, slow heads, registrations without proof."""
    starts = {
        "nothing": b"",
        "half a line": b'{"prompt":"Once upon',
        "half a head": b"GET /livez HTTP/1.1\r\nHost:",
        "half a method": b"GE",
        "half a classic hello": b"CLIENT|",
        "half a classic registration": b"REGISTER|127.0.0.1",
        "no proof": b'{"register":{"name":"x","url":"http://127.0.0.1:9","models":[{"name":"m"}],"endpoints":["chat"],'
        b'"slots":1,"nonce":"00000000000000000000000000000000","instance":"1"}}\n',
    }
    loop = asyncio.get_running_loop()

    async def trickle() -> float:
        """One more byte each second moves no deadline."""
        began = loop.time()
        reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
        writer.write(b"GET / HTTP/1.1\r\nX: ")
        try:
            while loop.time() < began + BEGINNING_S + SLACK_S and not reader.at_eof():
                writer.write(b"y")
                try:
                    async with asyncio.timeout(1.0):
                        await reader.read()
                except TimeoutError:
                    continue
        except ConnectionError:
            pass
        finally:
            writer.transport.abort()
        return loop.time() - began

    connected: list[bool] = []

    def cut_after(start: bytes) -> asyncio.Task[float]:
        within_s = BEGINNING_S + SLACK_S
        return asyncio.create_task(thrown_out(running.port, start, within_s, lambda: connected.append(True)))

    silent = [cut_after(b"") for _ in range(1000)]
    others = {name: cut_after(start) for name, start in starts.items()}
    others["a slow head"] = asyncio.create_task(trickle())
    async with asyncio.timeout(3 * BEGINNING_S):
        while len(connected) < len(silent) + len(starts):  # our own side of a thousand takes its time
            await asyncio.sleep(0.01)
    while not all(task.done() for task in silent):
        await check_served(running.port, "real client", within_s=SERVED_S)
        await asyncio.sleep(0.5)
    ended_s = {name: await task for name, task in others.items()} | {"silent": max([await task for task in silent])}
    late = {name: seconds for name, seconds in ended_s.items() if seconds > BEGINNING_S + SLACK_S - 1.0}
    assert not late
    await running.balancer.until(lambda status: status.idle and status.alive and status["clients"] <= 2)
