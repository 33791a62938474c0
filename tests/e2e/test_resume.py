"""A backend dies after it has begun to answer: another one goes on, and the client sees one whole answer. Fault 18."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from tests.e2e.pool import Balancer, backend, balancer, pool
from tests.e2e.programs import Program
from tests.e2e.streams import HttpStream, stream
from tests.e2e.talk import Answer, ask, echoed, endless, talk

TOKENS: Final = 120
SLOW: Final = ("--echo-delay-ms", "50", "--slots", "16")
QUICK: Final = ("--echo-delay-ms", "1", "--slots", "16")
SAYS: Final = "Grüße aus 東京 🚀 and back"
CHAT: Final = {"messages": [{"role": "user", "content": SAYS}]}
LONG: Final = endless(TOKENS)


class Two:
    """A balancer and two backends; the second gets nothing until the first one is killed."""

    def __init__(self, front: Balancer, first: Program) -> None:
        self.front = front
        self.port = front.port
        self._first = first

    async def hand_over(self) -> None:
        await self.front.drain("second", undo=True)
        await self._first.kill()


@asynccontextmanager
async def first_of_two(cache: bool = False) -> AsyncIterator[Two]:
    backends = [["--name", "first", *SLOW], ["--name", "second", *QUICK]]
    async with pool(backends=backends, cache=cache) as (front, (first, _)):
        await front.drain("second")
        yield Two(front, first)


def check_http(found: HttpStream, text: str, tokens: int, *, resumed: int) -> None:
    """One answer, as if nothing had happened, and a comment that says what did."""
    events = found.events
    assert (found.status, events.error, events.faults) == (200, None, [])
    assert events.text == text and events.finish_reason == "length"
    assert events.usage is not None and events.usage["completion_tokens"] == tokens
    assert events.usage["prompt_tokens"] == len(SAYS.split())
    assert events.usage["total_tokens"] == events.usage["completion_tokens"] + events.usage["prompt_tokens"]
    assert events.resumed == resumed
    assert events.comments.count(": balancer backend=second ") == 1 and found.headers["x-balancer-backend"] == "first"


def check_native(found: Answer, text: str, tokens: int, *, resumed: int) -> None:
    assert found.done is not None, found.error
    assert found.text == text and found.done["finish_reason"] == "length" and found.backend == "second"
    assert found.done["usage"]["completion_tokens"] == tokens
    assert found.done["usage"]["prompt_tokens"] == len(SAYS.split())
    assert found.done["resumed"] == resumed
    assert found.resumed == [{"backend": "second", "resumed": n + 1} for n in range(resumed)]


async def test_a_stream_goes_on_elsewhere_on_every_door_and_looks_like_one() -> None:
    async with (
        first_of_two() as two,
        stream(two.port, "chat", model="echo", **CHAT, **LONG) as chat,
        stream(two.port, "completions", model="echo", prompt=SAYS, **LONG) as text,
        talk(two.port) as lines,
    ):
        spoken, written = lines.expect("chat"), lines.ask(SAYS, "text", **LONG)
        lines.write(json.dumps({"id": "chat", **CHAT, **LONG}).encode() + b"\n")
        await asyncio.gather(chat.begun(), text.begun(), lines.begun(spoken, written))
        await two.hand_over()
        await asyncio.gather(chat.ended(), text.ended(), lines.ended(spoken, written))
        for found in (chat, text):
            check_http(found, echoed(SAYS, TOKENS), TOKENS, resumed=1)
        for told in (spoken, written):
            check_native(told, echoed(SAYS, TOKENS), TOKENS, resumed=1)
        counts = (await two.front.until_idle())["counts"]
        assert counts["resumed"] == 4 and counts["completed"] == 4 and "retries" not in counts


async def test_a_classic_client_gets_its_answer_whole() -> None:
    words = " ".join(f"word{n}" for n in range(60))
    async with first_of_two() as two, talk(two.port) as lines:
        lines.write(b"CLIENT|ADD" + words.encode())
        await two.front.until(lambda status: status["exchanges"]["streaming"] == 1)
        await two.hand_over()
        async with asyncio.timeout(20.0):
            assert await lines.reader.readexactly(len(words)) == words.encode()
        await two.front.until_idle()


async def test_who_says_no_gets_an_explicit_error() -> None:
    no = "X-Balancer-Resume: no"
    async with (
        first_of_two() as two,
        stream(two.port, "chat", no, model="echo", **CHAT, **LONG) as chat,
        stream(two.port, "completions", no, model="echo", prompt=SAYS, **LONG) as text,
        talk(two.port) as lines,
    ):
        told = lines.ask(SAYS, "no", resume=False, **LONG)
        found = (chat, text)
        await asyncio.gather(*(each.begun() for each in found), lines.begun(told))
        await two.hand_over()
        await asyncio.gather(*(each.ended() for each in found), lines.ended(told))
        codes = {told.code, *(each.error_code for each in found)}
        assert codes <= {"backend_lost", "backend_failed"}
        assert [each.events.finish_reason for each in found] == [None] * 2 and not told.resumed
        counts = (await two.front.until_idle())["counts"]
        assert "resumed" not in counts and "completed" not in counts


async def test_an_answer_changes_hands_again_and_again() -> None:
    names = [["--name", f"b{n}", "--echo-delay-ms", "20"] for n in range(4)]
    async with pool(backends=names) as (front, backends), talk(front.port) as lines:
        by_name = {program.ready["name"]: program for program in backends}
        answer = lines.ask(SAYS, 1, **endless(250))
        await lines.begun(answer)
        for changes in range(3):
            (serving,) = [each["name"] for each in (await front.status())["backends"] if each["in_flight"]]
            await by_name.pop(serving).kill()
            await lines.until(lambda wanted=changes + 1: len(answer.resumed) == wanted)  # type: ignore[misc]
        await lines.ended(answer)
        assert answer.text == echoed(SAYS, 250) and answer.done is not None
        assert answer.done["resumed"] == 3 and answer.done["usage"]["completion_tokens"] == 250
        assert len({each["backend"] for each in answer.resumed}) == 3


async def test_nobody_is_left_to_go_on() -> None:
    """The stream waits for a backend as long as the queue may, and then ends in an error."""
    async with pool("--queue-timeout", "1", backends=[list(SLOW)]) as (front, (only,)):
        async with stream(front.port, "completions", model="echo", prompt=SAYS, **LONG) as found:
            await found.begun()
            await only.kill()
            await found.ended()
            assert found.error_code in ("backend_lost", "backend_failed") and found.events.finish_reason is None
            assert echoed(SAYS, TOKENS).startswith(found.text)
        await front.until_idle()


async def test_the_cache_keeps_what_was_made_by_two_and_nothing_that_broke() -> None:
    words = " ".join(f"word{n}" for n in range(80))
    async with first_of_two(cache=True) as two, talk(two.port) as lines:
        whole, broken = lines.ask(words, 1), lines.ask(f"no {words}", 2, resume=False)
        await lines.begun(whole, broken)
        await two.hand_over()
        await lines.ended(whole, broken)
        assert whole.text == words and whole.done is not None and whole.done["resumed"] == 1
        assert broken.error is not None
        again = await ask(two.port, words)
        assert (again.text, again.cache) == (words, "exact")
        anew = await ask(two.port, f"no {words}", cache="only")
        assert anew.code == "not_cached"


async def test_a_backend_of_ours_that_was_only_configured_goes_on_as_well() -> None:
    async with backend(None, *SLOW) as first, backend(None, *QUICK) as second:
        programs = {f"on-{program.ready['port']}": program for program in (first, second)}
        urls = [f"http://127.0.0.1:{program.ready['port']};name={name}" for name, program in programs.items()]
        async with balancer(*(part for url in urls for part in ("--upstream", url))) as front:
            await front.until(lambda status: len(status.alive) == 2)
            name = f"on-{second.ready['port']}"
            await front.drain(name)
            async with stream(front.port, "chat", model="echo", **CHAT, **LONG) as found:
                await found.begun()
                await front.drain(name, undo=True)
                await first.kill()
                await found.ended()
                assert found.text == echoed(SAYS, TOKENS) and found.events.resumed == 1, found.error_code
