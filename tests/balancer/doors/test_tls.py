"""TLS in front of every door, against OpenSSL's own client side; test_tls_hostile.py has those who mean harm."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

import pytest

from balancer.doors.tls import CertificateError, TlsTransport, server_context
from tests.balancer.doors.agent import RawAgent
from tests.balancer.doors.caller import completion, reply, request
from tests.balancer.doors.secrecy import Spy, a_spy, secretly, tls_lobby
from tests.certificates import Certificate, make_certificate, needs_openssl

pytestmark = needs_openssl

GET = request("GET", "/livez")


# --- what works inside


async def test_every_protocol_is_recognised_inside(context: ssl.SSLContext, trusting: ssl.SSLContext) -> None:
    async with tls_lobby(context).open() as lobby:
        assert (await (await secretly(lobby, trusting, GET)).some()).startswith(b"HTTP/1.1 200")
        native = await secretly(lobby, trusting, {"id": 1, "prompt": "hi"})
        await lobby.calls(1)
        lobby.hall.calls[0].answer("hello")
        assert (await native.line())["text"] == "hello"
        classic = await secretly(lobby, trusting, b"CLIENT|ADDhello")
        await lobby.calls(2)
        lobby.hall.calls[1].answer("Once upon")
        assert await classic.some() == b"Once upon"
        agent = RawAgent(await secretly(lobby, trusting), None)
        assert "lease" in await agent.register()


async def test_requests_are_pipelined_and_streamed_and_the_connection_is_kept(
    context: ssl.SSLContext, trusting: ssl.SSLContext
) -> None:
    async with tls_lobby(context).open() as lobby:
        visitor = await secretly(lobby, trusting, GET + completion(stream=True) + GET)
        assert (await (await reply(visitor)).whole()).status == 200
        await lobby.calls(1)
        for token in ("one", "two"):
            lobby.hall.calls[0].say(token)
            await asyncio.sleep(0.01)
        lobby.hall.calls[0].finish()
        streamed = await (await reply(visitor)).whole()
        assert b"one" in streamed.body and streamed.events[-1] == b"[DONE]"
        for _ in range(2):
            assert (await (await reply(visitor)).whole()).json == {"status": "ok"}
            visitor.send(GET)


async def test_a_body_of_megabytes_arrives_whole_and_goes_out_whole(
    context: ssl.SSLContext, trusting: ssl.SSLContext
) -> None:
    async with tls_lobby(context).open() as lobby:
        prompt = "0123456789abcdef" * (6 << 16)
        visitor = await secretly(lobby, trusting, completion(prompt=prompt, stream=True))
        await lobby.calls(1)
        assert lobby.hall.calls[0].request.body["prompt"] == prompt
        pieces = [f"{n}" + "z" * 3000 for n in range(100)]
        lobby.hall.calls[0].answer(*pieces)
        body = (await (await reply(visitor)).whole()).body
        assert body.endswith(b"data: [DONE]\n\n") and all(f'"{piece}"'.encode() in body for piece in pieces)


async def test_only_new_versions_are_spoken_and_http_1_1_is_named(
    context: ssl.SSLContext, trusting: ssl.SSLContext
) -> None:
    async with tls_lobby(context).open() as lobby:
        trusting.set_alpn_protocols(["h2", "http/1.1"])
        spy = await a_spy(lobby, trusting)
        assert spy.tls.version() == "TLSv1.3" and spy.tls.selected_alpn_protocol() == "http/1.1"
        trusting.maximum_version = ssl.TLSVersion.TLSv1_2
        assert (await a_spy(lobby, trusting)).tls.version() == "TLSv1.2"
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2


@pytest.mark.parametrize("split", [1, 7])
async def test_a_handshake_may_come_byte_by_byte(context: ssl.SSLContext, trusting: ssl.SSLContext, split: int) -> None:
    async with tls_lobby(context).open() as lobby:
        spy = await a_spy(lobby, trusting, split)
        for byte in spy.encrypted(GET):
            spy.visitor.send(bytes([byte]))
            await asyncio.sleep(0)
        assert (await spy.some()).startswith(b"HTTP/1.1 200")


async def test_the_first_request_may_come_with_the_end_of_the_handshake(
    context: ssl.SSLContext, trusting: ssl.SSLContext
) -> None:
    async with tls_lobby(context).open() as lobby:
        spy = Spy(await lobby.visit(), trusting)
        with pytest.raises(ssl.SSLWantReadError):
            spy.tls.do_handshake()
        spy.visitor.send(spy.encrypted())
        spy._incoming.write(await spy.visitor.some())
        spy.tls.do_handshake()
        spy.visitor.send(spy.encrypted(GET))
        assert (await spy.some()).startswith(b"HTTP/1.1 200")


# --- who leaves


@pytest.mark.parametrize("way", ["close_notify", "end of the connection"])
async def test_an_http_client_that_ends_has_left(context: ssl.SSLContext, trusting: ssl.SSLContext, way: str) -> None:
    async with tls_lobby(context).open() as lobby:
        spy = await a_spy(lobby, trusting)
        spy.visitor.send(spy.encrypted(completion(stream=True)))
        await lobby.calls(1)
        if way == "close_notify":
            spy.say_end()
        else:
            spy.visitor.writer.write_eof()
        await lobby.until(lambda: lobby.hall.calls[0].cancelled and lobby.clients.connections == 0)
        assert lobby.hall.in_flight() == 0


async def test_a_native_client_that_ends_its_side_has_asked_its_last(
    context: ssl.SSLContext, trusting: ssl.SSLContext
) -> None:
    async with tls_lobby(context).open() as lobby:
        spy = await a_spy(lobby, trusting)
        spy.visitor.send(spy.encrypted(b'{"prompt":"hi"}\n'))
        await lobby.calls(1)
        spy.say_end()
        spy.visitor.writer.write_eof()
        await asyncio.sleep(0.02)
        lobby.hall.calls[0].answer("hello")
        received = await spy.visitor.rest()
        await lobby.until(lambda: lobby.clients.connections == 0)
        assert lobby.hall.calls[0].over and len(received) > len("hello")


async def test_a_refusal_is_read_by_one_who_still_sends(context: ssl.SSLContext, trusting: ssl.SSLContext) -> None:
    async with tls_lobby(context).open() as lobby:
        visitor = await secretly(lobby, trusting, b"POST /x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(10):
            visitor.send(b"100000\r\n" + b"x" * (1 << 20) + b"\r\n")
        assert (await (await reply(visitor)).whole()).status == 413


async def test_the_end_of_an_answer_is_a_close_notify(context: ssl.SSLContext, trusting: ssl.SSLContext) -> None:
    async with tls_lobby(context).open() as lobby:
        spy = await a_spy(lobby, trusting)
        spy.visitor.send(spy.encrypted(request("GET", "/livez", None, "Connection: close")))
        received = b""
        while piece := await spy.some():
            received += piece
        assert received.startswith(b"HTTP/1.1 200") and received.endswith(b'{"status":"ok"}')


# --- the transport


async def test_a_door_sees_a_transport_like_any_other(context: ssl.SSLContext, trusting: ssl.SSLContext) -> None:
    made: list[TlsTransport] = []

    class Door(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            assert isinstance(transport, TlsTransport)
            made.append(transport)

    async with tls_lobby(context).open() as lobby:
        lobby.doors.native = Door
        visitor = await secretly(lobby, trusting, b"{")
        await lobby.until(lambda: made)
        transport = made[0]
        assert isinstance(transport.get_protocol(), Door)
        assert transport.get_extra_info("ssl_object").version() == "TLSv1.3"
        assert transport.get_extra_info("peername") == visitor.writer.get_extra_info("sockname")
        assert transport.get_extra_info("socket").fileno() > 2 and transport.get_extra_info("weather", 7) == 7
        transport.set_write_buffer_limits(high=1000)
        assert transport.get_write_buffer_limits()[1] == 1000 and transport.get_write_buffer_size() == 0
        transport.pause_reading()
        assert not transport.is_reading()
        transport.resume_reading()
        transport.writelines([b"one ", b"", memoryview(b"two ")])
        transport.write(b"")
        assert transport.can_write_eof() and not transport.is_closing()
        transport.write_eof()
        transport.write(b"nothing more")
        assert await visitor.rest() == b"one two "
        transport.close()
        transport.close()
        transport.write_eof()
        assert transport.is_closing()


# --- the certificate


def test_what_is_wrong_with_a_certificate_or_key_is_named(certificate: Certificate, tmp_path: Path) -> None:
    chain, key = certificate
    other = make_certificate(tmp_path, "other")
    nothing, text = tmp_path / "nothing", tmp_path / "text"
    text.write_text("hello\n")
    for given, option, said in (
        ((nothing, key), "tls-cert", "No such file"),
        ((text, key), "tls-cert", "no certificate"),
        ((key, key), "tls-cert", "no certificate"),
        ((chain, nothing), "tls-key", "No such file"),
        ((chain, text), "tls-key", "no private key"),
        ((chain, chain), "tls-key", "no private key"),
        ((chain, other.key), "tls-key", "not the key of"),
        ((chain, tmp_path), "tls-key", "directory"),
    ):
        with pytest.raises(CertificateError, match=said) as raised:
            server_context(*given)
        assert raised.value.option == option
