from __future__ import annotations

from balancer.pool.backend import State
from balancer.pool.detector import NATIVE, Detector
from balancer.pool.member import Member
from tests.balancer.pool.specs import a_spec


def test_a_member_shows_what_its_detector_believes() -> None:
    detector = Detector(NATIVE, 100.0)
    member = Member(7, 0, 1, a_spec(), detector, 100.0)
    assert (member.state, member.heard_at, member.draining) == (State.JOINING, 100.0, False)
    detector.hear(True, 101.0)
    detector.operator_drains(True)
    assert (member.state, member.heard_at, member.draining) == (State.DRAINING, 101.0, True)


def test_a_stall_of_ours_moves_silence_and_death_but_not_beyond_now() -> None:
    member = Member(7, 0, 1, a_spec(), Detector(NATIVE, 100.0), 100.0)
    member.extend(2.0, 105.0)
    assert (member.heard_at, member.dead_at) == (102.0, None)
    member.dead_at = 104.0
    member.extend(2.0, 105.0)
    assert (member.heard_at, member.dead_at) == (104.0, 105.0)
