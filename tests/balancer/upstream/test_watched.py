from __future__ import annotations

import logging

import pytest

from balancer import tasks
from balancer.errors import ConfigError
from balancer.pool.backend import BackendSpec, ModelInfo
from balancer.pool.load import Load
from balancer.pool.registry import Registry
from balancer.pool.transition import Registered
from balancer.upstream.connection import ConnectionPool
from balancer.upstream.resolve import resolved
from balancer.upstream.spec import parse_upstream, with_key
from balancer.upstream.watched import Watched
from balancer.wire.model_list import Listing
from tests.balancer.pool.specs import a_spec
from tests.balancer.upstream.names import Names

URL = "http://127.0.0.1:9"


class Desk:
    """Takes registrations into a real registry."""

    def __init__(self) -> None:
        self.connections = ConnectionPool()
        self.registry = Registry()
        self.specs: list[BackendSpec] = []
        self.verdicts: list[tuple[int, bool]] = []
        self.ends = 0

    def register(self, spec: BackendSpec, lease_id: int = 0) -> int:
        if (member := self.registry.member(lease_id)) is not None and member.spec.address != spec.address:
            self.registry.leave(lease_id, 0.0)
        found = self.registry.register(spec, 0.0)
        if not isinstance(found, Registered):
            raise ConfigError(found.message)
        self.specs.append(spec)
        self.ends += sum(transition.ends_exchanges for transition in found.transitions)
        return found.lease_id

    def lost(self, name: str, lease_id: int) -> bool:
        return self.registry.member(lease_id) is None

    def probed(self, spec: BackendSpec, lease_id: int, healthy: bool, load: Load | None) -> None:
        self.verdicts.append((lease_id, healthy))


async def watched(desk: Desk, options: str = "") -> Watched:
    upstream = parse_upstream(URL + options)
    return Watched(desk, upstream, await resolved(upstream), instance="one")


async def test_what_it_lists_is_offered_and_its_engine_known() -> None:
    desk = Desk()
    found = await watched(desk)
    found._listed(Listing({"m": 2048, "k": None}, "vllm"))
    assert desk.specs[-1].models == (ModelInfo("k"), ModelInfo("m", 2048))
    assert desk.specs[-1].engine == "vllm" and "continue_final_message" in desk.specs[-1].abilities
    found._listed(Listing({"k": None, "m": 2048}, "vllm"))
    assert len(desk.specs) == 2, "nothing new"


async def test_other_models_break_no_stream_and_keep_its_lease_counted() -> None:
    desk = Desk()
    found = await watched(desk)
    found._listed(Listing({"m": None}, ""))
    member = desk.registry.member(found.lease_id)
    assert member is not None
    lease = desk.registry.ledger.lease(member.index)
    found._listed(Listing({"n": None}, ""))
    assert set(desk.registry.view.models()) == {"n"}
    assert desk.ends == 0 and lease.current and desk.registry.ledger.in_flight[member.index] == 1


async def test_named_models_hide_the_others_and_keep_their_lengths() -> None:
    desk = Desk()
    found = await watched(desk, ";model=m,late")
    assert desk.specs[-1].models == (ModelInfo("late"), ModelInfo("m")), "before it was asked"
    found._listed(Listing({"m": 2048, "k": None}, ""))
    assert desk.specs[-1].models == (ModelInfo("late"), ModelInfo("m", 2048))
    found.change(parse_upstream(URL))
    assert desk.specs[-1].models == (ModelInfo("k"), ModelInfo("m", 2048)), "without asking again"


async def test_other_options_are_taken_over_by_its_probes_too() -> None:
    desk = Desk()
    found = await watched(desk)
    found.change(with_key(parse_upstream(URL + ";slots=2;weight=3;label.zone=a;key-env=K"), {"K": "sk-1"}))
    spec = desk.specs[-1]
    assert (spec.slots, spec.weight, spec.labels, spec.authorization) == (2, 3.0, (("zone", "a"),), "Bearer sk-1")
    assert found._prober.spec is spec and spec.instance == "one"


async def test_it_is_probed_from_its_start_to_its_stop() -> None:
    desk = Desk()
    found = await watched(desk)
    found.start()
    assert found._task is not None and not found._task.done()
    found.stop()
    await tasks.cancel_all()
    assert found._task.cancelled()


async def test_one_that_lost_its_name_has_it_again_once_that_is_free(caplog: pytest.LogCaptureFixture) -> None:
    desk = Desk()
    found = await watched(desk, ";name=gpu")
    desk.registry.leave(found.lease_id, 0.0)
    rival = desk.registry.register(a_spec("gpu"), 0.0)
    assert isinstance(rival, Registered)
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            found._probed(True, None)
    assert desk.registry.member(found.lease_id) is None
    assert len(caplog.records) == 1 and "belongs to" in caplog.text
    desk.registry.leave(rival.lease_id, 0.0)
    found._probed(False, None)
    assert desk.registry.member(found.lease_id) is None, "nobody is there"
    found._probed(True, None)
    member = desk.registry.named("gpu")
    assert member is not None and member.lease_id == found.lease_id == desk.verdicts[-1][0]


async def test_what_a_reload_says_of_one_without_its_name_is_for_later() -> None:
    desk = Desk()
    found = await watched(desk, ";name=gpu")
    desk.registry.leave(found.lease_id, 0.0)
    rival = desk.registry.register(a_spec("gpu"), 0.0)
    assert isinstance(rival, Registered)
    found.change(parse_upstream(URL + ";name=gpu;slots=7"))
    desk.registry.leave(rival.lease_id, 0.0)
    found._probed(True, None)
    assert desk.specs[-1].slots == 7


async def test_the_name_of_one_in_trouble_is_looked_up_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    names, desk = Names(monkeypatch, gpu=["127.0.0.1"]), Desk()
    upstream = parse_upstream("http://gpu:9")
    found = Watched(desk, upstream, await resolved(upstream), instance="one")
    found._probed(False, None)
    assert found._look is None, "it was looked up just now"
    for address, host in (("127.0.0.1", "127.0.0.1"), ("127.0.0.2", "127.0.0.2"), ("", "127.0.0.2")):
        names.addresses = {"gpu": [address]} if address else {}
        asked, found._look_at = len(names.asked), 0.0
        found._probed(True, None)
        assert len(names.asked) == asked, "all is well"
        for _ in range(3):
            found._probed(False, None)
        assert found._look is not None
        await found._look
        assert found._spec.host == found._prober.spec.host == desk.specs[-1].host == host
        assert len(names.asked) == asked + 1
    assert desk.specs[-1].host_header == "gpu:9" and desk.specs[-1].instance not in ("", "one")


async def test_abilities_that_its_list_tells_are_its_own() -> None:
    desk = Desk()
    found = await watched(desk)
    found._listed(Listing({"m": None}, "", frozenset({"continue_from"})))
    assert desk.specs[-1].abilities == {"continue_from"}


async def test_a_provider_that_answers_with_a_refusal_is_where_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    names, desk = Names(monkeypatch, far=["127.0.0.1"]), Desk()
    upstream = parse_upstream("https://far:9;model=m")
    found = Watched(desk, upstream, await resolved(upstream), instance="one")
    found._prober.denied, found._look_at = True, 0.0
    found._probed(False, None)
    assert found._look is None
    found._prober.denied, names.addresses["far"] = False, ["127.0.0.2"]
    found._probed(False, None)
    assert found._look is not None
    await found._look
    assert found._spec.host == "127.0.0.2"
