"""How the daemon ends: streams finish, nothing new begins, a second signal hurries. Fault 37; ports that are taken."""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.e2e.fake_engine import engine
from tests.e2e.held import Held
from tests.e2e.pool import Balancer, backend, balancer, http, pool, read_http
from tests.e2e.programs import output_of, python
from tests.e2e.talk import ask, endless, talk

SLOW = [["--slots", "2", "--echo-delay-ms", "20"]]
PROMPT = "to the end"
"""What is answered to it ends when a test says so."""
HURRY_S = 10.0
"""Of the 30 s that a drain may take, and 100 s that the streams would."""


@asynccontextmanager
async def holding() -> AsyncIterator[tuple[Balancer, Held]]:
    """A balancer with an engine of two slots."""
    held = Held(PROMPT)
    async with engine(held) as found, balancer("--upstream", f"{found.url};slots=2") as front:
        await front.until(lambda status: status.alive)
        yield front, held


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_lets_streams_finish_and_takes_nothing_new(number: signal.Signals) -> None:
    """Fault 37: what runs or waits is answered, ``/readyz`` cannot be reached any more, the status is 0."""
    async with holding() as (front, held), talk(front.port) as connection, talk(front.port) as idle:
        await idle.ended(idle.ask("done with"))
        first = [connection.ask(PROMPT, n) for n in range(2)]
        await connection.begun(*first)
        waits = connection.ask("me too", "waits")
        await connection.until(lambda: waits.queued)
        front.program.send(number)
        await idle.hung_up()  # a connection on which nothing runs
        with pytest.raises(ConnectionRefusedError):
            await http(front.port, "GET", "/readyz")
        with pytest.raises(ConnectionRefusedError):
            await ask(front.port, "too late")
        late = connection.ask("too late", "late")
        await connection.ended(late)
        assert late.code == "shutting_down" and not any(answer.ended for answer in (*first, waits))
        held.go_on.set()
        await connection.ended(*first, waits)
        await connection.hung_up()
        assert [answer.text for answer in (*first, waits)] == [PROMPT, PROMPT, "me too"]
        assert await front.program.exited() == 0


async def test_whoever_asks_hears_at_once_that_it_is_stopping_while_streams_finish() -> None:
    """Fault 37: ``/readyz`` fails first, on the admin port to the last and on connections that were already open."""
    async with holding() as (front, held), talk(front.port) as connection:
        reader, writer = await asyncio.open_connection("127.0.0.1", front.port)
        question = b"GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n"
        writer.write(question)
        assert (await read_http(reader)).status == 200
        stream = connection.ask(PROMPT, 1)
        await connection.begun(stream)
        front.program.terminate()
        await front.program.wrote("stopping")
        writer.write(question)
        last = await read_http(reader)
        assert (last.status, last.json()["status"], last.headers["connection"]) == (503, "stopping", "close")
        assert await reader.read() == b""
        with pytest.raises(ConnectionRefusedError):
            await http(front.port, "GET", "/readyz")
        for path, status in (("/readyz", 503), ("/readyz", 503), ("/livez", 200)):
            assert (await http(front.admin_port, "GET", path)).status == status
        assert not stream.ended
        held.go_on.set()
        await connection.ended(stream)
        assert stream.text == PROMPT
        assert await front.program.exited() == 0
        writer.close()


async def test_a_second_signal_hurries() -> None:
    async with pool(backends=SLOW) as (front, _), talk(front.port) as connection:
        stream = connection.ask("for ever", 1, **endless(5000))
        await connection.begun(stream)
        front.program.terminate()
        await front.program.wrote("stopping")
        front.program.terminate()
        await connection.ended(stream, within_s=HURRY_S)
        assert stream.code == "shutting_down"
        assert await front.program.exited(within_s=HURRY_S) == 0


async def test_the_drain_has_a_limit_and_the_rest_ends_in_an_error() -> None:
    async with pool("--drain-timeout", "0.5", backends=SLOW) as (front, _), talk(front.port) as connection:
        streams = [connection.ask("for ever", n, **endless(5000)) for n in range(2)]
        waits = connection.ask("in vain", "waits")
        await connection.begun(*streams)
        front.program.terminate()
        await connection.ended(*streams, waits, within_s=HURRY_S)
        assert {stream.code for stream in (*streams, waits)} == {"shutting_down"}
        assert await front.program.exited(within_s=HURRY_S) == 0


async def test_backends_survive_the_end_of_their_balancer_and_end_on_their_own() -> None:
    async with pool() as (front, (program,)):
        front.program.terminate()
        assert await front.program.exited() == 0
        assert (await http(int(program.ready["port"]), "GET", "/health")).status == 200
        program.terminate()
        assert await program.exited() == 0


async def test_taken_ports_are_named() -> None:
    """TCP, UDP, the admin port, a backend's: each says which one, and that it is taken."""
    with socket.socket() as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp:
        tcp.bind(("127.0.0.1", 0))
        tcp.listen()
        udp.bind(("127.0.0.1", 0))
        taken, taken_udp = tcp.getsockname()[1], udp.getsockname()[1]
        results = await asyncio.gather(
            output_of(python("balancer", "--no-cache", "--port", str(taken), "--admin-port", "0")),
            output_of(python("balancer", "--no-cache", "--port", "0", "--admin-port", str(taken))),
            output_of(python("balancer", "--no-cache", "--port", str(taken_udp), "--admin-port", "0")),
            output_of(python("backend", str(taken), "--model", "echo", "--no-balancer")),
        )
    for (status, _, err), port in zip(results, (taken, taken, taken_udp, taken), strict=True):
        assert status != 0 and str(port) in err and "is taken; choose another" in err and "Traceback" not in err, err


async def test_a_backend_that_restarts_at_once_gets_its_port_again() -> None:
    async with backend(None) as first:
        port = int(first.ready["port"])
        await http(port, "GET", "/health")
        first.terminate()
        assert await first.exited() == 0
    async with backend(None, port=port) as second:
        assert int(second.ready["port"]) == port
