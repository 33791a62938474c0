"""Engines that break while others could answer: asked again before the first byte, gone on with after it.

Faults 8, 17, 19, 20, 21, 24 and 26. Each test has models of its own on one balancer whose token deadlines are a second.
"""

from __future__ import annotations

import asyncio
import json
import re
import socket
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any, Final

import pytest
import pytest_asyncio

from tests.e2e.broken import (
    answers_html,
    answers_junk,
    dies_in_mid_stream,
    ends_without_a_finish,
    engines,
    never_answers,
    resets,
    says_internal_error,
    stalls,
    tells_an_error_inside,
    well,
)
from tests.e2e.fake_engine import HEAD, LAST_CHUNK, FakeEngine, Script, Wire, chunk, event, events
from tests.e2e.pool import FREED_S, Balancer, balancer, http, pool
from tests.e2e.raw_agent import registered
from tests.e2e.streams import stream
from tests.e2e.talk import ask, echoed, endless, talk

pytestmark = pytest.mark.asyncio(loop_scope="module")

QUESTION: Final = "how is it"
BEFORE_THE_FIRST_BYTE: Final = [resets, never_answers, says_internal_error, answers_html, answers_junk]
AFTER_IT: Final = [dies_in_mid_stream, ends_without_a_finish, tells_an_error_inside, stalls]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def front() -> AsyncIterator[Balancer]:
    async with balancer("-r", "--first-token-timeout", "1", "--token-timeout", "1") as found:
        yield found


@pytest_asyncio.fixture(loop_scope="module")
async def budget(front: Balancer) -> None:
    """Requests that went well, so that the tests before have left something of the budget for retries."""
    async with engines(front, well, slots=40) as (model, _), talk(front.port) as connection:
        for tried in range(3):  # where the machine stands still for a second, they are all too late
            asked = [connection.ask(QUESTION, 40 * tried + n, model=model) for n in range(40)]
            await connection.ended(*asked)
            if all(answer.done is not None for answer in asked):
                return
        raise AssertionError(asked)


# --- before the first byte


@pytest.mark.parametrize("bad", BEFORE_THE_FIRST_BYTE)
async def test_what_fails_before_the_first_byte_is_answered_elsewhere(
    front: Balancer, budget: None, bad: Script
) -> None:
    """Faults 19, 20 and 24: the client sees one success, after one attempt more."""
    async with engines(front, bad, well) as (model, (broken, healthy)):
        answers = [await ask(front.port, QUESTION, model=model) for _ in range(2)]
        assert [answer.text for answer in answers] == ["all is well"] * 2
        assert sorted(answer.done["attempts"] for answer in answers if answer.done) == [1, 2]
        assert (len(broken.asked), len(healthy.asked)) == (1, 2)


@pytest.mark.parametrize("bad", BEFORE_THE_FIRST_BYTE)
async def test_three_attempts_are_the_most_and_then_the_error_is_told(
    front: Balancer, budget: None, bad: Script
) -> None:
    """Faults 19, 20 and 24: structured, and four engines that share a fault are not all tried."""
    async with engines(front, bad, bad, bad, bad) as (model, broken):
        body = json.dumps({"model": model, "prompt": QUESTION, "stream": True}).encode()
        hurry = ["x-balancer-first-token-timeout: 0.5"] if bad is never_answers else []  # the head waits for 5 s only
        answer = await http(front.port, "POST", "/v1/completions", *hurry, body=body)
        error = answer.json()["error"]
        assert (answer.status, error["type"]) == (504 if bad is never_answers else 502, "server_error")
        assert error["code"] in ("backend_failed", "backend_timeout")
        assert [len(each.asked) for each in broken].count(1) == 3 == sum(len(each.asked) for each in broken)


async def test_a_whole_answer_that_breaks_off_is_asked_for_elsewhere(front: Balancer, budget: None) -> None:
    """Nothing of it has gone to the client before all of it is there."""
    whole = json.dumps({"choices": [{"index": 0, "text": "all is well", "finish_reason": "stop"}]}).encode()

    async def half(body: dict[str, Any], wire: Wire) -> None:
        await wire.send(whole_head(len(whole)) + whole[:20])

    async def all_of_it(body: dict[str, Any], wire: Wire) -> None:
        await wire.send(whole_head(len(whole)) + whole)

    async with engines(front, half, all_of_it) as (model, (broken, _)):
        body = json.dumps({"model": model, "prompt": QUESTION}).encode()
        answers = [await http(front.port, "POST", "/v1/completions", body=body) for _ in range(2)]
        assert [answer.body for answer in answers] == [whole] * 2
        assert sorted(answer.headers["x-balancer-attempts"] for answer in answers) == ["1", "2"]
        assert len(broken.asked) == 1


