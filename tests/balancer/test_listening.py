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


async def test_of_a_client_whose_machine_is_gone_the_kernel_tells() -> None:
    accepted: asyncio.Future[asyncio.BaseTransport] = asyncio.get_running_loop().create_future()

    class Door(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            accepted.set_result(transport)

    server = await listen(Door, "127.0.0.1", 0, option="port")
    _, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    transport = await asyncio.wait_for(accepted, 10)
    sock = transport.get_extra_info("socket")
    assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
    assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 30
    transport.close()
    writer.close()
    server.close()


def test_other_causes_are_told_in_the_systems_words() -> None:
    told = cannot_listen(PermissionError(13, "Permission denied"), "::1", 80, option="port", what="UDP")
    assert str(told) == "port: [::1]:80 (UDP): Permission denied"
