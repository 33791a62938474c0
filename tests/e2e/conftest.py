"""What several end-to-end modules share."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio

from tests.e2e.pool import Balancer, balancer


@pytest_asyncio.fixture
async def guarded() -> AsyncIterator[Balancer]:
    """A balancer without backends."""
    async with balancer() as front:
        yield front