def whole_head(length: int) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % length


async def test_the_engines_own_no_is_not_asked_for_twice(front: Balancer) -> None:
    """What is wrong with a request is wrong everywhere."""

    async def refuses(body: dict[str, Any], wire: Wire) -> None:
        said = b'{"error":{"message":"temperature must be warm","code":"cold"}}'
        await wire.send(b"HTTP/1.1 400 Bad\r\nContent-Length: %d\r\n\r\n%s" % (len(said), said))

    async with engines(front, refuses, refuses) as (model, found):
        answer = await ask(front.port, QUESTION, model=model)
        assert answer.code == "cold" and sum(len(each.asked) for each in found) == 1


async def test_nothing_is_asked_again_for_a_client_that_left(front: Balancer, budget: None) -> None:
    async with engines(front, never_answers, never_answers) as (model, found):
        async with talk(front.port) as leaver:
            leaver.ask(QUESTION, model=model)
            await front.until(lambda status: status["exchanges"]["asking"] == 1)
        await front.until(lambda status: status.idle, FREED_S)
        await asyncio.sleep(1.2)  # longer than the deadline for a first token
        assert sum(len(each.asked) for each in found) == 1


async def test_when_every_engine_answers_503_attempts_stay_within_the_budget() -> None:
    """Fault 26: at most a fifth more than requests, and three; at most three for each request."""
    requests = 120

    async def overloaded(body: dict[str, Any], wire: Wire) -> None:
        await wire.send(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 2\r\n\r\n{}")

    async with balancer() as own, engines(own, *[overloaded] * 4, slots=8) as (model, found):
        for _ in range(requests // 30):
            answers = await asyncio.gather(*(ask(own.port, QUESTION, model=model) for _ in range(30)))
            assert {answer.code for answer in answers} == {"backend_failed"}
        counts = (await own.until_idle())["counts"]
        attempts = sum(len(each.asked) for each in found)
        assert attempts == counts["attempts_failed"] <= 1.2 * requests + 3
        assert counts["retries"] == attempts - requests > 0 and counts["retries_refused"] > 0
        assert max(attempts_of(found).values()) <= 3


def attempts_of(found: list[FakeEngine]) -> Counter[str]:
    """How often each request came."""
    ids = [re.search(r"x-request-id: (\S+)", head) for each in found for head in each.heads]
    return Counter(match[1] for match in ids if match is not None)


# --- after the first byte


@pytest.mark.parametrize("bad", AFTER_IT)
async def test_what_fails_after_the_first_byte_goes_on_elsewhere(front: Balancer, bad: Script) -> None:
    """Faults 18 and 21: nothing is lost, nothing is said twice, and the other engine is told what was said."""
    async with engines(front, bad, goes_on) as (model, (broken, other)):
        answers = []
        for n in range(2):
            async with talk(front.port) as connection:
                answers.append(connection.ask(QUESTION, n, model=model, max_tokens=10))
                await connection.begun(answers[-1])
                broken.read_by_client.set()
                await connection.ended(answers[-1])
        assert all(answer.done is not None for answer in answers), answers
        (resumed,) = [answer for answer in answers if answer.resumed]
        said = other.asked[-1 if resumed is answers[1] else 0]["prompt"].removeprefix(QUESTION)
        assert resumed.text == said + " and on" and "so far".startswith(said) and said
        assert resumed.done is not None and resumed.done["resumed"] == 1 and resumed.done["finish_reason"] == "stop"
        asked = [each["max_tokens"] for each in other.asked if each["prompt"] != QUESTION]
        assert asked == [10 - len(said.split())] and len(broken.asked) == 1


async def goes_on(body: dict[str, Any], wire: Wire) -> None:
    await wire.send(HEAD + chunk(events(" and on")) + LAST_CHUNK)


@pytest.mark.parametrize("bad", AFTER_IT)
@pytest.mark.parametrize("fields", [{"n": 2}, {"tools": [{"type": "function"}]}, {"logprobs": 2}], ids=" ".join)
async def test_what_is_more_than_one_text_ends_in_an_error_event(
    front: Balancer, bad: Script, fields: dict[str, Any]
) -> None:
    """Fault 18: never a clean end, never replayed."""
    async with engines(front, bad, well) as (model, (broken, healthy)):
        ends = []
        for _ in range(2):
            async with stream(front.port, "completions", model=model, prompt=QUESTION, **fields) as found:
                await found.begun()
                broken.read_by_client.set()
                await found.ended()
                ends.append((found.error_code, found.events.finish_reason))
        assert (None, "stop") in ends
        assert ("backend_failed", None) in ends or ("backend_timeout", None) in ends
        assert (len(broken.asked), len(healthy.asked)) == (1, 1)


async def test_what_only_lacks_its_end_is_ended_here(front: Balancer) -> None:
    """The engine has said why it stopped, and dies before the end mark: there is nothing to go on with."""

    async def dies_behind_the_finish(body: dict[str, Any], wire: Wire) -> None:
        await wire.send(HEAD + chunk(event("all is said") + event("", "stop")))

    async with engines(front, dies_behind_the_finish) as (model, _):
        async with stream(front.port, "completions", model=model, prompt=QUESTION) as found:
            await found.ended()
            assert (found.text, found.events.finish_reason, found.events.faults) == ("all is said", "stop", [])


async def test_an_answer_is_gone_on_with_eight_times_at_most(front: Balancer) -> None:
    """Ten engines say a word each and break: the ninth break is told."""

    async def says_a_word(body: dict[str, Any], wire: Wire) -> None:
        await wire.send(HEAD + chunk(event(" word")))

    async with engines(front, *[says_a_word] * 10) as (model, found):
        answer = await ask(front.port, QUESTION, model=model)
        assert answer.code == "backend_failed" and answer.text == " word" * 9
        assert len(answer.resumed) == 8 and max(len(each.asked) for each in found) == 1


# --- an engine that beats and does not serve


@contextmanager
def black_hole() -> Iterator[int]:
    """A port whose listener takes no more connections: nobody answers, nobody refuses."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        address = full.getsockname()
        fillers = [socket.socket() for _ in range(4)]
        for each in fillers:
            each.setblocking(False)
            each.connect_ex(address)
        yield address[1]
        for each in fillers:
            each.close()


async def test_who_beats_but_cannot_be_reached_is_ejected_after_five_requests(front: Balancer, budget: None) -> None:
    """Fault 8: the zombie's heartbeats are fine; no client fails, and nobody is sent there after the fifth."""
    with black_hole() as port:
        async with engines(front, well, slots=40) as (model, (healthy,)):
            fields: dict[str, Any] = {"models": [{"name": model}], "endpoints": ["completions"], "slots": 4}
            async with registered(front.port, f"http://127.0.0.1:{port}", name="zombie", **fields):
                await front.until(lambda status: status.state("zombie") == "alive")
                answers = await asyncio.gather(*(ask(front.port, QUESTION, model=model) for _ in range(8)))
                answers += [await ask(front.port, QUESTION, model=model) for _ in range(2)]
                assert [answer.text for answer in answers] == ["all is well"] * 10
                assert sorted(answer.done["attempts"] for answer in answers if answer.done) == [1] * 5 + [2] * 5
                zombie = (await front.status()).backend("zombie")
                assert zombie is not None and (zombie["state"], zombie["breaker"]["state"]) == ("alive", "open")
                answers = [await ask(front.port, QUESTION, model=model) for _ in range(8)]
                assert [answer.done["attempts"] for answer in answers if answer.done] == [1] * 8
                assert len(healthy.asked) == 18


async def test_who_beats_but_never_answers_is_ejected_within_five_requests(front: Balancer, budget: None) -> None:
    """Fault 8: one after the other, so that each could have been the last that is sent there."""
    async with engines(front, never_answers, well) as (model, (zombie, healthy)):
        answers = [await ask(front.port, QUESTION, model=model) for _ in range(14)]
        assert [answer.text for answer in answers] == ["all is well"] * 14
        assert len(zombie.asked) <= 5 and len(healthy.asked) == 14


async def test_when_a_full_backend_is_killed_all_it_had_not_begun_to_answer_is_answered_elsewhere() -> None:
    """More than the retry budget would allow: it is not needed where the whole process is gone."""
    held, text = 24, "one two three"
    body = json.dumps({"prompt": text, **endless(30)}).encode()
    delays = {"first": "60000", "second": "1"}  # not even a first token; and quick
    backends = [["--name", name, "--echo-delay-ms", delay, "--slots", "32"] for name, delay in delays.items()]
    async with pool("-r", backends=backends) as (front, (first, _)):
        asks = [
            asyncio.create_task(http(front.port, "POST", "/v1/completions", body=body, timeout_s=30.0))
            for _ in range(held)
        ]
        await front.until(lambda now: now["counts"].get("completed") == held // 2 == now.in_flight)
        await first.kill()
        answers = await asyncio.gather(*asks)
        assert [answer.status for answer in answers] == [200] * held
        assert {answer.json()["choices"][0]["text"] for answer in answers} == {echoed(text, 30)}
        assert sorted(answer.headers["x-balancer-attempts"] for answer in answers) == ["1"] * 12 + ["2"] * 12
        assert (await front.until_idle())["counts"].get("retries", 0) == 0
