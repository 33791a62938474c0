from __future__ import annotations

import asyncio

import frontend.http1
from tests.client.fake_balancer import FakeBalancer
from tests.frontend.served import served


async def test_a_head_that_never_ends_is_cut(monkeypatch):
    monkeypatch.setattr(frontend.http1, "HTTP_LIFETIME_S", 0.3)
    async with FakeBalancer().running() as fake, served(fake.port) as page:
        for start in (b"", b"GET / HTTP/1.1\r\nHost: x\r\n"):
            reader, writer = await asyncio.open_connection("127.0.0.1", page.port)
            writer.write(start)
            async with asyncio.timeout(10):
                try:
                    assert await reader.read() == b""
                except ConnectionResetError:
                    pass
            writer.close()


async def test_a_websocket_outlives_it(monkeypatch):
    from websockets.asyncio.client import connect

    monkeypatch.setattr(frontend.http1, "HTTP_LIFETIME_S", 1.0)
    async with FakeBalancer().running() as fake, served(fake.port) as page, connect(page.ws) as ws:
        await asyncio.sleep(1.2)
        await ws.send('{"id":1,"question":"hi"}')
        assert '"text":"hi"' in await ws.recv()


async def test_a_head_that_is_too_long_is_refused():
    async with FakeBalancer().running() as fake, served(fake.port) as page:
        reader, writer = await asyncio.open_connection("127.0.0.1", page.port)
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nX-Long: " + b"x" * 64_000)
        async with asyncio.timeout(10):
            assert b" 400 " in await reader.readline()
        writer.close()
