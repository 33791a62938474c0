from __future__ import annotations

from balancer.cache.bound_parts import Pool, Record
from balancer.cache.observations import BINS


def test_nothing_is_withheld_by_who_knows_nothing() -> None:
    pool, record = Pool(3.0), Record(2.0)
    assert pool.limit == record.limit == BINS and not pool.informed and record.alone == 0
    assert pool.tally.checks == record.tally.checks == 0 and (pool.looked_at, record.created) == (3.0, 2.0)
