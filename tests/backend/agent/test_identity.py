from __future__ import annotations

from typing import Any

import pytest

from backend.agent.identity import Identity, http_url, is_loopback, is_wildcard, registration
from balancer.wire.control import Model

ENGINE: dict[str, Any] = {"engine": "echo", "models": (Model("m", 128),), "abilities": ("token_ids",)}


def identity(url: str | None) -> Identity:
    return Identity(name="b", instance="i", url=url, port=80, slots=2, weight=0.5, version="3", **ENGINE)


def test_a_given_url_is_registered_as_it_is() -> None:
    assert registration(identity("http://gpu:1"), local_address="10.0.0.1", nonce="ab").url == "http://gpu:1"


def test_without_one_it_is_the_address_that_this_balancer_sees() -> None:
    assert registration(identity(None), local_address="10.0.0.1", nonce="ab").url == "http://10.0.0.1:80"
    assert registration(identity(None), local_address="fe80::1", nonce="ab").url == "http://[fe80::1]:80"


def test_every_field_is_registered() -> None:
    register = registration(identity(None), local_address="::1", nonce="ab" * 16)
    assert (register.name, register.instance, register.slots, register.weight) == ("b", "i", 2, 0.5)
    assert (register.engine, register.version, register.nonce) == ("echo", "3", "ab" * 16)
    assert (register.models[0].name, register.models[0].context_length) == ("m", 128)


@pytest.mark.parametrize(("host", "wildcard"), [("0.0.0.0", True), ("::", True), ("127.0.0.1", False), ("gpu", False)])
def test_only_every_address_is_none_in_particular(host: str, wildcard: bool) -> None:
    assert is_wildcard(host) is wildcard


def test_urls_hold_ipv6_in_brackets() -> None:
    assert http_url("::1", 5) == "http://[::1]:5"


@pytest.mark.parametrize(
    ("host", "loopback"), [("localhost", True), ("127.0.0.9", True), ("::1", True), ("gpu", False), ("10.0.0.1", False)]
)
def test_loopback_is_told_without_looking_a_name_up(host: str, loopback: bool) -> None:
    assert is_loopback(host) is loopback
