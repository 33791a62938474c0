"""TLS on the same port: OpenAI's client, curl, plain sockets and bad handshakes against a running balancer."""

from __future__ import annotations

import asyncio
import json
import shutil
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import openai
import pytest
import pytest_asyncio

from tests.certificates import Certificate, make_certificate, needs_openssl
from tests.e2e.pool import FREED_S, Pool, http, pool, read_http, thrown_out
from tests.e2e.programs import output_of, python
from tests.e2e.talk import Talk, check_served, echoed, endless

pytestmark = [pytest.mark.asyncio(loop_scope="module"), needs_openssl]

HEAD_S = 2.0
SLACK_S = 10.0


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return make_certificate(tmp_path_factory.mktemp("certificates"))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(certificate: Certificate) -> AsyncIterator[Pool]:
    """Fifty tokens a second; the backend beside it registers in clear text."""
    options = ["--tls-cert", str(certificate.chain), "--tls-key", str(certificate.key), "--head-timeout", str(HEAD_S)]
    async with pool(*options, backends=[["--slots", "4", "--echo-delay-ms", "20"]]) as found:
        yield found


@asynccontextmanager
async def secret_talk(running: Pool, certificate: Certificate) -> AsyncIterator[Talk]:
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", running.port, ssl=certificate.client_context(), server_hostname="localhost", limit=4 << 20
    )
    try:
        yield Talk(reader, writer)
    finally:
        writer.transport.abort()


async def check_all_is_well(running: Pool) -> None:
    """Nothing is left behind, plain clients on this machine are served, and nothing was logged as a surprise."""
    await check_served(running.port)
    await running.balancer.until_idle()
    assert "traceback" not in running.balancer.program.log.lower()


async def test_the_official_client_streams_and_leaves(running: Pool, certificate: Certificate) -> None:
    """One slot is freed within a second when it leaves in mid-stream."""
    context = certificate.client_context()
    async with openai.AsyncOpenAI(
        base_url=f"https://localhost:{running.port}/v1",
        api_key="any",
        max_retries=0,
        timeout=30.0,
        http_client=openai.DefaultAsyncHttpxClient(verify=context),
    ) as client:
        assert [model.id async for model in client.models.list()] == ["echo"]
        answers = await asyncio.gather(
            *(client.completions.create(model="echo", prompt=f"one two {n}") for n in range(8))
        )
        assert [answer.choices[0].text for answer in answers] == [f"one two {n}" for n in range(8)]
        stream = await client.completions.create(
            model="echo", prompt="a b", stream=True, max_tokens=5000, extra_body={"ignore_eos": True}
        )
        async for chunk in stream:
            if chunk.choices[0].text:
                break
        await stream.close()
        await running.balancer.until(lambda status: status.idle, FREED_S)
    await check_all_is_well(running)


async def test_who_does_not_know_the_certificate_is_not_fooled(running: Pool) -> None:
    async with openai.AsyncOpenAI(
        base_url=f"https://localhost:{running.port}/v1", api_key="any", max_retries=0, timeout=30.0
    ) as client:
        with pytest.raises(openai.APIConnectionError):
            await client.models.list()
    await check_all_is_well(running)


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
async def test_curl(running: Pool, certificate: Certificate) -> None:
    url = f"https://localhost:{running.port}/v1"
    curl = ["curl", "-sS", "--max-time", "20", "--cacert", str(certificate.chain)]
    status, out, err = await output_of([*curl, f"{url}/models", f"{url}/models"])
    assert status == 0 and out.count('"id":"echo"') == 2, err
    body = json.dumps({"model": "echo", "prompt": "one two three"})
    status, out, err = await output_of(
        [*curl, "--tls-max", "1.2", "-H", "Expect: 100-continue", "-d", body, f"{url}/completions"]
    )
    assert status == 0 and json.loads(out)["choices"][0]["text"] == "one two three", err
    # Ten megabytes are refused, and curl reads why.
    large = json.dumps({"model": "echo", "prompt": "x" * (10 << 20)}).encode()
    chunked = ["-H", "Transfer-Encoding: chunked", "-H", "Expect:", "--data-binary", "@-"]
    status, out, err = await output_of([*curl, *chunked, f"{url}/completions"], large)
    assert json.loads(out)["error"]["code"] == "body_too_large", err
    await check_all_is_well(running)


async def test_a_large_body_and_a_large_answer(running: Pool, certificate: Certificate) -> None:
    word = "x" * (512 << 10)
    async with secret_talk(running, certificate) as connection:
        body = json.dumps({"model": "echo", "prompt": f"{word} {word}", "max_tokens": 4, "ignore_eos": True}).encode()
        head = f"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
        for _ in range(2):
            connection.write(head.encode() + body)
            answer = await read_http(connection.reader)
            assert answer.status == 200 and answer.json()["choices"][0]["text"].split() == [word] * 4
    await check_all_is_well(running)


async def test_native_lines(running: Pool, certificate: Certificate) -> None:
    async with secret_talk(running, certificate) as connection:
        asked = [connection.ask(f"three four {n}", n, **endless(20)) for n in range(4)]
        await connection.ended(*asked)
        assert [answer.text for answer in asked] == [echoed(f"three four {n}", 20) for n in range(4)]
    await check_all_is_well(running)


async def test_bad_handshakes_harm_nobody(running: Pool, certificate: Certificate) -> None:
    async with secret_talk(running, certificate) as connection, secret_talk(running, certificate) as silent:
        answer = connection.ask("nothing happens here", 1, **endless(60))
        await connection.begun(answer)
        garbage = [b"\x16" + b"garbage" * 100, b"\x16\x03\x01\x00\x05hello", b"\x16\x03\x01\x40\x00" + b"\x01" * 0x4000]
        took_s = await asyncio.gather(*(thrown_out(running.port, data, HEAD_S + SLACK_S) for data in garbage * 20))
        assert max(took_s) < HEAD_S + SLACK_S
        async with asyncio.timeout(HEAD_S + SLACK_S):
            assert await silent.reader.read() == b""
        await connection.ended(answer)
        assert answer.text == echoed("nothing happens here", 60)
    await check_all_is_well(running)
    assert len(running.balancer.program.err) < 40  # no line for each


async def test_without_a_certificate_a_handshake_is_closed() -> None:
    async with pool() as plain:
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await asyncio.open_connection("127.0.0.1", plain.port, ssl=ssl.create_default_context())
        assert (await http(plain.port, "GET", "/livez")).status == 200
        await plain.balancer.program.wrote("a TLS handshake from")


async def test_what_is_wrong_is_said_before_it_starts(certificate: Certificate, tmp_path: Path) -> None:
    check = python("balancer", "--check-config")
    other = make_certificate(tmp_path, "other")
    given = ["--tls-cert", str(certificate.chain), "--tls-key"]
    wrong, right = await asyncio.gather(
        output_of([*check, *given, str(other.key)]), output_of([*check, *given, str(certificate.key)])
    )
    assert wrong[0] != 0 and "tls-key" in wrong[2] and "Traceback" not in wrong[2]
    assert right[0] == 0 and "fine" in right[1], right
