from __future__ import annotations

import pytest

from balancer.pool.backend import BackendSpec
from balancer.pool.claims import is_same_place, is_same_process, refusal
from balancer.pool.detector import NATIVE, Detector
from balancer.pool.member import Member
from tests.balancer.pool.specs import a_spec


def a_member(spec: BackendSpec, dead_at: float | None = None) -> Member:
    detector = Detector(NATIVE, 0.0)
    if dead_at is not None:
        detector.advance(dead_at)
    return Member(1, 0, 1, spec, detector, 0.0, dead_at=dead_at)


def test_the_same_address_is_the_same_place_but_not_for_another_kind() -> None:
    member = a_member(a_spec(port=1235))
    assert is_same_place(member, a_spec(port=1235, instance="other"))
    assert not is_same_place(member, a_spec(port=1236))
    assert not is_same_place(member, a_spec(port=1235, kind="upstream"))


def test_an_instance_proves_the_same_process_and_an_empty_one_proves_nothing() -> None:
    assert is_same_process(a_member(a_spec(instance="x")), a_spec(instance="x"))
    assert not is_same_process(a_member(a_spec(instance="x")), a_spec(instance="y"))
    assert not is_same_process(a_member(a_spec(instance="")), a_spec(instance=""))


@pytest.mark.parametrize(("now", "wait_s"), [(100.0, 30.0), (129.0, 1.0)])
def test_a_name_is_kept_until_its_holder_is_dead_for_the_reclaim_time(now: float, wait_s: float) -> None:
    refused = refusal(a_member(a_spec(port=1), dead_at=100.0), a_spec(port=2), 30.0, now)
    assert refused is not None
    assert (refused.code, refused.retry_after_s) == ("conflict", wait_s)
    assert "name 'a'" in refused.message


def test_a_name_is_free_after_the_reclaim_time() -> None:
    assert refusal(a_member(a_spec(port=1), dead_at=100.0), a_spec(port=2), 30.0, 130.0) is None


def test_a_name_is_kept_while_its_holder_lives() -> None:
    refused = refusal(a_member(a_spec(port=1)), a_spec(port=2), 30.0, 1e6)
    assert refused is not None
    assert refused.message.endswith("which is joining")


def test_an_address_is_kept_only_while_its_holder_lives() -> None:
    newcomer = a_spec("b", port=1)
    refused = refusal(a_member(a_spec(port=1)), newcomer, 30.0, 100.0)
    assert refused is not None
    assert "address 127.0.0.1:1" in refused.message
    assert refusal(a_member(a_spec(port=1), dead_at=100.0), newcomer, 30.0, 100.0) is None
