from __future__ import annotations

import dataclasses
import inspect

import pytest

from balancer.exchange.outcome import Opening, Outcome, Record


@pytest.mark.parametrize("kind", [Opening, Outcome, Record])
def test_each_is_made_of_all_its_fields_in_their_order(kind: type) -> None:
    names = [field.name for field in dataclasses.fields(kind)]
    assert list(inspect.signature(kind).parameters) == names
    made = kind(*range(len(names)))
    assert [getattr(made, name) for name in names] == list(range(len(names)))
