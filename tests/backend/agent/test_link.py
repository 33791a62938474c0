from __future__ import annotations

import asyncio

import pytest

from backend.agent.link import ControlLink, Refusal
from balancer.wire.control import Refused, lease_key
from balancer.wire.errors import RemoteProtocolError
from tests.backend.agent.test_identity import identity
from tests.backend.fakes import FakeBalancer


async def test_with_a_token_both_sides_derive_the_same_key() -> None:
    async with FakeBalancer(token=b"t") as balancer:
        link = await ControlLink.open("127.0.0.1", balancer.port)
        granted = await link.register(identity(None), b"t")
        link.close()
        assert granted.lease.key is None
        assert granted.key == balancer._keys[granted.lease.id]
        assert granted.key != lease_key(b"t", "ab" * 16, b"another line")


async def test_without_a_token_the_key_comes_with_the_lease() -> None:
    async with FakeBalancer() as balancer:
        link = await ControlLink.open("127.0.0.1", balancer.port)
        granted = await link.register(identity(None), b"")
        link.close()
        assert granted.key == bytes(range(32))


async def test_a_refusal_keeps_its_words_and_when_to_come_again() -> None:
    refused = Refused("conflict", "the name is taken", retry_after_s=7.0)
    async with FakeBalancer(refusals=[refused]) as balancer:
        link = await ControlLink.open("127.0.0.1", balancer.port)
        with pytest.raises(Refusal, match="the name is taken") as caught:
            await link.register(identity(None), b"")
        link.close()
    assert caught.value.retry_after_s == 7.0


async def test_a_refused_address_says_what_an_operator_can_do() -> None:
    refused = Refused("address_not_allowed", "10.0.0.9 is neither ...", retry_after_s=7.0)
    async with FakeBalancer(refusals=[refused]) as balancer:
        link = await ControlLink.open("127.0.0.1", balancer.port)
        with pytest.raises(Refusal, match="--backends-from"):
            await link.register(identity(None), b"")
        link.close()


@pytest.mark.parametrize(("token", "hinted"), [(b"", True), (b"wrong", False)])
async def test_an_agent_without_a_token_is_told_that_it_has_none(token: bytes, hinted: bool) -> None:
    refused = Refused("bad_token", "the proof does not match", retry_after_s=7.0)
    async with FakeBalancer(refusals=[refused]) as balancer:
        link = await ControlLink.open("127.0.0.1", balancer.port)
        with pytest.raises(Refusal) as caught:
            await link.register(identity(None), token)
        link.close()
    assert ("this agent has no token: --token-file or LLM_BALANCER_TOKEN" in str(caught.value)) is hinted


async def serve_once(answer: bytes) -> tuple[asyncio.Server, int]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(answer)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    return server, server.sockets[0].getsockname()[1]


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b'{"challenge":{}}\n',
        b'{"challenge":{"nonce":"short"}}\n',
        b'{"lease":{"id":1,"beat_s":1,"deadline_s":3}}\n',
        b'{"error":{"code":"busy"}}\n',
        b"[1]\n",
        b"x" * 100_000,
    ],
)
async def test_what_is_no_balancer_is_an_error_and_not_a_crash(answer: bytes) -> None:
    server, port = await serve_once(answer)
    link = await ControlLink.open("127.0.0.1", port)
    with pytest.raises((RemoteProtocolError, OSError)):
        await link.register(identity(None), b"")
    link.close()
    server.close()


async def test_a_lease_whose_key_is_not_hex_is_an_error_too() -> None:
    challenge = b'{"challenge":{"nonce":"' + b"ab" * 16 + b'"}}\n'
    server, port = await serve_once(challenge + b'{"lease":{"id":1,"beat_s":1,"deadline_s":3,"key":"xyz"}}\n')
    link = await ControlLink.open("127.0.0.1", port)
    with pytest.raises(RemoteProtocolError, match="key"):
        await link.register(identity(None), b"")
    link.close()
    server.close()


async def test_a_port_nobody_listens_on_is_an_oserror() -> None:
    server, port = await serve_once(b"")
    server.close()
    await server.wait_closed()
    with pytest.raises(OSError):
        await ControlLink.open("127.0.0.1", port)


async def test_nothing_is_written_to_a_closed_connection() -> None:
    async with FakeBalancer() as balancer:
        link = await ControlLink.open("127.0.0.1", balancer.port)
        link.close()
        assert not link.send("leave", {})
