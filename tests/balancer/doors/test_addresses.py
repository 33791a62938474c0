from __future__ import annotations

import ipaddress

import pytest

from balancer.doors.addresses import host_of, inside, is_loopback, parse_ip, why_not_dial

PRIVATE = (ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_network("fd00::/8"))
EVERYWHERE = (ipaddress.ip_network("0.0.0.0/0"), ipaddress.ip_network("::/0"))


def refusal(backend: str, *, peer: str = "127.0.0.1", port: int = 8000, everywhere: bool = False) -> str | None:
    return why_not_dial(
        backend,
        port,
        peer=peer,
        allowed=EVERYWHERE if everywhere else PRIVATE,
        own_port=1234,
        own_hosts=("0.0.0.0", "10.0.0.1"),
    )


@pytest.mark.parametrize(
    ("backend", "peer"),
    [
        ("127.0.0.1", "127.0.0.1"),
        ("::1", "::1"),
        ("192.0.2.7", "192.0.2.7"),
        ("192.0.2.7", "::ffff:192.0.2.7"),
        ("10.9.9.9", "192.0.2.7"),
        ("fd00::9", "192.0.2.7"),
    ],
)
def test_a_backend_is_where_it_registers_from_or_where_the_operator_allows(backend: str, peer: str) -> None:
    assert refusal(backend, peer=peer) is None


@pytest.mark.parametrize(
    ("backend", "peer"), [("192.0.2.8", "192.0.2.7"), ("127.0.0.1", "192.0.2.7"), ("11.0.0.1", "127.0.0.1")]
)
def test_elsewhere_is_refused(backend: str, peer: str) -> None:
    assert "neither" in (refusal(backend, peer=peer) or "")


@pytest.mark.parametrize(
    "backend",
    ["169.254.169.254", "::ffff:169.254.169.254", "fe80::1", "0.0.0.0", "::", "224.0.0.1", "ff02::1", "240.0.0.1"],
)
def test_what_is_never_a_backend_is_refused_wherever_the_operator_allows(backend: str) -> None:
    assert refusal(backend, everywhere=True, peer=backend) is not None


@pytest.mark.parametrize("backend", ["127.0.0.1", "127.0.0.9", "10.0.0.1", "::1"])
def test_the_balancer_itself_is_refused(backend: str) -> None:
    assert "itself" in (refusal(backend, peer=backend, port=1234) or "")
    assert refusal(backend, peer=backend, port=1235) is None


@pytest.mark.parametrize("backend", ["example.com", "", "127.0.0.1.1", "/run/engine.sock"])
def test_what_is_no_address_is_refused(backend: str) -> None:
    assert "no IP address" in (refusal(backend) or "")


@pytest.mark.parametrize("port", [0, -1, 65536])
def test_what_is_no_port_is_refused(port: int) -> None:
    assert "no port" in (refusal("127.0.0.1", port=port) or "")


def test_addresses_of_sockets() -> None:
    assert host_of(("127.0.0.1", 5)) == "127.0.0.1"
    assert host_of(None) == ""
    assert not is_loopback("")
    assert is_loopback("::ffff:127.0.0.1")
    assert str(parse_ip("fe80::1%eth0")) == "fe80::1"
    assert not inside(parse_ip("::1"), PRIVATE[:1])
