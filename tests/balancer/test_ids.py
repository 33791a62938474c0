from __future__ import annotations

import random
import re

from balancer.ids import Ids


def test_ids_are_24_hex_digits_and_no_two_are_the_same() -> None:
    new_id = Ids(random.Random(1))
    found = [new_id() for _ in range(1000)]
    assert len(set(found)) == 1000
    assert all(re.fullmatch("[0-9a-f]{24}", one) for one in found)


def test_another_source_gives_other_ids() -> None:
    assert Ids(random.Random(1))() == Ids(random.Random(1))() != Ids(random.Random(2))()
