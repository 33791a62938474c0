"""Much input from those who may not send it, or in a form that costs more to read than to send (fault 34)."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import openai
import pytest

from tests.e2e.pool import SERVED_S, balancer, http, read_http, rest_of
from tests.e2e.test_keys import made_keys

MIB = 1 << 20
CONNECTIONS = 24
GROWTH_MAX_BYTES = 50_000_000


def chat_head(length: int, key: str) -> bytes:
    lines = ["POST /v1/chat/completions HTTP/1.1", "Host: x", f"Authorization: Bearer {key}"]
    return "\r\n".join([*lines, f"Content-Length: {length}", "", ""]).encode()


async def refused_upload(port: int) -> int:
    """Send almost all of the longest body with a wrong key; the status of the answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(chat_head(8 * MIB, "wrong") + b"x" * (8 * MIB - 1))
        return (await asyncio.wait_for(read_http(reader), SERVED_S)).status
    finally:
        writer.transport.abort()


async def test_nobody_without_a_key_makes_it_keep_what_he_sends(tmp_path: Path) -> None:
    keys = tmp_path / "keys.jsonl"
    await made_keys(keys, "alice")
    async with balancer("--keys", str(keys)) as running:
        before = running.program.rss_bytes()
        found = await asyncio.gather(*(refused_upload(running.port) for _ in range(CONNECTIONS)))
        assert set(found) == {401}
        assert running.program.rss_bytes() - before < GROWTH_MAX_BYTES
        client = openai.AsyncOpenAI(base_url=f"http://127.0.0.1:{running.port}/v1", api_key="wrong", max_retries=0)
        with pytest.raises(openai.AuthenticationError) as raised:
            await client.chat.completions.create(model="m", messages=[{"role": "user", "content": "x" * 4 * MIB}])
        assert raised.value.code == "invalid_api_key"
        await client.close()


async def test_millions_of_empty_objects_and_lines_without_sense_are_not_read_to_their_end() -> None:
    async with balancer() as running:
        before = running.program.rss_bytes()
        for inner in (b"{}", b"[]"):
            many = b'{"model":"m","prompt":"x","metadata":[' + b",".join([inner] * (2 * MIB)) + b"]}"
            answer = await http(running.port, "POST", "/v1/completions", body=many)
            assert (answer.status, answer.json()["error"]["code"]) == (400, "too_many_objects")
        reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
        writer.write(b"x\n" * (128 << 10))
        lines = (await asyncio.wait_for(rest_of(reader), SERVED_S)).splitlines()
        assert json.loads(lines[-1])["error"]["code"] == "too_many_bad_lines"
        assert len(lines) < 100
        writer.close()
        assert running.program.rss_bytes() - before < GROWTH_MAX_BYTES
