from __future__ import annotations

from balancer.pool.ledger import Lease
from balancer.routing.prefer import Preference, preference
from balancer.routing.select import NoSlot
from tests.balancer.pool.specs import a_spec
from tests.balancer.routing.pools import CHAT, Pool


def a_pool(*labels: tuple[str, str], policy: str = "least-connections") -> Pool:
    pool = Pool(policy)
    pool.router.preference = preference(labels)
    return pool


def test_without_labels_there_is_no_preference() -> None:
    assert preference(()) is None


def test_the_preferred_are_asked_until_none_has_a_slot() -> None:
    pool = a_pool(("zone", "a"))
    pool.add("far", slots=9, weight=9.0)
    pool.add("near", slots=2, labels=(("zone", "a"),))
    leases = [pool.lease() for _ in range(3)]
    assert [lease.spec.name for lease in leases] == ["near", "near", "far"]
    pool.end(leases[0])
    assert pool.choose() == "near"


def test_labels_are_preferred_in_their_order() -> None:
    pool = a_pool(("zone", "a"), ("region", "eu"))
    pool.add("other", slots=1, labels=(("zone", "c"),))
    pool.add("same-region", slots=1, labels=(("region", "eu"), ("zone", "b")))
    pool.add("same-zone", slots=1, labels=(("region", "eu"), ("zone", "a")))
    assert [pool.lease().spec.name for _ in range(3)] == ["same-zone", "same-region", "other"]
    assert isinstance(pool.route(), NoSlot)


def test_who_comes_later_is_seen() -> None:
    pool = a_pool(("zone", "a"))
    pool.add("far")
    assert pool.choose() == "far"
    pool.add("near", labels=(("zone", "a"),))
    assert pool.choose() == "near"


def test_the_policy_chooses_among_the_preferred() -> None:
    pool = a_pool(("zone", "a"), policy="round-robin")
    pool.add("far")
    for name in ("n1", "n2"):
        pool.add(name, labels=(("zone", "a"),))
    assert {pool.choose() for _ in range(4)} == {"n1", "n2"}


def test_the_same_split_serves_while_the_pool_stays() -> None:
    pool = a_pool(("zone", "a"))
    pool.add("near", labels=(("zone", "a"),))
    view = pool.registry.view
    assert pool.router.group(view, CHAT) is pool.router.group(view, CHAT)
    unknown = view.group("nobody's", "chat")
    split = Preference((("zone", "a"),))
    assert split.group(view, unknown) is unknown


def test_rank_is_the_first_label_that_is_met() -> None:
    split = Preference((("zone", "a"), ("zone", "b")))
    ranks = [split.rank(a_spec(labels=(("zone", zone),))) for zone in "abc"]
    assert ranks == [0, 1, 2]


def test_a_lease_of_the_preferred_is_an_ordinary_one() -> None:
    pool = a_pool(("zone", "a"))
    pool.add("near", labels=(("zone", "a"),))
    assert isinstance(pool.route(), Lease) and pool.ledger.total_in_flight() == 1
