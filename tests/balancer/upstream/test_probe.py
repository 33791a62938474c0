from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from balancer.doors.tls import server_context
from balancer.pool.load import Load
from balancer.upstream import probe
from balancer.upstream.connection import ConnectionPool
from balancer.upstream.probe import Prober
from balancer.upstream.resolve import resolved
from balancer.upstream.spec import parse_upstream
from balancer.wire.engine_metrics import KV_TOKENS_ASSUMED
from tests.balancer.upstream.engine import Engine, Visit
from tests.balancer.upstream.probing import MODELS, Watcher, healthy, paths, probing
from tests.certificates import make_certificate, needs_openssl


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "PROBE_INTERVAL_S", 0.01)


async def test_models_are_learned_first_then_health_is_asked() -> None:
    async with Engine(healthy).running() as engine, probing(engine) as watcher:
        await watcher.heard(4)
        assert watcher.verdicts == [True] * len(watcher.verdicts)
        assert [listing.models for listing in watcher.listings] == [{"m": 2048, "k": None}], "asked once for them"
        assert paths(engine)[:5] == ["/v1/models", "/metrics", "/health", "/health", "/health"]


async def test_an_engine_without_a_health_path_is_asked_for_its_models() -> None:
    async def no_health(v: Visit) -> None:
        await (v.plain(200, MODELS) if b"/v1/models" in v.head else v.plain(404, b"{}"))

    async with Engine(no_health).running() as engine, probing(engine) as watcher:
        await watcher.heard(5)
        assert all(watcher.verdicts)
        assert paths(engine)[:5] == ["/v1/models", "/metrics", "/health", "/v1/models", "/v1/models"]


async def test_an_engine_whose_health_check_generates_a_token_is_asked_for_its_models() -> None:
    async def sglang(v: Visit) -> None:
        models = b'{"data":[{"id":"m","owned_by":"sglang"}]}'
        await (v.plain(200, models) if b"/v1/models" in v.head else v.plain(404, b"{}"))

    async with Engine(sglang).running() as engine, probing(engine) as watcher:
        await watcher.heard(5)
        assert all(watcher.verdicts) and "/health" not in paths(engine)


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
        assert watcher.listings == []


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

    async with Engine(healthy, healthy, ill, ill, healthy).running() as engine, probing(engine) as watcher:
        await watcher.heard(4)
        assert watcher.verdicts[:4] == [True, False, False, True]
        assert len(watcher.listings) == 2, "whoever came back may be another engine"


@contextlib.asynccontextmanager
async def provider(url: str) -> AsyncIterator[Watcher]:
    """Probing one over HTTPS."""
    watcher, pool = Watcher(), ConnectionPool()
    task = asyncio.ensure_future(
        Prober(await resolved(parse_upstream(url)), pool, watcher.listed, watcher.probed).run()
    )
    try:
        yield watcher
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        pool.close()


async def test_a_provider_over_tls_is_asked_seldom_once_its_models_are_known() -> None:
    async with provider("https://127.0.0.1:9/v1;model=m") as watcher:
        await watcher.heard(1)
        await asyncio.sleep(0.1)  # ten intervals of those that are probed
        assert len(watcher.verdicts) == 1


async def test_a_provider_over_tls_that_may_be_starting_is_asked_again_soon() -> None:
    async with provider("https://127.0.0.1:9/v1") as watcher:
        await watcher.heard(3)


@needs_openssl
@pytest.mark.parametrize("answer", [(200, MODELS), (401, b"{}"), (404, b"{}"), (429, b"{}")])
async def test_a_provider_over_tls_that_has_answered_is_not_asked_again_soon(
    answer: tuple[int, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate = make_certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate.chain))
    context = server_context(certificate.chain, certificate.key)

    async def answers(v: Visit) -> None:
        await v.plain(*answer)

    async with Engine(answers).running(context) as engine, provider(f"https://localhost:{engine.port}") as watcher:
        await watcher.heard(1)
        await asyncio.sleep(0.1)
        assert watcher.verdicts == [answer[0] == 200]


VLLM = b"""# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{model_name="m"} 3.0
vllm:num_requests_waiting{model_name="m"} 2.0
vllm:kv_cache_usage_perc{model_name="m"} 0.25
"""


