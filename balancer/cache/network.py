"""The learned score: how well two texts' tokens match, their vectors and their words, through a small network.

Each side's tokens look for their counterpart on the other side (soft alignment, as in Parikh and others, "A
Decomposable Attention Model for Natural Language Inference", arXiv 1606.01933), each is compared with what it found,
and the comparisons are summed and maximised over the tokens. Both sides go through the same weights and come
together only in sums and absolute differences, so the score does not depend on which text is the new one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

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


class _Side(NamedTuple):
    """What of a text does not depend on the other one."""

    tokens: Floats
    sought: Floats
    """Unit rows: what each token looks for and is found by."""
    compared: Floats
    """What each token gives to its comparison, whatever it finds."""
    vector: Floats


class Network:
    """The weights, and what they make of texts."""

    def __init__(self, weights: Mapping[str, NDArray[np.floating]]) -> None:
        """`KeyError` or `ValueError` for weights that are not such a network's."""
        at = {name: np.ascontiguousarray(array, dtype=np.float32) for name, array in weights.items()}
        self._project, self._project_bias = at["P.weight"].T.copy(), at["P.bias"]
        self._seek, self._seek_bias = at["A.weight"].T.copy(), at["A.bias"]
        self._sharpness = np.float32(min(float(np.exp(at["t"].item())), _SHARPNESS_MAX) * _SHARPNESS)
        width = self._project.shape[1]
        compare, self._compare_bias = at["C.weight"].T, at["C.bias"]
        self._compare_own, self._compare_found = compare[:width].copy(), compare[width:].copy()
        self._whole, self._whole_bias = at["S.weight"], at["S.bias"]
        self._mix, self._mix_bias = at["M.weight"], at["M.bias"]
        self._out, self._out_bias = at["O.weight"][0], float(at["O.bias"][0])
        self.token_width = len(self._project)
        self.dimension = self._whole.shape[1] // 2
        self.features = self._mix.shape[1] - 4 * compare.shape[1] - len(self._whole) - 1
        if self._seek.shape[0] != width or compare.shape[0] != 3 * width or self.features < 0:
            raise ValueError("weights that do not fit each other")
        self._latest: tuple[Reading, _Side] | None = None

    def project(self, tokens: NDArray[np.int8]) -> Floats:
        """The embedder's token vectors, a row a token with the layers side by side, as the network compares them."""
        layers = tokens.astype(np.float32).reshape(len(tokens), -1, self.dimension)
        layers *= _LAYER_SCALE / (np.sqrt(np.vecdot(layers, layers))[:, :, None] + np.float32(1e-6))
        return _product(layers.reshape(len(tokens), -1), self._project) + self._project_bias

    def logit(self, new: Reading, old: Reading, features: Floats) -> float:
        """The score: its logistic is the probability that one's answer is the other's too."""
        if self._latest is None or self._latest[0] is not new:
            self._latest = new, self._side(new)  # it is compared with several, one after the other
        here, there = self._latest[1], self._side(old)
        # Not the usual softmax with the largest score taken off first: no score is above _SHARPNESS_MAX.
        match = np.exp(_product(here.sought, there.sought.T) * self._sharpness)
        found = np.concatenate(
            (
                _product(match / match.sum(axis=1, keepdims=True), there.tokens),
                _product((match / match.sum(axis=0)).T, here.tokens),
            )
        )
        tokens = np.concatenate((here.tokens, there.tokens))
        away = found - tokens
        compared = _product(np.concatenate((tokens * found, away * away), axis=1), self._compare_found)
        count = len(here.tokens)
        sum_here, most_here = _gathered(compared[:count] + here.compared)
        sum_there, most_there = _gathered(compared[count:] + there.compared)
        product = here.vector * there.vector
        both = np.concatenate((product * _PRODUCT_SCALE, np.abs(here.vector - there.vector) * _DIFFERENCE_SCALE))
        mixed = np.concatenate(
            (
                sum_here + sum_there,
                np.abs(sum_here - sum_there),
                most_here + most_there,
                np.abs(most_here - most_there),
                np.maximum(np.vecdot(self._whole, both) + self._whole_bias, 0),
                product.sum(keepdims=True),
                features,
            )
        )
        last = np.maximum(np.vecdot(self._mix, mixed) + self._mix_bias, 0)
        return float(np.vecdot(last, self._out)) + self._out_bias

    def _side(self, reading: Reading) -> _Side:
        tokens = reading.tokens.astype(np.float32) * reading.token_scales[:, None]
        sought = _product(tokens, self._seek) + self._seek_bias
        sought /= np.sqrt(np.vecdot(sought, sought))[:, None] + np.float32(1e-12)
        compared = _product(tokens, self._compare_own) + self._compare_bias
        return _Side(tokens, sought, compared, reading.vector * np.float32(reading.vector_scale))


def _gathered(compared: Floats) -> tuple[Floats, Floats]:
    """What the tokens of a side say together and what the one says that says it most."""
    kept = np.maximum(compared, 0)
    return kept.sum(axis=0) / np.float32(len(kept) ** 0.5), kept.max(axis=0)


def _product(rows: Floats, matrix: Floats) -> Floats:
    """``rows @ matrix``, on one thread. For a lone row take `numpy.vecdot`: its threshold is far lower."""
    inner = len(matrix)
    # Pieces of the inner dimension: in pieces of rows the library would lay out the whole matrix for each.
    step = max(1, _MULTIPLICATIONS_MAX // (len(rows) * matrix.shape[1]))
    if inner <= step:
        return rows @ matrix
    product: Floats = rows[:, :step] @ matrix[:step]
    for at in range(step, inner, step):
        product += rows[:, at : at + step] @ matrix[at : at + step]
    return product
