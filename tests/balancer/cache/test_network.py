from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from balancer.cache.network import Network
from balancer.cache.reading import Reading, make_reading

DIMENSION, WIDTH, FEATURES = 8, 6, 3
RNG = np.random.default_rng(3)


def weights() -> dict[str, NDArray[np.floating]]:
    shapes: dict[str, tuple[int, ...]] = {
        "P.weight": (WIDTH, 2 * DIMENSION), "P.bias": (WIDTH,), "A.weight": (4, WIDTH), "A.bias": (4,), "t": (),
        "C.weight": (5, 3 * WIDTH), "C.bias": (5,), "S.weight": (4, 2 * DIMENSION), "S.bias": (4,),
        "M.weight": (7, 4 * 5 + 4 + 1 + FEATURES), "M.bias": (7,), "O.weight": (1, 7), "O.bias": (1,),
    }  # fmt: skip
    rng = np.random.default_rng(2)
    return {name: rng.standard_normal(shape).astype(np.float16) for name, shape in shapes.items()}


def reading(network: Network, tokens: int) -> Reading:
    vector = RNG.standard_normal(DIMENSION).astype(np.float32)
    rows = RNG.integers(-127, 128, (tokens, 2 * DIMENSION)).astype(np.int8)
    return make_reading("", vector / np.linalg.norm(vector), network.project(rows))


def test_the_score_does_not_depend_on_which_text_is_the_new_one() -> None:
    network = Network(weights())
    one, other = reading(network, 5), reading(network, 9)
    features = np.ones(FEATURES, np.float32)
    assert network.logit(one, other, features) == pytest.approx(network.logit(other, one, features), rel=1e-4)


def test_one_text_may_be_compared_with_several_in_any_order() -> None:
    network = Network(weights())
    readings = [reading(network, tokens) for tokens in (5, 9, 1, 32)]
    features = np.ones(FEATURES, np.float32)
    alone = {(a, b): Network(weights()).logit(readings[a], readings[b], features) for a in range(4) for b in range(4)}
    for a, b in [(0, 1), (0, 2), (1, 2), (1, 0), (0, 1), (3, 3), (2, 0), (2, 3)]:
        assert network.logit(readings[a], readings[b], features) == alone[a, b]


def test_many_rows_in_pieces_give_what_they_give_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    network = Network(weights())
    one, other = reading(network, 30), reading(network, 1)
    features = np.zeros(FEATURES, np.float32)
    whole = network.logit(one, other, features)
    monkeypatch.setattr("balancer.cache.network._MULTIPLICATIONS_MAX", 100)
    assert network.logit(one, other, features) == pytest.approx(whole, rel=1e-4)


def test_sizes_are_told() -> None:
    network = Network(weights())
    assert (network.token_width, network.dimension, network.features) == (2 * DIMENSION, DIMENSION, FEATURES)


def test_weights_that_do_not_fit_are_refused() -> None:
    bad = weights() | {"C.weight": np.zeros((5, 7), np.float32)}
    with pytest.raises(ValueError, match="fit"):
        Network(bad)
    with pytest.raises(KeyError):
        Network({name: array for name, array in weights().items() if name != "t"})
