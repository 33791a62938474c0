"""End-to-end tests start real processes; a machine that is busy with something else may take its time."""

from __future__ import annotations

import pytest

TIMEOUT_S = 300


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Longer than the suite's own limit: a model's start counts to the first test that needs it."""
    for item in items:
        if "e2e" in item.path.parts and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(TIMEOUT_S))
