from __future__ import annotations

import dataclasses

import pytest

from backend.storyteller.plot import Knot, Plot


def test_a_plot_is_plain_data_that_cannot_be_changed() -> None:
    plot = Plot("x", {"thing": ("a",)}, "find {thing}", ("w",), (Knot(("t",), ("u",), ("d",)),), ("e",))
    with pytest.raises(dataclasses.FrozenInstanceError):
        plot.name = "y"  # type: ignore[misc]
