"""HTTP as clients may write it, and requests of absurd size. Fault 34."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import AsyncIterator, Callable

import pytest
import pytest_asyncio

from tests.e2e.pool import HttpAnswer, Pool, http, pool, read_http
from tests.e2e.programs import output_of
from tests.e2e.talk import check_served

pytestmark = pytest.mark.asyncio(loop_scope="module")

COMPLETIONS = "/v1/completions"
HELLO = [{"role": "user", "content": "hi"}]
GROWTH_MAX_BYTES = 50 << 20


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running() -> AsyncIterator[Pool]:
    async with pool(backends=[["--slots", "4"]]) as found:
        yield found


def head(*headers: str, path: str = COMPLETIONS) -> bytes:
    return "\r\n".join([f"POST {path} HTTP/1.1", "Host: x", *headers, "", ""]).encode()


def asking(prompt: str) -> bytes:
    return json.dumps({"model": "echo", "prompt": prompt}).encode()


def chunked(data: bytes, size: int) -> bytes:
    """With an extension and a trailer field, as it may be (RFC 9112, 7.1)."""
    pieces = [data[at : at + size] for at in range(0, len(data), size)]
    return b"".join(b"%X;a=b\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\nX-Sum: 1\r\n\r\n"


def text_of(answer: HttpAnswer) -> str:
    assert answer.status == 200, answer
    return str(answer.json()["choices"][0]["text"])


@pytest.mark.parametrize("split", [1, 3, 1000])
async def test_a_body_in_chunks_is_understood_however_it_arrives(running: Pool, split: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
    message = head("Transfer-Encoding: chunked") + chunked(asking("größe in chunks"), 7)
    for at in range(0, len(message), split):
        writer.write(message[at : at + split])
        await writer.drain()
        await asyncio.sleep(0)
    assert text_of(await read_http(reader)) == "größe in chunks"
    writer.close()


async def test_pipelined_requests_are_answered_in_order(running: Pool) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
    prompts = [f"number {n}" for n in range(10)]
    for n, prompt in enumerate(prompts):
        body = asking(prompt)
        if n % 2:
            writer.write(head("Transfer-Encoding: chunked") + chunked(body, 11))
        else:
            writer.write(head(f"Content-Length: {len(body)}") + body)
    assert [text_of(await read_http(reader)) for _ in prompts] == prompts
    writer.close()


async def test_who_expects_it_is_told_to_go_on_before_the_body(running: Pool) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
    body = asking("patience")
    for _ in range(2):
        writer.write(head("Expect: 100-continue", f"Content-Length: {len(body)}"))
        async with asyncio.timeout(5.0):
            assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(body)
        assert text_of(await read_http(reader)) == "patience"
    writer.write(head("Expect: 100-continue", f"Content-Length: {100 << 20}"))
    assert (await read_http(reader)).status == 413  # without having sent any of it
    writer.close()


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
async def test_curl_uploads_both_ways(running: Pool) -> None:
    url = f"http://127.0.0.1:{running.port}{COMPLETIONS}"
    for option in ("Transfer-Encoding: chunked", "Expect: 100-continue"):
        command = ["curl", "-sS", "--max-time", "20", "-H", option, "--data-binary", "@-", url, "--next", "-sS", url]
        status, out, err = await output_of(command, asking("uploaded"))
        assert status == 0 and '"text":"uploaded"' in out.replace('": "', '":"'), (out, err)


ABSURD: dict[str, tuple[Callable[[], object], str | None]] = {
    "a deep nest": (lambda: {"prompt": "x", "a": "NEST"}, None),
    "fifty thousand messages": (lambda: {"messages": HELLO * 50_000}, "too_many_messages"),
    "two hundred thousand": (lambda: {"messages": HELLO * 200_000}, "too_many_objects"),
    "a billion tokens": (lambda: {"messages": HELLO, "max_tokens": 10**9}, "invalid_max_tokens"),
    "a billion tokens by the new name": (
        lambda: {"messages": HELLO, "max_completion_tokens": 10**9},
        "invalid_max_completion_tokens",
    ),
    "a thousand choices": (lambda: {"messages": HELLO, "n": 1000}, "invalid_n"),
}


async def test_absurd_requests_are_refused_and_cost_no_memory(running: Pool) -> None:
    """Fault 34: each several times, side by side."""
    await check_served(running.port)
    before_bytes = running.balancer.program.rss_bytes()

    async def refused(name: str) -> None:
        make, code = ABSURD[name]
        body = json.dumps(make()).encode().replace(b'"NEST"', b"[" * 100_000 + b"]" * 100_000)
        path = "/v1/chat/completions" if b"messages" in body[:20] else COMPLETIONS
        answer = await http(running.port, "POST", path, body=body, timeout_s=30.0)
        assert answer.status == 400 and answer.json()["error"]["message"], (name, answer)
        assert code is None or answer.json()["error"]["code"] == code, answer

    for _ in range(3):
        await asyncio.gather(*(refused(name) for name in ABSURD for _ in range(2)))
    assert running.balancer.program.rss_bytes() - before_bytes < GROWTH_MAX_BYTES
    await check_served(running.port)
    await running.balancer.until_idle()


async def test_a_body_of_a_hundred_megabytes_in_chunks_is_refused_and_costs_no_memory(running: Pool) -> None:
    """Fault 34: nothing says beforehand how long it is."""
    before_bytes = running.balancer.program.rss_bytes()
    most_bytes = 0

    async def upload() -> int:
        nonlocal most_bytes
        reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
        answer = asyncio.ensure_future(read_http(reader))
        try:
            writer.write(head("Transfer-Encoding: chunked"))
            for _ in range(100):
                writer.write(b"100000\r\n" + b"x" * (1 << 20) + b"\r\n")
                await writer.drain()
                most_bytes = max(most_bytes, running.balancer.program.rss_bytes() - before_bytes)
        except ConnectionError:
            pass  # it was closed while we still sent; the answer came before that
        status = (await answer).status
        writer.close()
        return status

    assert await asyncio.gather(*(upload() for _ in range(2))) == [413, 413]
    await check_served(running.port)
    assert most_bytes < GROWTH_MAX_BYTES
