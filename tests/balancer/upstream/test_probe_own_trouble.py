"""Probes that fail on this side."""

from __future__ import annotations

import asyncio
import logging

import pytest

from balancer.upstream import probe
from balancer.upstream.connection import ConnectionPool
from balancer.upstream.probe import Prober
from balancer.upstream.resolve import resolved
from balancer.upstream.spec import parse_upstream
from balancer.wire.model_list import Listing
from tests.balancer.upstream.descriptors import none_left
from tests.balancer.upstream.engine import Engine, a_closed_port
from tests.balancer.upstream.probing import Watcher, healthy


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "PROBE_INTERVAL_S", 0.01)


async def test_a_probe_for_which_this_process_has_no_descriptor_says_nothing_of_the_engine(
    caplog: pytest.LogCaptureFixture,
) -> None:
    watcher = Watcher()
    spec = await resolved(parse_upstream(f"http://127.0.0.1:{await a_closed_port()}"))
    prober = Prober(spec, ConnectionPool(), watcher.listed, watcher.probed)
    with none_left(), caplog.at_level(logging.DEBUG, "balancer.upstream"):
        task = asyncio.ensure_future(prober.run())
        async with asyncio.timeout(10):
            while caplog.text.count("came to nothing") < 4:
                await asyncio.sleep(0.002)
    assert watcher.verdicts == [] and prober.trouble is None
    await watcher.heard(1)
    assert watcher.verdicts[0] is False
    task.cancel()


async def test_whatever_goes_wrong_here_it_is_probed_again(caplog: pytest.LogCaptureFixture) -> None:
    class Surprised(Watcher):
        def listed(self, listing: Listing) -> None:
            super().listed(listing)
            if len(self.listings) < 4:
                raise RuntimeError("what now?")

    watcher, pool = Surprised(), ConnectionPool()
    async with Engine(healthy).running() as engine:
        spec = await resolved(parse_upstream(f"http://127.0.0.1:{engine.port}"))
        prober = Prober(spec, pool, watcher.listed, watcher.probed)
        task = asyncio.ensure_future(prober.run())
        await watcher.heard(1)
        assert watcher.verdicts == [True] and len(watcher.listings) >= 4
        assert caplog.text.count("Traceback") == 1, "the same trouble is told once"
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        pool.close()
