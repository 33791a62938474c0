"""Who may connect from where, and which addresses a registration may make us dial. Pure.

A registration is a request to connect somewhere: without these rules whoever reaches the port could make the
balancer talk to a cloud's metadata service, to itself, or to any host behind it.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection
from functools import lru_cache

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
IPNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network


def parse_ip(text: str) -> IPAddress:
    """An address; IPv4 in IPv6 clothes (``::ffff:10.0.0.1``) becomes IPv4. Raises `ValueError`."""
    address = ipaddress.ip_address(text.partition("%")[0])
    mapped = getattr(address, "ipv4_mapped", None)
    return mapped if mapped is not None else address


def host_of(name: object) -> str:
    """The address in a socket's ``peername`` or ``sockname``; empty, and so never allowed, once that is unknown."""
    return str(name[0]) if isinstance(name, tuple) and name else ""


@lru_cache(maxsize=1024)  # asked for each request without a key; parsing an address costs as much as hashing a key
def is_loopback(peer: str) -> bool:
    try:
        return parse_ip(peer).is_loopback
    except ValueError:
        return False


def inside(address: IPAddress, networks: Collection[IPNetwork]) -> bool:
    return any(address.version == network.version and address in network for network in networks)


def why_not_dial(
    backend: str,
    port: int,
    *,
    peer: str,
    allowed: Collection[IPNetwork],
    own_port: int,
    own_hosts: Collection[str],
) -> str | None:
    """Why a backend at ``backend:port`` (resolved) may not be registered by ``peer``; ``None`` if it may.

    It must be the peer's own address or lie in an allowed network, and never link-local, multicast, unspecified, or
    the balancer itself.
    """
    try:
        address, peer_address = parse_ip(backend), parse_ip(peer)
    except ValueError:
        return f"{backend!r} is no IP address"
    reserved = address.is_reserved and not address.is_loopback  # ::1 lies in a reserved block
    if address.is_link_local or address.is_multicast or address.is_unspecified or reserved:
        return f"{address} is never a backend's address"
    if not 0 < port < 65536:
        return f"{port} is no port"
    if port == own_port and (address.is_loopback or str(address) in own_hosts):
        return f"{address}:{port} is the balancer itself"
    if address != peer_address and not inside(address, allowed):
        return f"{address} is neither the address that registers ({peer_address}) nor in an allowed network"
    return None
