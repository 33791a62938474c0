from __future__ import annotations

import asyncio
import re
import urllib.error
import urllib.request

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from frontend.app import HEADERS, STATIC
from frontend.limits import Limits
from tests.client.fake_balancer import FakeBalancer
from tests.frontend.served import served


async def get(url: str) -> tuple[int, dict[str, str], bytes]:
    def fetch() -> tuple[int, dict[str, str], bytes]:
        try:
            with urllib.request.urlopen(url, timeout=10) as found:
                return found.status, dict(found.headers), found.read()
        except urllib.error.HTTPError as error:
            return error.code, dict(error.headers), error.read()

    return await asyncio.to_thread(fetch)


async def test_page_files_and_health_come_with_strict_headers():
    async with FakeBalancer().running() as fake, served(fake.port) as page:
        for path, status in (("/", 200), ("/static/app.js", 200), ("/healthz", 200), ("/nothing", 404)):
            found, headers, _ = await get(page.url + path)
            assert found == status
            assert headers["content-security-policy"] == HEADERS["content-security-policy"]
            assert headers["x-content-type-options"] == "nosniff"
            assert "server" not in headers
        assert (await get(page.url + "/healthz"))[2] == b'{"status":"ok"}'
        assert (await get(page.url + "/static/../app.py"))[0] == 404
        assert (await get(page.url + "/static/%2e%2e/app.py"))[0] == 404


def test_the_page_needs_nothing_from_elsewhere_and_runs_nothing_inline():
    for file in STATIC.iterdir():
        text = file.read_text()
        assert not re.search(r"(https?:)?//(?!www\.w3\.org/2000/svg)[a-z0-9.-]+\.[a-z]{2,}", text), file.name
    html = (STATIC / "index.html").read_text()
    assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son[a-z]+=", html)
    for script in STATIC.glob("*.js"):
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b", script.read_text())


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://evil.example:80"])
async def test_a_foreign_page_gets_403_before_the_websocket_opens(origin):
    async with FakeBalancer().running() as fake, served(fake.port) as page:
        with pytest.raises(InvalidStatus) as caught:
            await connect(page.ws, origin=origin)
        assert caught.value.response.status_code == 403
        assert fake.connections == 0


async def test_our_own_page_and_named_origins_come_in():
    async with FakeBalancer().running() as fake, served(fake.port, origins=["https://chat.example.org"]) as page:
        for origin in (page.url, "https://chat.example.org"):
            async with connect(page.ws, origin=origin):
                pass


async def test_browsers_are_counted():
    async with FakeBalancer().running() as fake, served(fake.port, Limits(browsers_max=2)) as page:
        async with connect(page.ws), connect(page.ws):
            with pytest.raises(InvalidStatus) as caught:
                await connect(page.ws)
            assert caught.value.response.status_code == 503
            assert caught.value.response.headers["retry-after"] == "30"
        async with asyncio.timeout(10):
            while True:  # the places are free again, once the closes have been noticed
                try:
                    async with connect(page.ws):
                        break
                except InvalidStatus:
                    await asyncio.sleep(0.05)
