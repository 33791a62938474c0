from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from balancer.cache.features import COUNT, features
from balancer.cache.lexicon import Lexis, lexis

texts = st.text(st.sampled_from("abcNot 12'\"?.-/ from to is"), max_size=60)


def read(text: str) -> Lexis:
    return lexis(text, lambda _: 0.5)


@given(texts, texts, st.floats(-1, 1))
def test_any_two_texts_have_finite_features_the_same_either_way_round(one: str, other: str, cosine: float) -> None:
    found = features(read(one), read(other), cosine)
    assert found.shape == (COUNT,)
    assert found.dtype == np.float32
    assert np.isfinite(found).all()


def test_equal_texts_have_nothing_missing() -> None:
    same = read("Is 5 mg of aspirin safe for Ann?")
    assert features(same, same, 1.0)[2:6].tolist() == [0, 0, 0, 0]


def test_what_differs_shows() -> None:
    one, other = read("Is tea safe in May?"), read("Is coffee not safe in May?")
    there = features(one, other, 0.9)
    assert (there != features(one, one, 0.9)).any()
    np.testing.assert_allclose(np.delete(there, 29), np.delete(features(other, one, 0.9), 29), atol=1e-6)
