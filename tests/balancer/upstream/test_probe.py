from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from balancer.pool.backend import BackendSpec
from balancer.upstream import probe
from balancer.upstream.connection import ConnectionPool
from balancer.upstream.probe import Prober, upstream_spec
from tests.balancer.upstream.engine import Engine, Visit

MODELS = b'{"data":[{"id":"m","max_model_len":2048},{"id":"k"}]}'


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "PROBE_INTERVAL_S", 0.01)


class Watcher:
    def __init__(self) -> None:
        self.offers: list[BackendSpec] = []
        self.verdicts: list[bool] = []
        self.changed = asyncio.Event()

    def offer(self, spec: BackendSpec) -> None:
        self.offers.append(spec)

    def verdict(self, healthy: bool) -> None:
        self.verdicts.append(healthy)
        self.changed.set()

    async def heard(self, count: int) -> None:
        async with asyncio.timeout(10):
            while len(self.verdicts) < count:
                self.changed.clear()
                await self.changed.wait()


@contextlib.asynccontextmanager
async def probing(engine: Engine, *, pool: ConnectionPool | None = None) -> AsyncIterator[Watcher]:
    watcher, pool = Watcher(), pool or ConnectionPool()
    spec = await upstream_spec(f"http://127.0.0.1:{engine.port}")
    task = asyncio.ensure_future(Prober(spec, pool, watcher.offer, watcher.verdict).run())
    try:
        yield watcher
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        pool.close()


def paths(engine: Engine) -> list[str]:
    return [visit.head.split()[1].decode() for visit in engine.visits]


async def healthy(v: Visit) -> None:
    await v.plain(200, MODELS if b"/v1/models" in v.head else b"{}")


async def test_models_are_learned_first_then_health_is_asked() -> None:
    async with Engine(healthy).running() as engine, probing(engine) as watcher:
        await watcher.heard(4)
        assert watcher.verdicts == [True] * len(watcher.verdicts)
        assert [(model.name, model.context_length) for model in watcher.offers[0].models] == [("k", None), ("m", 2048)]
        assert len(watcher.offers) == 1, "told once, not at every probe"
        assert paths(engine)[:4] == ["/v1/models", "/health", "/health", "/health"]


async def test_an_engine_without_a_health_path_is_asked_for_its_models() -> None:
    async def no_health(v: Visit) -> None:
        await (v.plain(200, MODELS) if b"/v1/models" in v.head else v.plain(404, b"{}"))

    async with Engine(no_health).running() as engine, probing(engine) as watcher:
        await watcher.heard(5)
        assert all(watcher.verdicts)
        assert paths(engine)[:5] == ["/v1/models", "/health", "/v1/models", "/v1/models", "/v1/models"]


@pytest.mark.parametrize("how", ["500", "html", "reset", "junk"])
async def test_an_engine_that_answers_wrongly_is_not_healthy(how: str) -> None:
    async def wrong(v: Visit) -> None:
        match how:
            case "500":
                await v.plain(500, b"{}")
            case "html":
                await v.plain(200, b"<html>", kind=b"text/html")
            case "reset":
                v.reset()
            case _:
                await v.send(b"junk\r\n\r\n")

    async with Engine(wrong).running() as engine, probing(engine) as watcher:
        await watcher.heard(3)
        assert not any(watcher.verdicts)
        assert watcher.offers == []


async def test_silence_is_a_failure_after_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "PROBE_TIMEOUT_S", 0.05)

    async def silent(v: Visit) -> None:
        await v.left()

    async with Engine(silent).running() as engine, probing(engine) as watcher:
        await watcher.heard(2)
        assert not any(watcher.verdicts)


async def test_a_kept_connection_that_had_died_says_nothing_of_the_engines_health() -> None:
    async def short_lived(v: Visit) -> None:
        await healthy(v)
        await v.reader.readexactly(1)
        v.reset()

    async with Engine(short_lived).running() as engine, probing(engine) as watcher:
        await watcher.heard(5)
        assert all(watcher.verdicts)
        assert engine.connections >= 4


async def test_an_engine_that_comes_back_is_healthy_again() -> None:
    async def ill(v: Visit) -> None:
        await v.plain(500, b"{}")

    async with Engine(healthy, ill, ill, healthy).running() as engine, probing(engine) as watcher:
        await watcher.heard(4)
        assert watcher.verdicts[:4] == [True, False, False, True]


async def test_a_provider_over_tls_is_asked_for_its_models_only(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = await upstream_spec("https://127.0.0.1:9/v1")
    watcher = Watcher()
    task = asyncio.ensure_future(Prober(spec, ConnectionPool(), watcher.offer, watcher.verdict).run())
    await watcher.heard(1)
    await asyncio.sleep(0.1)  # ten intervals of those that are probed
    assert len(watcher.verdicts) == 1
    task.cancel()


async def test_a_url_becomes_a_spec() -> None:
    spec = await upstream_spec("http://127.0.0.1:8000/deep/v1/")
    assert (spec.name, spec.host, spec.port) == ("127.0.0.1:8000/deep", "127.0.0.1", 8000)
    assert (spec.path_prefix, spec.host_header, spec.kind) == ("/deep", "127.0.0.1:8000", "upstream")
    assert (await upstream_spec("https://127.0.0.1")).port == 443


@pytest.mark.parametrize(
    "url",
    [
        "127.0.0.1:8000",
        "ftp://127.0.0.1",
        "http://",
        "http://127.0.0.1:99999",
        "http://127.0.0.1/?q=1",
        "http://user:secret@127.0.0.1:8000",
        "http://127.0.0.1:8000/with space",
        "unix:///run/engine.sock",
    ],
)
async def test_what_is_no_url_of_an_engine_is_refused(url: str) -> None:
    with pytest.raises(ValueError) as raised:
        await upstream_spec(url)
    assert "secret" not in str(raised.value)
