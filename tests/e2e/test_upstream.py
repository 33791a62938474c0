"""Servers that do not register: ``--upstream URL``, watched from outside."""

from __future__ import annotations

from tests.e2e.pool import SLOW_MACHINE_S, backend, balancer
from tests.e2e.talk import ask, check_served

PROBES_S = 3 * 2.0 + 2.0 + SLOW_MACHINE_S
"""Out after three failures two seconds apart, plus the one that is under way."""


async def test_an_upstream_goes_down_and_comes_back() -> None:
    async with backend(None) as program:
        port = int(program.ready["port"])
        name = f"127.0.0.1:{port}"
        async with balancer("--upstream", f"http://127.0.0.1:{port}") as front:
            status = await front.until(lambda status: status.state(name) == "alive")
            assert (status["backends"][0]["kind"], status["backends"][0]["models"]) == ("upstream", ["echo"])
            await check_served(front.port)
            await program.kill()
            refused = await ask(front.port, "anybody?")
            assert refused.code in ("backend_unreachable", "backend_failed", "no_backend")
            await front.until(lambda status: status.state(name) in ("suspect", "dead"), PROBES_S)
            async with backend(None, port=port):
                await front.until(lambda status: status.state(name) == "alive", PROBES_S)
                await check_served(front.port)


async def test_upstreams_and_registered_backends_share_one_pool() -> None:
    async with backend(None, "--slots", "4") as outside:
        url = outside.ready["url"]
        async with balancer("-r", "--upstream", f"{url}/v1") as front, backend(front.port) as inside:
            await front.until(lambda status: len(status.alive) == 2)
            answers = [await ask(front.port, f"q {n}") for n in range(6)]
            assert [answer.text for answer in answers] == [f"q {n}" for n in range(6)]
            names = {answer.backend for answer in answers}
            assert names == {f"127.0.0.1:{outside.ready['port']}", inside.ready["name"]}


async def test_an_upstream_that_is_not_there_does_not_keep_the_daemon_from_starting() -> None:
    async with balancer("--upstream", "http://127.0.0.1:9") as front:
        answer = await ask(front.port, "anybody?")
        assert answer.code == "no_backend"
