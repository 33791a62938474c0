from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.client.fake_balancer import FakeBalancer


@pytest.fixture
async def balancer() -> AsyncIterator[FakeBalancer]:
    fake = FakeBalancer()
    async with fake.running():
        yield fake
