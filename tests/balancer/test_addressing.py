from __future__ import annotations

import pytest

from balancer.addressing import address_of, addresses_of
from tests.balancer.upstream.names import Names


@pytest.mark.parametrize(("host", "address"), [("127.0.0.1", "127.0.0.1"), ("::1", "::1")])
async def test_an_address_stands_for_itself(host: str, address: str) -> None:
    assert await address_of(host, 80) == address


async def test_a_name_is_looked_up() -> None:
    assert await address_of("localhost", 80) in ("127.0.0.1", "::1")


@pytest.mark.parametrize("host", ["no-such-host.invalid", "a" * 70, "a..b"])
async def test_a_name_without_address_is_an_error(host: str) -> None:
    with pytest.raises((OSError, UnicodeError)):
        await address_of(host, 80)


async def test_of_localhost_the_address_comes_first_that_engines_listen_on(monkeypatch: pytest.MonkeyPatch) -> None:
    Names(monkeypatch, localhost=["::1", "::1", "127.0.0.1"], gpu=["2001:db8::7", "10.0.0.7", "2001:db8::7"])
    assert await addresses_of("localhost", 80) == ["127.0.0.1", "::1"]
    assert await address_of("localhost", 80) == "127.0.0.1"
    assert await addresses_of("gpu", 80) == ["2001:db8::7", "10.0.0.7"], "of others the resolver knows best"
