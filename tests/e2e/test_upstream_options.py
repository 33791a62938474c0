"""What ``--upstream`` may say beyond a URL, and upstreams that come and go while the balancer runs."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.certificates import make_certificate, needs_openssl
from tests.e2e.fake_engine import HEAD, LAST_CHUNK, chunk, events
from tests.e2e.pool import Balancer, Status, backend, balancer, http
from tests.e2e.programs import output_of, python
from tests.e2e.talk import ask, check_served, echoed, endless, talk

KEY = "sk-very-secret-4711"
METRICS = b"""# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{model_name="a"} 3.0
vllm:num_requests_waiting{model_name="a"} 2.0
vllm:kv_cache_usage_perc{model_name="a"} 0.5
"""


class Provider:
    """An engine as vLLM is one, with two models; it wants a key, and is rude to who brings another."""

    def __init__(self) -> None:
        self.port = 0
        self.heads: list[str] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        self.heads.append(head)
        lengths = [line for line in head.lower().split("\r\n") if line.startswith("content-length:")]
        await reader.readexactly(int(lengths[0].partition(":")[2]) if lengths else 0)
        path, given = head.split()[1], [line for line in head.split("\r\n") if line.startswith("authorization: ")]
        if given != [f"authorization: Bearer {KEY}"]:
            status, kind, body = 401, "application/json", json.dumps({"error": {"message": f"no: {given}"}}).encode()
        elif path == "/v1/completions":
            writer.write(HEAD + chunk(events("all", " is", " well")) + LAST_CHUNK)
            writer.close()
            return
        elif path == "/metrics":
            status, kind, body = 200, "text/plain", METRICS
        else:
            models = [{"id": name, "owned_by": "vllm", "max_model_len": 2048} for name in ("a", "b", "c")]
            status, kind, body = 200, "application/json", json.dumps({"data": models}).encode()
        writer.write(
            f"HTTP/1.1 {status} X\r\nContent-Type: {kind}\r\nConnection: close\r\n"
            f"Content-Length: {len(body)}\r\n\r\n".encode()
            + body
        )
        writer.close()


@asynccontextmanager
async def provider(**options: object) -> AsyncIterator[Provider]:
    found = Provider()
    server = await asyncio.start_server(found.serve, "127.0.0.1", 0, **options)  # type: ignore[arg-type]
    found.port = int(server.sockets[0].getsockname()[1])
    try:
        yield found
    finally:
        server.close()


async def all_it_shows(front: Balancer) -> str:
    """Everything that the balancer says to anybody."""
    shown = [await http(front.admin_port, "GET", "/status"), await http(front.admin_port, "GET", "/metrics")]
    return front.program.log + "".join(front.program.out) + "".join(answer.body.decode() for answer in shown)


async def test_an_engine_behind_a_key_is_known_loaded_and_served_and_the_key_never_shows() -> None:
    async with provider() as engine:
        option = f"http://127.0.0.1:{engine.port};slots=7;weight=2;key-env=SOME_KEY;model=a,c;name=far;label.zone=eu"
        async with balancer("--upstream", option, "--log-level", "debug", SOME_KEY=KEY) as front:
            status = await front.until(lambda status: status.running("far") == 3)
            far = status.backend("far")
            assert far is not None and (far["slots"], far["weight"], far["engine"]) == (7, 2.0, "vllm")
            assert (far["models"], far["labels"], far["load"]["waiting"]) == (["a", "c"], {"zone": "eu"}, 2)
            answer = await ask(front.port, "well?", model="a")
            assert (answer.text, answer.backend) == ("all is well", "far")
            assert (await ask(front.port, "well?", model="b")).code in ("model_not_found", "no_backend")
            models = (await http(front.port, "GET", "/v1/models")).json()["data"]
            assert [model["id"] for model in models] == ["a", "c"]
            assert KEY not in await all_it_shows(front)


async def test_a_key_that_is_refused_is_not_repeated_to_anybody() -> None:
    async with provider() as engine:
        option = f"http://127.0.0.1:{engine.port};key-env=SOME_KEY;model=a;name=far"
        async with balancer("--upstream", option, SOME_KEY="sk-wrong-4711") as front:
            await front.program.wrote("/v1/models answered 401")
            answer = await ask(front.port, "well?", model="a")
            assert answer.error is not None
            assert "4711" not in json.dumps(answer.error) + await all_it_shows(front)


async def test_a_missing_key_is_said_before_anything_starts() -> None:
    option = "http://127.0.0.1:9;key-env=NO_SUCH_KEY"
    status, _, err = await output_of(python("balancer", "--no-cache", "--port", "0", "--upstream", option))
    assert status != 0 and "NO_SUCH_KEY" in err and "Traceback" not in err


@needs_openssl
@pytest.mark.parametrize("trusted", [True, False])
async def test_https_is_verified(tmp_path: Path, trusted: bool) -> None:
    certificate = make_certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate.chain, certificate.key)
    async with provider(ssl=context) as engine:
        option = f"https://localhost:{engine.port};key-env=SOME_KEY;model=a;name=far"
        trust = str(certificate.chain) if trusted else str(tmp_path / "nobody.pem")
        async with balancer("--upstream", option, SOME_KEY=KEY, SSL_CERT_FILE=trust) as front:
            answer = await ask(front.port, "well?", model="a")
            if trusted:
                assert answer.text == "all is well", answer
            else:
                assert answer.code == "backend_unreachable" and not engine.heads, answer


@needs_openssl
async def test_a_provider_that_is_not_trusted_serves_nobody_and_its_trouble_is_told(tmp_path: Path) -> None:
    certificate = make_certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate.chain, certificate.key)
    async with provider(ssl=context) as engine:
        option = f"https://localhost:{engine.port};key-env=SOME_KEY;name=far"
        async with balancer("--upstream", option, SOME_KEY=KEY, SSL_CERT_FILE=str(tmp_path / "nobody.pem")) as front:
            status = await front.until(lambda status: _reason(status) not in (None, "not heard yet"))
            assert (status.state("far"), _reason(status)) == ("joining", "its certificate: self-signed certificate")
            _, table, _ = await output_of(python("balancer", "backends", "list", "--admin", front.admin))
            assert "its certificate: self-signed certificate" in table
            assert (await http(front.port, "GET", "/readyz")).status == 503
        async with balancer("--upstream", option, SOME_KEY=KEY, SSL_CERT_FILE=str(certificate.chain)) as front:
            status = await front.until(lambda status: status.state("far") == "alive")
            assert _reason(status) is None and (await http(front.port, "GET", "/readyz")).status == 200


def _reason(status: Status) -> str | None:
    far = status.backend("far")
    return far["reason"] if far is not None else None


async def test_a_name_without_address_keeps_nobody_else_from_serving() -> None:
    async with backend(None) as engine:
        nowhere = "http://nowhere.invalid:8000;name=far"
        async with balancer("--upstream", nowhere, "--upstream", f"{engine.ready['url']};name=near") as front:
            status = await front.until(lambda status: status.state("near") == "alive")
            assert status.state("far") == "dead" and "no address for nowhere.invalid" in (_reason(status) or "")
            await front.program.wrote("no address for nowhere.invalid")
            await check_served(front.port)


async def test_upstreams_come_and_go_while_it_runs_and_streams_finish() -> None:
    async with backend(None, "--slots", "4", "--echo-delay-ms", "20") as engine, balancer() as front:
        where = ("--admin", front.admin)
        url = f"{engine.ready['url']};slots=3;name=late"
        status, out, err = await output_of(python("balancer", "backends", "add", url, *where))
        assert status == 0 and "until the balancer ends" in out, err
        await front.until(lambda status: status.state("late") == "alive")
        async with talk(front.port) as connection:
            streams = [connection.ask("to the end", n, **endless(80)) for n in range(2)]
            await connection.begun(*streams)
            status, out, err = await output_of(python("balancer", "backends", "remove", "late", *where))
            assert status == 0, err
            assert (await ask(front.port, "too late")).code == "no_backend"
            await connection.ended(*streams)
            assert [stream.text for stream in streams] == [echoed("to the end", 80)] * 2
        await front.until(lambda status: status.state("late") is None)
        answer = await http(
            front.admin_port, "POST", "/backends", body=json.dumps({"url": engine.ready["url"]}).encode()
        )
        assert answer.status == 200, answer
        await front.until(lambda status: len(status.alive) == 1)
        await check_served(front.port)


async def test_a_registered_backend_is_drained_and_not_removed() -> None:
    async with balancer() as front, backend(front.port, "--name", "gpu-1") as program:
        await front.until_alive(program)
        answer = await http(front.admin_port, "DELETE", "/backends/gpu-1")
        assert answer.status == 409 and "drain" in answer.json()["error"]["message"]
        await check_served(front.port)
