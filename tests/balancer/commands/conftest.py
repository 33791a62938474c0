from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.balancer.commands.admin_port import AdminPort, admin_port


@pytest.fixture
def admin() -> Iterator[AdminPort]:
    with admin_port() as found:
        yield found
