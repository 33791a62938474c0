from __future__ import annotations

import pytest

from balancer.cache.entry import Entry, entry_for
from balancer.cache.keys import derive
from balancer.cache.purge import Purge


def an_entry() -> Entry:
    keys = derive({"prompt": "one two"}, tenant="ann", model="m", endpoint="completions", embedder_id="e@1")
    return entry_for(
        keys,
        text="x",
        finish_reason="stop",
        answered_by="m",
        backend="b",
        prompt_tokens=None,
        completion_tokens=None,
        now=0.0,
    )


@pytest.mark.parametrize(
    ("purge", "takes"),
    [
        (Purge(), True),
        (Purge(tenant="ann"), True),
        (Purge(tenant="bob"), False),
        (Purge(model="m", prefix="one"), True),
        (Purge(model="m", prefix="two"), False),
        (Purge(entry=an_entry().key), True),
        (Purge(entry=b"other"), False),
    ],
)
def test_what_is_named_together_must_all_hold(purge: Purge, takes: bool) -> None:
    assert purge.takes(an_entry()) is takes
