from __future__ import annotations

import pytest

from balancer.cache.limits import CacheLimits, vector_bytes


@pytest.mark.parametrize("name", ["max_entries", "max_bytes", "max_entry_bytes", "scope_rows_max", "candidates"])
def test_a_limit_of_nothing_is_an_error(name: str) -> None:
    with pytest.raises(ValueError, match=name):
        CacheLimits(**{name: 0})


def test_a_vector_counts_at_least_what_it_takes() -> None:
    assert vector_bytes(384) > 4 * 384
