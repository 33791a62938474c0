"""Upstreams whose address or place in the pool is another one's by now."""

from __future__ import annotations

import asyncio

import pytest

from balancer.pool.backend import State
from balancer.pool.transition import Registered
from balancer.upstream import probe
from tests.balancer.pool.specs import a_spec
from tests.balancer.upstream.engine import Engine, Visit
from tests.balancer.upstream.names import Names
from tests.balancer.upstream.watching import MODELS, Pool


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "PROBE_INTERVAL_S", 0.01)


async def moved(pool: Pool, names: Names, name: str, *addresses: str) -> None:
    """Its name stands for these from now on, and is looked up."""
    names.addresses["gpu"] = addresses
    found = pool.watch._watched.get(name) or pool.watch._leaving[name]
    found._look_at = 0.0
    found._look_again()
    assert found._look is not None
    await found._look


async def test_one_whose_name_moves_is_served_there_and_its_streams_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    names, pool = Names(monkeypatch, gpu=["127.0.0.1"]), Pool()
    name = await pool.add("https://gpu:9;model=m")
    lease, pumps = pool.lease(name), pool.pumps
    await moved(pool, names, name, "127.0.0.2")
    backend = pool.registry.named(name)
    assert backend is not None and (backend.spec.host, backend.state) == ("127.0.0.2", State.ALIVE)
    assert not pool.broken() and pool.registry.ledger.in_flight[backend.index] == 0
    assert pool.pumps > pumps and set(pool.registry.view.models()) == {"m"}
    lease.release()
    assert pool.registry.ledger.total_in_flight() == 0
    await moved(pool, names, name, "127.0.0.1")
    assert pool.state(name) is State.ALIVE, "where it was before"
    pool.watch.remove(name)
    assert pool.names() == set()
    await pool.close()


async def test_one_that_is_drained_stays_so_wherever_it_moves(monkeypatch: pytest.MonkeyPatch) -> None:
    names, pool = Names(monkeypatch, gpu=["127.0.0.1"]), Pool()
    name = await pool.add("https://gpu:9;model=m")
    pool.apply(pool.registry.drain(name, 0.0))
    await moved(pool, names, name, "127.0.0.2")
    assert pool.state(name) is State.DRAINING
    pool.registry.undrain(name, 0.0)
    assert pool.state(name) is State.ALIVE
    await pool.close()


async def test_one_that_is_removed_may_move_while_its_streams_end(monkeypatch: pytest.MonkeyPatch) -> None:
    names, pool = Names(monkeypatch, gpu=["127.0.0.1"]), Pool()
    name = await pool.add("https://gpu:9;model=m")
    lease = pool.lease(name)
    pool.watch.remove(name)
    await moved(pool, names, name, "127.0.0.2")
    pool.tick()
    lease.release()
    assert pool.names() == set() and not pool.broken()
    await pool.close()


async def test_an_upstream_comes_back_when_the_agent_that_took_its_name_has_left() -> None:
    async def moody(v: Visit) -> None:
        await (v.plain(500, b"{}") if ill else v.plain(200, MODELS))

    ill = False
    async with Engine(moody).running() as engine:
        pool, now = Pool(), asyncio.get_running_loop().time
        await pool.add(f"http://127.0.0.1:{engine.port};name=gpu")
        await pool.until(lambda: pool.state("gpu") is State.ALIVE)
        ill = True
        await pool.until(lambda: pool.state("gpu") is State.DEAD)
        agent = pool.registry.register(a_spec("gpu"), now() + 31.0)
        assert isinstance(agent, Registered)
        ill, asked = False, len(engine.visits)
        await pool.until(lambda: len(engine.visits) > asked + 3)
        taken = pool.registry.named("gpu")
        assert taken is not None and taken.spec.kind == "native"
        pool.registry.leave(agent.lease_id, now())
        await pool.until(lambda: pool.state("gpu") is State.ALIVE)
        found = pool.registry.named("gpu")
        assert found is not None and found.spec.kind == "upstream" and set(pool.registry.view.models()) == {"m"}
        await pool.close()
