from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

import pytest

from balancer import tasks
from balancer.errors import ConfigError
from balancer.pool.backend import State
from balancer.pool.detector import PROBED
from balancer.pool.registry import Registry
from balancer.pool.transition import Transition
from balancer.upstream import probe
from balancer.upstream.connection import ConnectionPool
from balancer.upstream.watch import Watch
from tests.balancer.upstream.engine import Engine, Visit

MODELS = b'{"data":[{"id":"m"}]}'


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "PROBE_INTERVAL_S", 0.01)


class Pool:
    """A registry watched over, and its transitions."""

    def __init__(self) -> None:
        self.registry = Registry()
        self.seen: list[Transition] = []
        self.connections = ConnectionPool()
        self.watch = Watch(self.registry, self.connections, asyncio.get_running_loop(), self.apply, PROBED)

    def apply(self, transitions: Iterable[Transition]) -> None:
        self.seen += transitions

    def state(self, name: str) -> State | None:
        backend = self.registry.view.named(name)
        return backend.state if backend is not None else None

    async def until(self, right: Callable[[], bool]) -> None:
        async with asyncio.timeout(10):
            while not right():
                await asyncio.sleep(0.002)

    async def close(self) -> None:
        await tasks.cancel_all()
        self.connections.close()


async def test_an_upstream_is_alive_once_it_answers_and_offers_what_it_says() -> None:
    async def healthy(v: Visit) -> None:
        await v.plain(200, MODELS if b"models" in v.head else b"{}")

    async with Engine(healthy).running() as engine:
        pool, name = Pool(), f"127.0.0.1:{engine.port}"
        await pool.watch.add(f"http://{name}")
        assert pool.state(name) is State.JOINING
        await pool.until(lambda: pool.state(name) is State.ALIVE)
        assert set(pool.registry.view.models()) == {"m"}
        await pool.close()


async def test_three_failures_in_a_row_put_it_out_and_one_answer_brings_it_back() -> None:
    ill = False

    async def moody(v: Visit) -> None:
        await (v.plain(500, b"{}") if ill else v.plain(200, MODELS))

    async with Engine(moody).running() as engine:
        pool, name = Pool(), f"127.0.0.1:{engine.port}"
        await pool.watch.add(f"http://{name}")
        await pool.until(lambda: pool.state(name) is State.ALIVE)
        ill = True
        await pool.until(lambda: pool.state(name) is State.DEAD)
        assert any(t.ends_exchanges for t in pool.seen)
        ill = False
        await pool.until(lambda: pool.state(name) is State.ALIVE)
        await pool.close()


async def test_a_provider_over_tls_is_believed_alive_and_judged_by_its_answers_alone() -> None:
    pool = Pool()
    await pool.watch.add("https://127.0.0.1:9/v1")
    await asyncio.sleep(0.1)
    assert pool.state("127.0.0.1:9") is State.ALIVE
    await pool.close()


async def test_two_paths_of_one_server_are_two_backends() -> None:
    pool = Pool()
    await pool.watch.add("http://127.0.0.1:9/one")
    await pool.watch.add("http://127.0.0.1:9/two")
    assert {member.spec.name for member in pool.registry.members()} == {"127.0.0.1:9/one", "127.0.0.1:9/two"}
    await pool.close()


async def test_a_url_that_leads_nowhere_is_a_config_error_that_names_it() -> None:
    pool = Pool()
    with pytest.raises(ConfigError, match="ftp://x"):
        await pool.watch.add("ftp://x")
    await pool.close()
