"""Names that stand for what a test says, in the place of the system's resolver."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from typing import Any

import pytest


class Names:
    """Of this event loop. Any other name stands for nothing."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **addresses: Sequence[str]) -> None:
        self.addresses = dict(addresses)
        self.asked: list[str] = []
        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", self._found)

    async def _found(self, host: str, port: int, **hints: Any) -> list[tuple[Any, ...]]:
        self.asked.append(host)
        if host not in self.addresses:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [
            (socket.AF_INET6, socket.SOCK_STREAM, 6, "", (address, port, 0, 0))
            if ":" in address
            else (socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))
            for address in self.addresses[host]
        ]
