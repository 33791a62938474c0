"""The fakes are what the protocols ask for, and so are the real things: what a test shows holds for the daemon."""

from __future__ import annotations

import asyncio

from balancer.adapters.embedder.process import Embedder as EmbedderProcess
from balancer.exchange.exchange import Exchange
from balancer.exchange.ports import Call, Clock, Embedder, Receiver, Sink, Upstream
from balancer.upstream.classic import ClassicCall, ClassicUpstream
from balancer.upstream.http import HttpCall, HttpUpstream
from tests.fake_embedder import FakeEmbedder
from tests.fakes import FakeCall, FakeClock, RecordingSink, ScriptedUpstream


def methods(protocol: type) -> set[str]:
    return {name for name in vars(protocol) if not name.startswith("_") and callable(getattr(protocol, name))}


def check_has(port: type, *kinds: type) -> None:
    for kind in kinds:
        missing = {name for name in methods(port) if not hasattr(kind, name)}
        assert not missing, f"{kind.__name__} lacks {missing} of {port.__name__}"


def test_fakes_and_real_things_fit_the_same_ports() -> None:
    check_has(Upstream, HttpUpstream, ClassicUpstream, ScriptedUpstream)
    check_has(Call, HttpCall, ClassicCall, FakeCall)
    check_has(Receiver, Exchange)
    check_has(Sink, RecordingSink)
    check_has(Embedder, EmbedderProcess, FakeEmbedder)
    check_has(Clock, FakeClock, asyncio.AbstractEventLoop)
