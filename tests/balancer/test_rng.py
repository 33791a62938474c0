from __future__ import annotations

import random

from balancer.rng import Rng


def test_pythons_own_generator_is_one() -> None:
    rng: Rng = random.Random(1)
    assert 0.0 <= rng.random() < 1.0
