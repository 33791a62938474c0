from __future__ import annotations

import sys

import numpy as np
import pytest

from balancer.adapters.embedder.library import Library
from balancer.adapters.embedder.model import EARLY_LAYER

pytestmark = pytest.mark.torch


def test_several_texts_at_once_have_what_each_has_alone(library: Library) -> None:
    texts = ["How do I reset my password?", "Why is the sea salty, and since when?", "word " * 300]
    for text, together in zip(texts, library.passes(texts), strict=True):
        (alone,) = library.passes([text])
        assert together.vector @ alone.vector == pytest.approx(1, abs=1e-5)
        assert together.length == alone.length == len(together.ids) + 2
        assert together.early.shape == together.last.shape == (len(alone.ids), 384)
    assert library.passes(texts)[2].length == library.tokens_max


def test_a_model_that_tells_no_tokens_still_gives_vectors(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = ["How do I reset my password?", "word " * 300]
    with_tokens = library.passes(texts)
    monkeypatch.setattr(library, "reads_tokens", False)
    for told, made in zip(with_tokens, library.passes(texts), strict=True):
        assert np.abs(told.vector - made.vector).max() < 1e-5
        assert (made.length, made.early.size, made.ids.size) == (told.length, 0, 0)


def test_without_the_library_it_cannot_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    with pytest.raises(ImportError):
        Library("anything", EARLY_LAYER)
