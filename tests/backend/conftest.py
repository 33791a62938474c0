"""What tests of this package share."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest


@pytest.fixture
def own_logging() -> Iterator[None]:
    """What a test sets up for logging ends with it, and with the streams it was meant for."""
    root, torch = logging.getLogger(), logging.getLogger("torch")
    handlers, levels = list(root.handlers), (root.level, torch.level)
    yield
    root.handlers[:] = handlers
    root.setLevel(levels[0])
    torch.setLevel(levels[1])
