from __future__ import annotations

import pytest

from balancer.cache.control import CacheControl, cache_control


@pytest.mark.parametrize(
    ("value", "look", "store"),
    [
        ("default", True, True),
        ("bypass", False, False),
        ("only", True, False),
        ("refresh", False, True),
    ],
)
def test_each_value_says_what_it_says(value: str, look: bool, store: bool) -> None:
    assert cache_control(value) == CacheControl(look, store)


@pytest.mark.parametrize("value", ["", "DEFAULT", "none", "refresh "])
def test_an_unknown_value_is_an_error_that_names_the_known_ones(value: str) -> None:
    with pytest.raises(ValueError, match="default, bypass, only, refresh"):
        cache_control(value)
