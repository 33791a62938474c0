from __future__ import annotations

import asyncio
import socket

import pytest

from balancer.errors import ConfigError
from balancer.listening import cannot_listen, listen


async def test_a_taken_port_names_the_option_that_chooses_another() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = f"admin-port: 127.0.0.1:{port} is taken; choose another with --admin-port"
        with pytest.raises(ConfigError, match=said):
            await listen(asyncio.Protocol, "127.0.0.1", port, option="admin-port")
    server = await listen(asyncio.Protocol, "127.0.0.1", 0, option="port")
    server.close()


@pytest.mark.parametrize(("option", "other"), [("port", "--host"), ("admin-port", "--admin-host")])
async def test_an_address_of_another_machine_names_the_option_for_addresses(option: str, other: str) -> None:
    with pytest.raises(ConfigError, match=f"no address of this machine; choose another with {other}"):
        await listen(asyncio.Protocol, "192.0.2.1", 0, option=option)


def test_other_causes_are_told_in_the_systems_words() -> None:
    told = cannot_listen(PermissionError(13, "Permission denied"), "::1", 80, option="port", what="UDP")
    assert str(told) == "port: [::1]:80 (UDP): Permission denied"
