from __future__ import annotations

import dataclasses
import math

import pytest

from balancer.pool.backend import ModelInfo
from tests.balancer.pool.specs import a_spec


def test_a_backend_offers_the_models_it_registered_with() -> None:
    spec = a_spec(models=(ModelInfo("storyteller", 1024), ModelInfo("gpt2")))
    assert spec.offers("gpt2")
    assert not spec.offers("gpt3")


def test_its_address_is_host_and_port() -> None:
    assert a_spec(host="10.0.0.7", port=1235).address == ("10.0.0.7", 1235)


@pytest.mark.parametrize("slots", [0, -1])
def test_a_backend_without_slots_is_refused(slots: int) -> None:
    with pytest.raises(ValueError, match="slots"):
        a_spec(slots=slots)


@pytest.mark.parametrize("weight", [0.0, -1.0, math.inf, math.nan])
def test_a_weight_that_cannot_be_divided_by_is_refused(weight: float) -> None:
    with pytest.raises(ValueError, match="weight"):
        a_spec(weight=weight)


def test_a_spec_does_not_change() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        a_spec().slots = 5  # type: ignore[misc]
