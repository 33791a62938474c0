from __future__ import annotations

from random import Random

from backend.agent.agent import Agent
from backend.engines.base import EngineLoad
from tests.backend.agent.test_identity import identity
from tests.backend.fakes import FakeBalancer


def agent_of(*balancers: FakeBalancer) -> Agent:
    places = [("127.0.0.1", balancer.port) for balancer in balancers]
    return Agent(places, identity(None), token=b"", load=EngineLoad, rng=Random(1))


async def test_every_balancer_is_registered_with_and_left() -> None:
    async with FakeBalancer() as one, FakeBalancer() as two:
        agent = agent_of(one, two)
        assert not agent.is_registered
        agent.start()
        await one.until(lambda: bool(one.beats))
        await two.until(lambda: bool(two.beats))
        assert agent.is_registered
        await agent.close()
        await one.until(lambda: ("leave", {}) in one.told)
        await two.until(lambda: ("leave", {}) in two.told)
        assert not agent.is_registered


async def test_a_balancer_that_is_down_does_not_keep_from_the_other() -> None:
    down = FakeBalancer()
    await down.start()
    await down.stop()
    async with FakeBalancer() as up:
        agent = agent_of(down, up)
        agent.start()
        await up.until(lambda: bool(up.beats))
        agent.drain()
        await up.until(lambda: up.beats[-1][1].draining)
        await agent.close()


async def test_without_balancers_there_is_nothing_to_do() -> None:
    agent = agent_of()
    agent.start()
    agent.drain()
    await agent.close()
    assert not agent.is_registered
