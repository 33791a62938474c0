from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from client.events import Timing, done_from_fields

ANY = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.dictionaries(st.text(), st.text())


def test_named_fields_and_all_others_are_kept():
    fields = {
        "finish_reason": "stop",
        "model": "m",
        "backend": "b1",
        "cache": "semantic",
        "similarity": 0.97,
        "usage": {"completion_tokens": 12},
        "new": 1,
    }
    done = done_from_fields(fields)
    assert (done.finish_reason, done.model, done.backend, done.similarity) == ("stop", "m", "b1", 0.97)
    assert done.from_cache
    assert done.tokens("completion_tokens") == 12
    assert done.tokens("prompt_tokens") is None
    assert done.fields["new"] == 1


@given(st.dictionaries(st.sampled_from(["finish_reason", "model", "cache", "similarity", "usage"]), ANY))
def test_fields_of_a_wrong_type_count_as_absent(fields):
    done = done_from_fields(fields)
    assert isinstance(done.finish_reason, str)
    assert done.tokens("completion_tokens") is None


def test_speed_counts_tokens_after_the_first():
    assert Timing(ttft_s=1.0, total_s=3.0, tokens=11).tokens_per_s == 5.0
    assert Timing(ttft_s=None, total_s=3.0, tokens=0).tokens_per_s is None
    assert Timing(ttft_s=3.0, total_s=3.0, tokens=9).tokens_per_s is None
    assert Timing(ttft_s=1.0, total_s=3.0, tokens=1).tokens_per_s is None
