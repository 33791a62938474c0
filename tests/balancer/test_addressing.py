from __future__ import annotations

import pytest

from balancer.addressing import address_of


@pytest.mark.parametrize(("host", "address"), [("127.0.0.1", "127.0.0.1"), ("::1", "::1")])
async def test_an_address_stands_for_itself(host: str, address: str) -> None:
    assert await address_of(host, 80) == address


async def test_a_name_is_looked_up() -> None:
    assert await address_of("localhost", 80) in ("127.0.0.1", "::1")


@pytest.mark.parametrize("host", ["no-such-host.invalid", "a" * 70, "a..b"])
async def test_a_name_without_address_is_an_error(host: str) -> None:
    with pytest.raises((OSError, UnicodeError)):
        await address_of(host, 80)