async def test_the_load_is_read_from_the_engines_metrics_at_every_probe() -> None:
    async def vllm(v: Visit) -> None:
        if b"/metrics" in v.head:
            await v.plain(200, VLLM, kind=b"text/plain; version=0.0.4")
        else:
            await healthy(v)

    async with Engine(vllm).running() as engine, probing(engine) as watcher:
        await watcher.heard(3)
        expected = Load(running=3, waiting=2, kv_tokens_used=KV_TOKENS_ASSUMED // 4, kv_tokens_total=KV_TOKENS_ASSUMED)
        assert watcher.loads[:3] == [expected] * 3


async def test_how_much_the_cache_holds_is_told_on_in_tokens() -> None:
    async def vllm(v: Visit) -> None:
        if b"/metrics" in v.head:
            size = b'vllm:cache_config_info{block_size="16",num_gpu_blocks="1000"} 1.0\n'
            await v.plain(200, VLLM + size, kind=b"text/plain; version=0.0.4")
        else:
            await healthy(v)

    async with Engine(vllm).running() as engine, probing(engine) as watcher:
        await watcher.heard(1)
        load = watcher.loads[0]
        assert load is not None and (load.kv_tokens_used, load.kv_tokens_total) == (4000, 16_000)


@pytest.mark.parametrize("metrics", [b"# nothing we know\nprocess_open_fds 3\n", b"\xff\xfe{}", b"x" * (5 << 20)])
async def test_metrics_that_tell_no_load_are_asked_for_once(metrics: bytes) -> None:
    async def other(v: Visit) -> None:
        await (v.plain(200, metrics, kind=b"text/plain") if b"/metrics" in v.head else healthy(v))

    async with Engine(other).running() as engine, probing(engine) as watcher:
        await watcher.heard(4)
        assert all(watcher.verdicts) and not any(watcher.loads)
        assert paths(engine).count("/metrics") == 1


@pytest.mark.parametrize("how", ["reset", "silent", "500"])
async def test_metrics_that_fail_say_nothing_of_the_engines_health(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if how == "silent":
        monkeypatch.setattr(probe, "PROBE_TIMEOUT_S", 0.5)

    async def moody(v: Visit) -> None:
        if b"/metrics" not in v.head:
            await healthy(v)
        elif how == "reset":
            v.reset()
        elif how == "500":
            await v.plain(500, b"")
        else:
            await v.left()

    async with Engine(moody).running() as engine, probing(engine) as watcher:
        await watcher.heard(3)
        assert all(watcher.verdicts)
        assert paths(engine).count("/metrics") >= 2, "the next round may be better"


async def test_a_probe_in_vain_says_nothing_while_tokens_come(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "PROBE_TIMEOUT_S", 0.02)
    asked, streams = asyncio.Event(), True

    async def silent(v: Visit) -> None:
        if engine.visits[3:]:
            asked.set()
        await asyncio.Event().wait()

    async with Engine(silent).running() as engine:
        watcher, pool = Watcher(), ConnectionPool()
        spec = await resolved(parse_upstream(f"http://127.0.0.1:{engine.port}"))
        prober = Prober(spec, pool, watcher.listed, watcher.probed, lambda since: streams)
        task = asyncio.ensure_future(prober.run())
        async with asyncio.timeout(10):
            await asked.wait()
        assert watcher.verdicts == [] and prober.trouble is None
        streams = False
        await watcher.heard(1)
        assert watcher.verdicts[0] is False
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        pool.close()


async def test_a_probe_in_vain_says_nothing_where_this_process_was_late(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "PROBE_TIMEOUT_S", 0.02)
    monkeypatch.setattr(probe, "LATE_S", 0.05)

    async def stalls(v: Visit) -> None:
        if len(engine.visits) == 1:
            ends_at = asyncio.get_running_loop().time() + 0.2
            while asyncio.get_running_loop().time() < ends_at:
                pass  # the loop that both sides share
        await asyncio.Event().wait()

    async with Engine(stalls).running() as engine, probing(engine) as watcher:
        await watcher.heard(1)
        assert len(engine.visits) >= 2, "the first was not counted"
