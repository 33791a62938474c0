"""Numbered tokens over breaks of every kind: none lost, none twice, none too many, and the usage is right."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from tests.e2e.counting import PROMPT_TOKENS, SGLANG, VLLM, Break, Counting, counted, counting
from tests.e2e.pool import Balancer, balancer
from tests.e2e.streams import HttpStream, stream

pytestmark = pytest.mark.asyncio(loop_scope="module")

BOTH = ("chat", "completions")
JUNK = (b'data: {"id": "x", "choices": [{"te\n\n', b'data: {"choices": [[]]}\n\n', b"data: <html>\n\n")
OOM = b'data: {"error": {"message": "out of memory"}}\n\n'


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def front() -> AsyncIterator[Balancer]:
    async with balancer("-r", "--token-timeout", "5") as found:
        yield found


class Told:
    """What a client got of a model whose calls break as the script says."""

    def __init__(self, found: HttpStream) -> None:
        events = found.events
        self.text, self.usage, self.finish_reason = events.text, events.usage, events.finish_reason
        self.code, self.faults, self.resumed = found.error_code, events.faults, events.resumed

    def check(self, tokens: int, resumed: int, *, usage: bool = True) -> None:
        assert (self.code, self.faults, self.text) == (None, [], counted(tokens))
        assert self.resumed == resumed
        told = {"prompt_tokens": PROMPT_TOKENS, "completion_tokens": tokens, "total_tokens": PROMPT_TOKENS + tokens}
        assert self.usage == (told if usage else None)


async def told(
    front: Balancer,
    script: Counting,
    endpoint: str,
    abilities: tuple[str, ...],
    *headers: str,
    endpoints: tuple[str, ...] = BOTH,
    backends: int = 3,
    **body: Any,
) -> Told:
    name = f"m{next(_names)}"
    said = {"messages": [{"role": "user", "content": "count"}]} if endpoint == "chat" else {"prompt": "count"}
    async with (
        counting(front, name, script, abilities, endpoints, backends),
        stream(front.port, endpoint, *headers, model=name, **{**said, **body}) as found,
    ):
        await found.ended()
        return Told(found)


_names = iter(range(1000))


@pytest.mark.parametrize("endpoint", BOTH)
async def test_token_ids_go_from_hand_to_hand(front: Balancer, endpoint: str) -> None:
    script = Counting(Break(), Break())
    (await told(front, script, endpoint, VLLM, max_tokens=50)).check(20, resumed=2)
    assert [isinstance(body.get("prompt"), list) for body in script.asked] == [False, True, True]
    assert [body["max_tokens"] for body in script.asked] == [50, 45, 40]


@pytest.mark.parametrize(("abilities", "usage"), [(VLLM, True), (SGLANG, False)])
@pytest.mark.parametrize("endpoint", BOTH)
async def test_who_dies_behind_the_finish_reason_has_said_it_all(
    front: Balancer, endpoint: str, abilities: tuple[str, ...], usage: bool
) -> None:
    found = await told(front, Counting(Break("behind")), endpoint, abilities, max_tokens=50)
    found.check(20, resumed=0, usage=usage)
    assert found.finish_reason == "stop"
    found = await told(front, Counting(Break("finish")), endpoint, abilities, max_tokens=12)
    found.check(12, resumed=0, usage=usage)
    assert found.finish_reason == "length"


@pytest.mark.parametrize("abilities", [VLLM, SGLANG])
async def test_no_more_tokens_than_an_engine_gives_unasked(front: Balancer, abilities: tuple[str, ...]) -> None:
    found = await told(front, Counting(Break(), total=40, default=16), "completions", abilities)
    found.check(16, resumed=1)


async def test_no_more_tokens_than_asked_where_chunks_hold_several(front: Balancer) -> None:
    script = Counting(Break(tokens=8), total=40, a_chunk=4, tells=True)
    found = await told(front, script, "completions", SGLANG, max_tokens=12)
    assert set(found.faults) == {"usage twice"}, "as it was told"
    found.faults.clear()
    found.check(12, resumed=1)


@pytest.mark.parametrize("prompt", [["count"], [1, 2, 3]])
async def test_a_prompt_may_be_a_list(front: Balancer, prompt: list[Any]) -> None:
    (await told(front, Counting(Break()), "completions", VLLM, prompt=prompt, max_tokens=50)).check(20, resumed=1)


@pytest.mark.parametrize("more", [{"tools": [{"type": "function"}]}, {"response_format": {"type": "json_object"}}])
async def test_nothing_binds_where_nothing_was_said(front: Balancer, more: dict[str, Any]) -> None:
    (await told(front, Counting(Break("role")), "chat", (), **more)).check(20, resumed=1)


@pytest.mark.parametrize("says", JUNK)
@pytest.mark.parametrize("endpoint", BOTH)
async def test_junk_in_mid_stream_is_a_break(front: Balancer, endpoint: str, says: bytes) -> None:
    (await told(front, Counting(Break(says=says)), endpoint, VLLM, max_tokens=50)).check(20, resumed=1)


async def test_what_comes_with_an_error_is_told(front: Balancer) -> None:
    plan = Break(says=OOM, at_once=True)
    (await told(front, Counting(plan), "completions", VLLM, max_tokens=50)).check(20, resumed=1)
    found = await told(front, Counting(plan), "completions", VLLM, "X-Balancer-Resume: no", max_tokens=50)
    assert (found.code, found.text) == ("backend_failed", counted(5))


@pytest.mark.parametrize("abilities", [VLLM, SGLANG])
@pytest.mark.parametrize(("asked", "offered"), [("chat", "completions"), ("completions", "chat")])
async def test_an_answer_of_the_other_endpoint_goes_on_as_well(
    front: Balancer, asked: str, offered: str, abilities: tuple[str, ...]
) -> None:
    script = Counting(Break(), Break())
    found = await told(front, script, asked, abilities, endpoints=(offered,), max_tokens=50)
    found.check(20, resumed=2)
