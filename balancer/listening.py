"""Listening, with errors that name the option that would help."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Callable

from balancer.errors import ConfigError


async def listen(
    make: Callable[[], asyncio.BaseProtocol], host: str, port: int, *, option: str, backlog: int = 100
) -> asyncio.Server:
    """A server on this address. Raises `ConfigError`: ``option``, such as ``port``, chooses another one."""
    try:
        server = await asyncio.get_running_loop().create_server(make, host, port, backlog=backlog)
    except OSError as error:
        raise cannot_listen(error, host, port, option=option) from None
    for listening in server.sockets:
        _keep_alive(listening)
    return server


def _keep_alive(listening: socket.socket) -> None:
    """Let the kernel notice peers whose machine is gone: after half a minute of silence, three probes. Whatever is
    accepted has what its listening socket has."""
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in (("TCP_KEEPIDLE", 30), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 3)):
        if hasattr(socket, option):
            listening.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)


def cannot_listen(error: OSError, host: str, port: int, *, option: str, what: str = "") -> ConfigError:
    """Why this address can't be had. ``what`` is told behind it, such as ``UDP``."""
    where = f"{option}: {f'[{host}]' if ':' in host else host}:{port}{what and f' ({what})'}"
    if error.errno == errno.EADDRINUSE:
        return ConfigError(f"{where} is taken; choose another with --{option}")
    if error.errno == errno.EADDRNOTAVAIL:
        return ConfigError(f"{where} is no address of this machine; choose another with --{option[:-4]}host")
    return ConfigError(f"{where}: {error.strerror or error}")
