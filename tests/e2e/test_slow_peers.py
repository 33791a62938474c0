"""Clients that read or send too slowly, and too many of them. Faults 30, 32 and 33."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import cast

import pytest

from tests.e2e.fake_engine import engine
from tests.e2e.held import Held
from tests.e2e.pool import SERVED_S, Balancer, Pool, http, pool, read_http, rest_of, until
from tests.e2e.programs import python, started
from tests.e2e.talk import ask, ask_line, check_served, echoed, endless, talk

WRITE_S = 2.0
BEGINNING_S = 1.5
SLACK_S = 10.0
WORDS = " ".join(f"{n}" + "x" * 2000 for n in range(20))
"""Each of which is a token of 2 KB."""
ENDLESS = {**endless(20_000), "stream": True}


def asked_over_http() -> bytes:
    body = json.dumps({"model": "echo", "prompt": WORDS, **ENDLESS}).encode()
    head = f"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


ASKED = {"http": asked_over_http(), "native": ask_line(WORDS, 1, **ENDLESS)}


@pytest.mark.parametrize("door", ASKED)
async def test_who_reads_a_byte_a_second_is_cut_and_costs_nobody_anything(door: str) -> None:
    """Fault 30: reading a little moves no deadline; the buffer is bounded, the slot freed, the others flow."""
    loop = asyncio.get_running_loop()
    async with pool("--write-timeout", str(WRITE_S), backends=[["--slots", "4"]]) as (front, _):
        await check_served(front.port)
        before_bytes = front.program.rss_bytes()
        with socket.socket() as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            sock.setblocking(False)
            await loop.sock_connect(sock, ("127.0.0.1", front.port))
            await loop.sock_sendall(sock, ASKED[door])
            await front.until(lambda status: status.in_flight == 1)
            began, read_at, served = loop.time(), 0.0, 0
            while (await front.status()).in_flight:
                if loop.time() - read_at >= 1.0:
                    with suppress(ConnectionResetError):  # it may just have been cut
                        await loop.sock_recv(sock, 1)
                    read_at = loop.time()
                await check_served(front.port, "quick one", within_s=SERVED_S)
                served += 1
                assert front.program.rss_bytes() - before_bytes < 24 << 20
                assert loop.time() - began < WRITE_S + SLACK_S
        assert served >= 3, "they waited until it was cut"
        assert (await front.until_idle())["counts"]["cancelled"] == 1


@asynccontextmanager
async def impatient() -> AsyncIterator[Pool]:
    times = ["--head-timeout", str(BEGINNING_S), "--body-timeout", str(BEGINNING_S)]
    async with pool(*times, backends=[["--slots", "4", "--echo-delay-ms", "20"]]) as found:
        yield found


BEGUN = {
    "head": b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nX-Slow: ",
    "body": b'POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 4000\r\n\r\n{"prompt":"',
    "chunked body": b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nfff\r\n",
    "trailer": b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX-Slow: ",
}


async def test_who_trickles_a_head_or_a_body_is_told_408_at_the_total_deadline() -> None:
    """Fault 32: a byte now and then moves no deadline. A hundred of each, while others are served."""
    loop = asyncio.get_running_loop()

    async def trickle(begun: bytes) -> tuple[int, float]:
        """The answer's status and how long it took."""
        began = loop.time()  # its time runs from when it is accepted, which we may hear of late
        reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
        answer = asyncio.ensure_future(read_http(reader))
        writer.write(begun)
        try:
            while not answer.done() and loop.time() - began < BEGINNING_S + SLACK_S:
                await asyncio.wait([answer], timeout=0.3)
                if not answer.done():
                    writer.write(b"y")
            status = (await answer).status
            assert await rest_of(reader) == b""
            return status, loop.time() - began
        finally:
            answer.cancel()
            writer.transport.abort()

    async with impatient() as running, talk(running.port) as sibling:
        stream = sibling.ask("nothing happens here", 1, **endless(100))
        await sibling.begun(stream)
        slow = [asyncio.ensure_future(trickle(begun)) for begun in BEGUN.values() for _ in range(50)]
        while not all(task.done() for task in slow):
            await check_served(running.port, within_s=SERVED_S)
            await asyncio.sleep(0.1)
        found = await asyncio.gather(*slow)
        assert {status for status, _ in found} == {408}
        assert all(BEGINNING_S - 0.1 < took_s < BEGINNING_S + SLACK_S for _, took_s in found)
        await sibling.ended(stream)
        assert stream.text == echoed("nothing happens here", 100)
        await running.balancer.until(lambda status: status.idle and status["clients"] <= 2)


FILES_MAX = 256


async def over(endings: list[asyncio.Future[bytes]]) -> list[asyncio.Future[bytes]]:
    return [ending for ending in endings if ending.done()]


async def test_when_descriptors_run_out_newcomers_are_refused_and_streams_survive() -> None:
    """Fault 33: a clear line in the log, not one for each; when some leave, all is as before."""
    prompts = [f"one two {n}" for n in range(4)]
    held = Held(*prompts)
    options = ["--port", "0", "--admin-port", "0", "--log-json", "--no-cache", "--head-timeout", "60"]
    async with engine(held) as found:
        command = python("balancer", *options, "--upstream", f"{found.url};name=only")
        limited = ["sh", "-c", f'ulimit -n {FILES_MAX} && exec "$@"', "sh", *command]
        async with started("balancer", limited) as program:
            await program.until_ready()
            front = Balancer(program)
            await front.until(lambda status: status.alive)
            async with talk(front.port) as connection:
                streams = [connection.ask(prompt, n) for n, prompt in enumerate(prompts)]
                await connection.begun(*streams)
                crowd = [await asyncio.open_connection("127.0.0.1", front.port) for _ in range(FILES_MAX + 100)]
                endings = [asyncio.ensure_future(reader.read(1)) for reader, _ in crowd]
                await program.wrote("out of descriptors")
                # Who is in is served, with a dial to the backend; and operators get in.
                another = connection.ask("still served", 9)
                await connection.ended(another)
                assert another.text == "still served"
                assert (await front.status()).alive == ["only"]
                refused = await until(lambda: over(endings), lambda over: len(over) >= 100)
                assert len(refused) < len(crowd)
                for task in endings:
                    task.cancel()
                await asyncio.gather(*endings, return_exceptions=True)
                for _, writer in crowd:
                    cast(asyncio.Transport, writer.transport).abort()
                # Until the balancer has seen them leave, who comes is refused: with a reset, if the ask was on its way.
                await front.until(lambda status: status["clients"] < 10)
                assert (await ask(front.port, "room again")).text == "room again"
                held.go_on.set()
                await connection.ended(*streams)
                assert [stream.text for stream in streams] == prompts
            assert (await http(front.port, "GET", "/readyz")).status == 200
        assert program.log.count("out of descriptors") == 1 and "traceback" not in program.log.lower()
        assert len(program.err) < 30
