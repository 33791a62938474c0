"""Clients that leave, stop reading, or only close their sending side. Faults 29 and 30."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from typing import cast

import pytest
import pytest_asyncio

from tests.e2e.broken import never_answers
from tests.e2e.fake_engine import engine
from tests.e2e.held import Held
from tests.e2e.pool import FREED_S, SERVED_S, Balancer, Pool, Status, balancer, pool
from tests.e2e.talk import Talk, ask, check_served, echoed, endless, talk

pytestmark = pytest.mark.asyncio(loop_scope="module")

LEAVE: dict[str, Callable[[Talk], None]] = {"close": Talk.close, "reset": Talk.reset}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running() -> AsyncIterator[Pool]:
    """Two slots, fifty tokens a second."""
    async with pool(backends=[["--slots", "2", "--echo-delay-ms", "20"]]) as found:
        yield found


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def sluggish() -> AsyncIterator[Balancer]:
    """Not even a first token comes."""
    async with engine(never_answers) as found, balancer("--upstream", found.url) as front:
        await front.until(lambda status: status.alive)
        yield front


async def freed(front: Balancer, right: Callable[[Status], object]) -> None:
    """It is soon so, and the pool serves on."""
    await front.until(right, FREED_S)


@pytest.mark.parametrize("way", LEAVE)
async def test_who_leaves_in_mid_stream_frees_the_slot_and_disturbs_nobody(running: Pool, way: str) -> None:
    """Fault 29."""
    front, (program,) = running
    async with talk(front.port) as sibling, talk(front.port) as leaver:
        stays = sibling.ask("stay here", 1, **endless(100))
        leaves = leaver.ask("go away", 1, **endless(5000))
        await asyncio.gather(sibling.begun(stays), leaver.begun(leaves))
        LEAVE[way](leaver)
        await freed(front, lambda status: status.in_flight == 1)
        await sibling.ended(stays)
        assert stays.text == echoed("stay here", 100)
    name = program.ready["name"]
    assert await front.until(lambda status: status.idle and status.running(name) == 0)


async def test_who_leaves_between_two_slow_tokens_frees_the_slot() -> None:
    """Fault 29: there is nothing to write to the client that would tell."""
    held = Held("go away", "stay here")
    async with engine(held) as found, balancer("--upstream", found.url) as front:
        await front.until(lambda status: status.alive)
        async with talk(front.port) as leaver, talk(front.port) as patient:
            leaves, stays = leaver.ask("go away"), patient.ask("stay here")
            patient.half_close()
            await asyncio.gather(leaver.begun(leaves), patient.begun(stays))
            leaver.close()
            await freed(front, lambda status: status.in_flight == 1)
            assert not stays.ended
            held.go_on.set()
            await patient.ended(stays)
            assert stays.text == "stay here"
        await front.until_idle()


@pytest.mark.parametrize("way", LEAVE)
async def test_who_leaves_before_the_first_token_frees_the_slot(sluggish: Balancer, way: str) -> None:
    """Fault 29, while the engine reads the prompt."""
    async with talk(sluggish.port) as leaver:
        leaver.ask("are you there", 1)
        await sluggish.until(lambda status: status["exchanges"]["asking"] == 1)
        LEAVE[way](leaver)
        await freed(sluggish, lambda status: status.idle)


@pytest.mark.parametrize("way", LEAVE)
async def test_who_leaves_the_queue_is_forgotten(running: Pool, way: str) -> None:
    """Fault 29, while it waits."""
    front = running.balancer
    async with talk(front.port) as holder, talk(front.port) as leaver:
        streams = [holder.ask("a b", n, **endless(5000)) for n in range(2)]
        await holder.begun(*streams)
        queued = leaver.ask("never mind", 1)
        await leaver.until(lambda: queued.queued)
        LEAVE[way](leaver)
        await freed(front, lambda status: status["queue"]["waiting"] == 0)
        assert (await front.status()).in_flight == 2
    await front.until_idle()


async def test_a_classic_client_that_closes_has_left(sluggish: Balancer) -> None:
    """Fault 29: there, a closed sending side means that nobody waits any more."""
    async with talk(sluggish.port) as leaver:
        leaver.write(b"CLIENT|ADD")
        leaver.write(b"a question")
        await sluggish.until(lambda status: status.in_flight == 1)
        leaver.half_close()
        await freed(sluggish, lambda status: status.idle)


async def test_who_closes_only_the_sending_side_is_answered(running: Pool) -> None:
    """Fault 29: a native client that half-closed is still waiting, in the queue as well."""
    async with talk(running.port) as first, talk(running.port) as second:
        asked = [first.ask("one two", n, **endless(60)) for n in range(2)]
        await first.begun(*asked)
        waits = second.ask("three four", 1)
        await second.until(lambda: waits.queued)
        first.half_close()
        second.half_close()
        await first.hung_up()
        await second.hung_up()
    assert [answer.text for answer in asked] == [echoed("one two", 60)] * 2 and waits.text == "three four"
    assert all(answer.done is not None for answer in (*asked, waits))


async def test_who_does_not_read_is_cut_and_costs_no_memory_and_no_time() -> None:
    """Fault 30: 20 MB for one who reads nothing; the buffer is bounded, the slot freed, the others flow."""
    long_words = " ".join(f"{n}" + "x" * 2000 for n in range(20))
    async with pool("--write-timeout", "2", backends=[["--slots", "4"]]) as (front, _):
        await check_served(front.port)
        before_bytes = front.program.rss_bytes()
        loop = asyncio.get_running_loop()
        with socket.socket() as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            sock.setblocking(False)
            await loop.sock_connect(sock, ("127.0.0.1", front.port))
            reader, writer = await asyncio.open_connection(sock=sock, limit=1024)
            cast(asyncio.Transport, writer.transport).pause_reading()
            line = Talk(reader, writer)
            line.ask(long_words, 1, **endless(8000))
            status = await front.until(lambda status: status.in_flight == 1)
            served = 0
            while status.in_flight:
                await check_served(front.port, "quick one", within_s=SERVED_S)
                served += 1
                assert front.program.rss_bytes() - before_bytes < 24 << 20
                status = await front.status()
            writer.transport.abort()
        assert served >= 3, "they waited until it was cut"
        counts = (await front.until_idle())["counts"]
        assert counts["cancelled"] == 1


async def test_who_reads_slowly_but_steadily_gets_everything() -> None:
    prompt = " ".join(f"{n}" + "y" * 2000 for n in range(20))
    async with pool("--write-timeout", "5") as (front, _), talk(front.port) as connection:
        answer = connection.ask(prompt, 1, **endless(600))
        quick = await ask(front.port, "meanwhile")
        await connection.ended(answer)
        assert answer.text == echoed(prompt, 600) and quick.text == "meanwhile"
