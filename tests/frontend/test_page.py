"""The page in a real Chromium, with a scripted balancer behind the bridge."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import pytest_asyncio

from tests.client.fake_balancer import FakeBalancer, FakeExchange, echo
from tests.frontend.served import served

playwright = pytest.importorskip("playwright.async_api", reason="playwright is not installed")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),  # one browser for all of them: each costs seconds to start
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on this machine"),
]
expect = playwright.expect
expect.set_options(timeout=20_000)

PHONE = {"viewport": {"width": 360, "height": 700}, "is_mobile": True, "has_touch": True}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Any]:
    async with playwright.async_playwright() as library:
        browser = await library.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        await browser.close()


@pytest_asyncio.fixture(loop_scope="module")
async def balancer() -> AsyncIterator[FakeBalancer]:
    async with FakeBalancer().running() as fake:
        yield fake


@pytest_asyncio.fixture(loop_scope="module")
async def open_page(browser: Any, balancer: FakeBalancer) -> AsyncIterator[Callable[..., Any]]:
    """Opens the page; whatever its scripts throw, or its policy blocks, fails the test."""
    wrong: list[str] = []
    contexts: list[Any] = []
    async with served(balancer.port) as site:

        async def open_page(**options: Any) -> Any:
            contexts.append(await browser.new_context(**options))
            page = await contexts[-1].new_page()
            page.on("pageerror", lambda error: wrong.append(str(error)))
            page.on("console", lambda m: wrong.append(m.text) if "Content Security Policy" in m.text else None)
            page.set_default_timeout(20_000)
            await page.goto(site.url)
            await expect(page.locator("#link")).to_have_attribute("data-state", "online")
            return page

        try:
            yield open_page
        finally:
            for context in contexts:
                await context.close()
    assert not wrong


async def ask(page: Any, text: str) -> None:
    await page.fill("#question", text)
    await page.press("#question", "Enter")


async def test_tokens_stream_in_and_the_quiet_line_ends_it(balancer, open_page):
    second = asyncio.Event()

    async def script(x: FakeExchange) -> None:
        await x.queued(3)
        await x.text("Once upon ")
        await second.wait()
        await x.text("a **time**.\n\n- first\n- `code`")
        await x.done(backend="b7", cache="semantic", similarity=0.9731)

    balancer.script = script
    page = await open_page()
    await ask(page, "begin")
    await expect(page.locator(".answer")).to_have_text("Once upon")
    await expect(page.locator("#send")).to_have_class("stop")
    assert await page.locator(".quiet").count() == 0
    second.set()
    await expect(page.locator(".quiet")).to_contain_text("b7")
    await expect(page.locator(".cache")).to_have_text("semantic 0.97")
    await expect(page.locator(".answer strong")).to_have_text("time")
    await expect(page.locator(".answer li code")).to_have_text("code")
    await expect(page.locator("#question")).to_be_focused()


async def test_several_turns_make_a_conversation_and_new_starts_another(balancer, open_page):
    page = await open_page()
    await page.locator("#openers button").first.click()
    await expect(page.locator(".quiet")).to_have_count(1)
    await page.fill("#question", "line one")
    await page.press("#question", "Shift+Enter")
    await page.keyboard.type("line two")
    await page.press("#question", "Enter")
    await expect(page.locator(".quiet")).to_have_count(2)
    messages = balancer.asks[1].body["messages"]
    assert [m["role"] for m in messages] == ["user", "assistant", "user"]
    assert messages[2]["content"] == "line one\nline two"
    await page.click("#new")
    await expect(page.locator("#welcome")).to_be_visible()
    await ask(page, "afresh")
    await expect(page.locator(".quiet")).to_have_count(1)
    assert len(balancer.asks[2].body["messages"]) == 1


async def test_the_stop_button_stops_and_keeps_what_was_said(balancer, open_page):
    async def script(x: FakeExchange) -> None:
        if x.last_user_text != "go":
            await echo(x)
            return
        await x.text("so far")
        await asyncio.sleep(60)

    balancer.script = script
    page = await open_page()
    await ask(page, "go")
    await expect(page.locator(".answer")).to_have_text("so far")
    await page.get_by_role("button", name="Stop").click()
    await expect(page.locator(".quiet")).to_contain_text("stopped")
    assert len(balancer.cancels) == 1
    await ask(page, "next")
    await expect(page.locator(".quiet")).to_have_count(2)
    assert balancer.asks[1].body["messages"][1]["content"] == "so far"


EVIL = [
    "<script>window.owned=1</script>",
    "<img src=x onerror='window.owned=1'>",
    "<svg onload=window.owned=1>",
    "[click](javascript:window.owned=1)",
    "**<iframe srcdoc='<script>parent.owned=1</script>'>**",
    "`<b>code</b>`",
    "```\n</code></pre><script>window.owned=1</script>\n```",
    "<style>body{display:none}</style><meta http-equiv=refresh content='0;url=https://evil.example'>",
]


async def test_what_a_model_says_is_shown_and_never_run(balancer, open_page):
    async def script(x: FakeExchange) -> None:
        await x.text("\n\n".join(EVIL))
        await x.done(backend="<img src=x onerror='window.owned=1'>", cache="<b>miss</b>")

    balancer.script = script
    page = await open_page()
    requests: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    await ask(page, "<img src=x onerror='window.owned=1'>")
    await expect(page.locator(".quiet")).to_have_count(1)
    assert await page.evaluate("typeof window.owned") == "undefined"
    inside = "#talk :is(script, img, svg, iframe, a, style, meta, b)"
    assert await page.locator(inside).count() == 0
    shown = await page.locator(".answer").inner_text()
    assert "<script>window.owned=1</script>" in shown
    assert "[click](javascript:window.owned=1)" in shown
    assert requests == []


async def test_an_error_is_shown_in_words_and_can_be_tried_again(balancer, open_page):
    async def script(x: FakeExchange) -> None:
        if len(balancer.asks) == 1:
            await x.error("backend_lost", "backend b1 was lost while it answered", retry_after_s=1.0)
        else:
            await echo(x)

    balancer.script = script
    page = await open_page()
    await ask(page, "hello there")
    await expect(page.get_by_role("alert")).to_contain_text("Backend b1 was lost while it answered.")
    await page.get_by_role("button", name="Try again").click()
    await expect(page.locator(".answer")).to_have_text("hello there")
    await expect(page.get_by_role("alert")).to_have_count(0)


async def test_the_place_in_the_queue_is_shown(balancer, open_page):
    async def script(x: FakeExchange) -> None:
        await x.queued(4)
        await asyncio.sleep(60)

    balancer.script = script
    page = await open_page()
    await ask(page, "hello")
    await expect(page.locator(".note")).to_contain_text("number 4 in line")
    await page.press("#question", "Escape")
    await expect(page.locator(".quiet")).to_contain_text("stopped")


async def test_dropped_turns_are_dimmed_and_the_page_says_so(balancer, open_page):
    async def script(x: FakeExchange) -> None:
        if len(x.ask.body["messages"]) > 3:
            await x.error("context_length_exceeded", "too long", "invalid_request_error")
        else:
            await echo(x)

    balancer.script = script
    page = await open_page()
    for i, text in enumerate(("one", "two", "three")):
        await ask(page, text)
        await expect(page.locator(".quiet")).to_have_count(i + 1)
    await expect(page.locator(".gap")).to_contain_text("no longer counts")
    assert await page.locator(".forgotten").count() >= 1
    assert await page.locator(".turn").count() == 3


async def test_the_page_finds_its_server_again(browser, balancer):
    page = await browser.new_page()
    async with served(balancer.port) as site:
        await page.goto(site.url)
        await expect(page.locator("#link")).to_have_attribute("data-state", "online")
    await expect(page.locator("#link")).not_to_have_attribute("data-state", "online")
    async with served(balancer.port, port=site.port):
        await expect(page.locator("#link")).to_have_attribute("data-state", "online")
        await ask(page, "back again")
        await expect(page.locator(".answer")).to_have_text("back again")
    await page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_a_phone_shows_all_of_it_in_either_light(balancer, open_page, scheme):
    page = await open_page(**PHONE, color_scheme=scheme)
    await ask(page, "a long word: " + "x" * 300)
    await expect(page.locator(".quiet")).to_have_count(1)
    assert await page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    for control in ("#question", "#send", "#new"):
        box = await page.locator(control).bounding_box()
        assert box is not None
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= 360
        assert box["height"] >= 28
    ink, paper = await page.evaluate("(s => [s.color, s.backgroundColor])(getComputedStyle(document.body))")
    bright = {name: sum(map(int, rgb[4:-1].split(","))) / 3 for name, rgb in (("ink", ink), ("paper", paper))}
    assert (bright["ink"] < bright["paper"]) == (scheme == "light")
    assert abs(bright["ink"] - bright["paper"]) > 150


async def test_every_control_has_a_name(open_page):
    page = await open_page()
    await expect(page.get_by_label("Your question")).to_be_focused()
    await expect(page.get_by_role("button", name="Send")).to_be_disabled()
    await expect(page.get_by_role("log", name="Conversation")).to_have_attribute("aria-live", "polite")
    await page.fill("#question", "x")
    await expect(page.get_by_role("button", name="Send")).to_be_enabled()


async def test_an_answer_from_the_cache_can_be_called_wrong(balancer, open_page):
    async def script(x: FakeExchange) -> None:
        await x.text("no")
        await x.done(cache="semantic", similarity=0.97, entry="5f0c")

    balancer.script = script
    page = await open_page()
    await ask(page, "near")
    await page.click(".wrong")
    await expect(page.locator(".reported")).to_contain_text("forgotten")
    await expect(page.locator(".wrong")).to_have_count(0)
    balancer.script = echo
    await ask(page, "another")
    await expect(page.locator(".turn").nth(1)).to_contain_text("miss")
    await expect(page.locator(".wrong")).to_have_count(0)
    assert [each.entry for each in balancer.wrongs] == ["5f0c"]
