"""Who is alive: frozen backends, a frozen balancer, a killed one, leaving and draining. Faults 7, 9, 14, 16 and 36."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

from tests.e2e.pool import BEAT_S, DEAD_AFTER_S, SLOW_MACHINE_S, Status, backend, balancer, http, pool
from tests.e2e.talk import Answer, ask, check_served, echoed, endless, talk

TICK_S = 0.25
BACKOFF_CAP_S = 5.0


def leases(status: Status) -> dict[str, int]:
    return {backend["name"]: backend["lease"] for backend in status["backends"]}


async def test_frozen_backends_are_out_within_three_missed_beats_and_return_on_the_same_lease() -> None:
    """Fault 7, with five backends at different moments of their beat."""
    names = [f"b{n}" for n in range(5)]
    async with pool(backends=[["--name", name] for name in names]) as (front, backends):
        before = leases(await front.status())

        async def freeze_and_thaw(name: str, after_s: float) -> None:
            program = next(program for program in backends if program.ready["name"] == name)
            await asyncio.sleep(after_s)
            program.freeze()
            try:
                within_s = DEAD_AFTER_S + TICK_S + SLOW_MACHINE_S
                await front.until(lambda status: status.state(name) == "dead", within_s)
            finally:
                program.thaw()
            await front.until(lambda status: status.state(name) == "alive", BEAT_S + SLOW_MACHINE_S)

        await asyncio.gather(*(freeze_and_thaw(name, 0.2 * n) for n, name in enumerate(names)))
        assert leases(await front.status()) == before
        assert front.program.log.count("(registered)") == 5


async def test_a_frozen_backends_exchanges_go_on_elsewhere_at_that_instant() -> None:
    """Fault 7: what had begun is gone on with, what had not is answered by another, and nobody waits for a timer."""
    async with pool("-r", backends=[["--echo-delay-ms", "20", "--name", name] for name in ("a", "b")]) as (front, both):
        frozen = both[0]
        async with talk(front.port) as connection:
            streams = [connection.ask("some words", n, **endless(200)) for n in range(2)]
            await connection.begun(*streams)
            frozen.freeze()
            late = [connection.ask(f"asked late {n}", f"late {n}") for n in range(2)]
            await front.until(lambda status: status.state("a") == "dead", DEAD_AFTER_S + TICK_S + SLOW_MACHINE_S)
            await connection.ended(*late, within_s=SLOW_MACHINE_S)
            assert [answer.text for answer in late] == ["asked late 0", "asked late 1"]
            assert {answer.backend for answer in late} == {"b"}
            await connection.ended(*streams)
            assert [stream.text for stream in streams] == [echoed("some words", 200)] * 2
            assert {stream.backend for stream in streams} == {"b"}
            assert sorted(stream.done["resumed"] for stream in streams if stream.done) == [0, 1]
            frozen.thaw()


async def test_a_frozen_balancer_evicts_nobody() -> None:
    """Fault 9: the silence was its own, and a stream that runs meanwhile is whole."""
    async with pool(backends=[["--echo-delay-ms", "25"]] * 3) as (front, backends):
        before = leases(await front.status())
        async with talk(front.port) as connection:
            stream = connection.ask("slow but sure", **endless(160))
            await connection.begun(stream)
            front.program.freeze()
            await asyncio.sleep(5.0)  # the fault itself: longer than three missed beats
            front.program.thaw()
            thawed_at = asyncio.get_running_loop().time()
            while asyncio.get_running_loop().time() < thawed_at + BEAT_S + 2 * TICK_S:
                status = await front.status()
                assert len(status["backends"]) == 3 and "dead" not in str(status["backends"])
            await connection.ended(stream)
        assert stream.text == echoed("slow but sure", 160)
        after = await front.until_alive(*backends)
        assert leases(after) == before
        assert "-> dead" not in front.program.log and "-> gone" not in front.program.log


async def test_a_killed_balancer_finds_its_backends_again() -> None:
    """Fault 36: back on the same port, they are in service within a beat and the backoff they had come to."""
    async with AsyncExitStack() as stack:
        loop = asyncio.get_running_loop()
        async with balancer() as first:
            backends = [await stack.enter_async_context(backend(first.port)) for _ in range(2)]
            await first.until_alive(*backends)
            port = first.port
            await first.program.kill()
        killed_at = loop.time()
        async with balancer(port=port) as second:
            ready_at = loop.time()
            backoff_s = min(2 * (ready_at - killed_at) + 0.1, BACKOFF_CAP_S)
            await second.until_alive(*backends, within_s=BEAT_S + backoff_s + SLOW_MACHINE_S)
            await check_served(port)


async def test_a_backend_that_is_told_to_stop_finishes_its_streams_and_gets_nothing_new() -> None:
    """Fault 16: twenty streams of twenty."""
    leaving = ["--name", "leaving", "--slots", "20", "--echo-delay-ms", "40"]
    async with pool(backends=[leaving, ["--name", "staying"]]) as (front, (program, _)):
        await front.drain("staying")
        async with talk(front.port) as connection:
            streams = [connection.ask(f"stream {n}", n, **endless(75)) for n in range(20)]
            await connection.begun(*streams)
            await front.drain("staying", undo=True)
            program.terminate()
            await front.until(lambda status: status.state("leaving") == "draining")
            new = [await ask(front.port, f"new {n}") for n in range(8)]
            assert {answer.backend for answer in new} == {"staying"}
            await connection.ended(*streams)
        assert [stream.text for stream in streams] == [echoed(f"stream {n}", 75) for n in range(20)]
        assert {stream.backend for stream in streams} == {"leaving"}
        assert await program.exited() == 0
        status = await front.until(lambda status: status.state("leaving") is None)
        assert status.idle


async def test_an_operator_drains_a_backend_and_takes_it_back() -> None:
    async with pool("-r", backends=[["--name", name, "--echo-delay-ms", "20"] for name in ("a", "b")]) as (front, _):
        async with talk(front.port) as connection:
            streams = [connection.ask("a b", n, **endless(60)) for n in range(2)]
            await connection.begun(*streams)
            await front.drain("a")
            assert (await front.status()).state("a") == "draining"
            assert {(await ask(front.port, f"x {n}")).backend for n in range(4)} == {"b"}
            await connection.ended(*streams)
        assert {stream.backend for stream in streams} == {"a", "b"}
        await front.drain("a", undo=True)
        await front.until(lambda status: len(status.alive) == 2)
        assert {(await ask(front.port, f"x {n}")).backend for n in range(4)} == {"a", "b"}
        unknown = await http(front.admin_port, "POST", "/drain/nobody")
        assert unknown.status == 404


async def test_with_every_backend_drained_a_request_is_refused_and_not_lost() -> None:
    async with pool(backends=[["--name", "only"]]) as (front, _):
        await front.drain("only")
        answer = await ask(front.port, "hello")
        assert answer.code == "no_backend" and answer.error is not None and answer.error["retry_after_s"] > 0


async def test_without_backends_the_answer_is_an_error_at_once() -> None:
    """Fault 14: structured, with a time to try again, at once: the best of a few, as the machine is shared."""
    async with balancer() as front:
        loop = asyncio.get_running_loop()
        times_s = []
        for _ in range(10):
            began = loop.time()
            answer = await ask(front.port, "anybody?")
            times_s.append(loop.time() - began)
            assert answer.error is not None
            assert answer.error["code"] == "no_backend" and answer.error["type"] == "server_error"
            assert 0 < answer.error["retry_after_s"] <= 120
        assert min(times_s) < 5 * 0.05
        assert (await http(front.port, "GET", "/livez")).status == 200


async def test_a_killed_backend_is_out_at_once_and_comes_back_as_itself() -> None:
    async with pool(backends=[["--name", "phoenix"]]) as (front, (program,)):
        await program.kill()
        await front.until(lambda status: status.state("phoenix") is None, SLOW_MACHINE_S)
        port = int(program.ready["port"])
        async with backend(front.port, "--name", "phoenix", port=port) as again:
            status = await front.until_alive(again)
            assert len(status["backends"]) == 1
            await check_served(front.port)


async def test_a_kill_in_mid_stream_breaks_no_stream() -> None:
    """Fault 18: the other backend goes on; nothing is lost and nothing said twice."""
    slots_for_all = [["--echo-delay-ms", "20", "--slots", "8"]] * 2
    async with pool(backends=slots_for_all) as (front, backends), talk(front.port) as connection:
        streams = [connection.ask(f"stream {n}", n, **endless(120)) for n in range(8)]
        await connection.begun(*streams)
        await backends[0].kill()
        await connection.ended(*streams)
        check_all_whole(streams)
        await front.until_idle()


def check_all_whole(streams: list[Answer]) -> None:
    assert [stream.text for stream in streams] == [echoed(f"stream {n}", 120) for n in range(8)]
    assert [stream.error for stream in streams] == [None] * 8
    assert sum(stream.done["resumed"] for stream in streams if stream.done) == 4
