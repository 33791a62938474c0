from __future__ import annotations

import math

import pytest

from balancer.cache.entry import Entry, entry_for
from balancer.cache.keys import derive


def make(completion_tokens: int | None = 5, text: str = "An answer.", ttl_s: float = math.inf, **body: object) -> Entry:
    keys = derive({"prompt": "A question?", **body}, tenant="t", model="m", endpoint="completions", embedder_id="e")
    return entry_for(
        keys,
        text=text,
        finish_reason="stop",
        answered_by="m-v1",
        backend="b",
        prompt_tokens=3,
        completion_tokens=completion_tokens,
        now=100.0,
        ttl_s=ttl_s,
    )


def test_an_entry_knows_its_request() -> None:
    entry = make(max_tokens=9)
    assert (entry.tenant, entry.model, entry.question, entry.max_tokens) == ("t", "m", "A question?", 9)
    assert len(entry.id) == 32


def test_the_same_request_has_the_same_id_and_another_one_another() -> None:
    assert make().id == make(text="Another answer.").id
    assert make().id != make(seed=1).id


@pytest.mark.parametrize(
    ("completion_tokens", "made_under", "asked", "fits"),
    [
        (5, None, None, True),
        (5, None, 5, True),
        (5, None, 4, False),
        (5, 100, 5, True),
        (None, None, None, True),
        (None, None, 1000, False),
        (None, 10, 10, True),
        (None, 10, 9, False),
    ],
)
def test_an_answer_must_keep_the_limit_that_is_asked(
    completion_tokens: int | None, made_under: int | None, asked: int | None, fits: bool
) -> None:
    assert make(completion_tokens, max_tokens=made_under).fits(asked) == fits


def test_it_expires_at_an_absolute_time() -> None:
    entry = make(ttl_s=60)
    assert not entry.expired(159.9)
    assert entry.expired(160.0)
    assert not make().expired(1e12)


def test_its_size_follows_its_texts() -> None:
    assert make(text="x" * 10_000).size_bytes - make(text="x").size_bytes == 9_999
    assert make(text="é€😀" * 1000).size_bytes > make(text="abc" * 1000).size_bytes


def test_a_request_that_is_not_cached_has_no_entry() -> None:
    with pytest.raises(ValueError, match="n"):
        make(n=2)
