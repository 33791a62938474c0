from __future__ import annotations

import sys

import numpy as np

from balancer.cache.reading import TOKENS_MAX, in_bytes, make_reading


def test_numbers_come_back_within_a_hundredth_of_the_largest() -> None:
    rows = np.random.default_rng(1).standard_normal((5, 128)).astype(np.float32)
    kept, scales = in_bytes(rows)
    assert kept.dtype == np.int8
    error = np.abs(kept * scales[:, None] - rows).max(axis=1)
    assert (error <= 0.01 * np.abs(rows).max(axis=1)).all()


def test_zeros_stay_zeros() -> None:
    kept, scales = in_bytes(np.zeros((2, 4), np.float32))
    assert not kept.any()
    assert np.isfinite(scales).all()


def test_a_long_text_keeps_at_most_sixteen_kibibytes() -> None:
    vector = np.full(384, 384**-0.5, np.float32)
    reading = make_reading("a text", vector, np.ones((300, 128), np.float32))
    assert len(reading.tokens) == TOKENS_MAX
    assert reading.size_bytes < 6 << 10
    objects = (reading, reading.vector, reading.tokens, reading.token_scales, reading.vector_scale)
    assert sum(map(sys.getsizeof, objects)) <= reading.size_bytes
    np.testing.assert_allclose(reading.vector * reading.vector_scale, vector, atol=1e-3)
