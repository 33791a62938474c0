from __future__ import annotations

from balancer import tasks
from balancer.pool.backend import BackendSpec, ModelInfo
from balancer.pool.load import Load
from balancer.pool.registry import Registry
from balancer.pool.transition import Registered
from balancer.upstream.connection import ConnectionPool
from balancer.upstream.resolve import resolved
from balancer.upstream.spec import parse_upstream, with_key
from balancer.upstream.watched import Watched
from balancer.wire.model_list import Listing

URL = "http://127.0.0.1:9"


class Desk:
    """Takes registrations into a real registry."""

    def __init__(self) -> None:
        self.connections = ConnectionPool()
        self.registry = Registry()
        self.specs: list[BackendSpec] = []
        self.verdicts: list[tuple[int, bool]] = []
        self.ends = 0

    def register(self, spec: BackendSpec) -> int:
        found = self.registry.register(spec, 0.0)
        assert isinstance(found, Registered)
        self.specs.append(spec)
        self.ends += sum(transition.ends_exchanges for transition in found.transitions)
        return found.lease_id

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
