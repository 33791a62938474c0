"""The learned score: how well two texts' tokens match, their vectors and their words, through a small network.

Each side's tokens look for their counterpart on the other side (soft alignment, as in Parikh and others, "A
Decomposable Attention Model for Natural Language Inference", arXiv 1606.01933), each is compared with what it found,
and the comparisons are summed and maximised over the tokens. Both sides go through the same weights and come
together only in sums and absolute differences, so the score does not depend on which text is the new one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

from balancer.cache.reading import Reading

Floats = NDArray[np.float32]

_LAYER_SCALE: Final = np.float32(4)
_PRODUCT_SCALE: Final = np.float32(20)
_DIFFERENCE_SCALE: Final = np.float32(5)
_SHARPNESS: Final = 0.2
_SHARPNESS_MAX: Final = 60.0
_MULTIPLICATIONS_MAX: Final = 200_000
"""In one call of the library for linear algebra: above about 262,000 it spreads over threads, see `vectors`."""


class Network:
    """The weights, and what they make of texts."""

    def __init__(self, weights: Mapping[str, NDArray[np.floating]]) -> None:
        """:class:`KeyError` or :class:`ValueError` for weights that are not such a network's."""
        at = {name: np.ascontiguousarray(array, dtype=np.float32) for name, array in weights.items()}
        self._project, self._project_bias = at["P.weight"].T.copy(), at["P.bias"]
        self._seek, self._seek_bias = at["A.weight"].T.copy(), at["A.bias"]
        self._sharpness = np.float32(min(float(np.exp(at["t"].item())), _SHARPNESS_MAX) * _SHARPNESS)
        self._compare, self._compare_bias = at["C.weight"].T.copy(), at["C.bias"]
        self._whole, self._whole_bias = at["S.weight"].T.copy(), at["S.bias"]
        self._mix, self._mix_bias = at["M.weight"].T.copy(), at["M.bias"]
        self._out, self._out_bias = at["O.weight"][0], float(at["O.bias"][0])
        self.token_width = len(self._project)
        self.dimension = len(self._whole) // 2
        hidden, whole = self._compare.shape[1], self._whole.shape[1]
        self.features = len(self._mix) - 4 * hidden - whole - 1
        width = self._project.shape[1]
        if self._seek.shape[0] != width or self._compare.shape[0] != 3 * width or self.features < 0:
            raise ValueError("weights that do not fit each other")

    def project(self, tokens: NDArray[np.int8]) -> Floats:
        """The embedder's token vectors, a row a token with the layers side by side, as the network compares them."""
        layers = tokens.astype(np.float32).reshape(len(tokens), -1, self.dimension)
        layers *= _LAYER_SCALE / (np.sqrt(np.vecdot(layers, layers))[:, :, None] + np.float32(1e-6))
        return _product(layers.reshape(len(tokens), -1), self._project) + self._project_bias

    def logit(self, new: Reading, old: Reading, features: Floats) -> float:
        """The score: its logistic is the probability that one's answer is the other's too."""
        here, there = (r.tokens.astype(np.float32) * r.token_scales[:, None] for r in (new, old))
        left, right = self._sought(here), self._sought(there)
        match = _product(left, right.T) * self._sharpness
        sum_here, most_here = self._compared(here, _softmax(match), there)
        sum_there, most_there = self._compared(there, _softmax(match.T), here)
        u = new.vector * np.float32(new.vector_scale)
        v = old.vector * np.float32(old.vector_scale)
        product = u * v
        both = np.concatenate((product * _PRODUCT_SCALE, np.abs(u - v) * _DIFFERENCE_SCALE))
        mixed = np.concatenate(
            (
                sum_here + sum_there,
                np.abs(sum_here - sum_there),
                most_here + most_there,
                np.abs(most_here - most_there),
                np.maximum(both @ self._whole + self._whole_bias, 0),
                product.sum(keepdims=True),
                features,
            )
        )
        return float(np.maximum(mixed @ self._mix + self._mix_bias, 0) @ self._out) + self._out_bias

    def _sought(self, tokens: Floats) -> Floats:
        sought = _product(tokens, self._seek) + self._seek_bias
        unit: Floats = sought / (np.sqrt(np.vecdot(sought, sought))[:, None] + np.float32(1e-12))
        return unit

    def _compared(self, tokens: Floats, weights: Floats, others: Floats) -> tuple[Floats, Floats]:
        found = _product(weights, others)
        away = found - tokens
        both = np.concatenate((tokens, tokens * found, away * away), axis=1)
        compared = np.maximum(_product(both, self._compare) + self._compare_bias, 0)
        return compared.sum(axis=0) / np.float32(len(tokens) ** 0.5), compared.max(axis=0)


def _softmax(scores: Floats) -> Floats:
    weights: Floats = np.exp(scores - scores.max(axis=1, keepdims=True))
    weights /= weights.sum(axis=1, keepdims=True)
    return weights


def _product(rows: Floats, matrix: Floats) -> Floats:
    """``rows @ matrix``, on one thread."""
    step = max(1, _MULTIPLICATIONS_MAX // matrix.size)
    if len(rows) <= step:
        return rows @ matrix
    return np.concatenate([rows[at : at + step] @ matrix for at in range(0, len(rows), step)])
