"""Engines whose tokens are numbered, so that none can be lost or come twice unseen; calls break as a test plans it."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Final, NamedTuple

from tests.e2e.fake_engine import DONE, HEAD, LAST_CHUNK, Wire, chunk, engine
from tests.e2e.pool import Balancer
from tests.e2e.raw_agent import registered

VLLM: Final = ("token_ids", "continue_final_message")
SGLANG: Final = ("continue_final_message",)
PROMPT_TOKENS: Final = 3
_ID: Final = 1000
"""Of token 0; those of the prompt are smaller."""
_SETTLES_S: Final = 0.05


def counted(last: int) -> str:
    """The tokens from the first to this one."""
    return "".join(map(_token, range(1, last + 1)))


def _token(number: int) -> str:
    return f" é{number:04d}"


class Break(NamedTuple):
    """How a call ends early: at ``role``, after so many ``tokens``, at the ``finish`` or ``behind`` it. ``says`` comes
    last, in one piece with the token before where ``at_once``."""

    where: str = "tokens"
    tokens: int = 5
    says: bytes = b""
    at_once: bool = False


class Counting:
    """The script of all engines of one model: the calls break one after the other, whoever gets them."""

    def __init__(
        self, *breaks: Break, total: int = 20, default: int | None = None, a_chunk: int = 1, tells: bool = False
    ) -> None:
        """``tells``: usage in every chunk."""
        self._breaks = list(breaks)
        self._tells = tells
        self._total = total
        self._default = default
        self._a_chunk = a_chunk
        self.asked: list[dict[str, Any]] = []

    async def __call__(self, body: dict[str, Any], wire: Wire) -> None:
        self.asked.append(body)
        planned = self._breaks.pop(0) if self._breaks else None
        answer = _Answer(body, f"id-{len(self.asked)}")
        begin = answer.begun + 1
        left = body.get("max_tokens") or self._default
        end = min(self._total, begin + left - 1 if left else self._total)
        await wire.send(HEAD)
        if answer.chat:
            await wire.send(chunk(answer.event([answer.choice("", role=True)])))
        if planned is not None and planned.where == "role":
            return await _break(wire, planned, b"")
        at = begin
        while at <= end:
            numbers = range(at, min(at + self._a_chunk, end + 1))
            told = answer.tokens(numbers, _usage(begin, numbers[-1]) if self._tells else {})
            at = numbers[-1] + 1
            if planned is not None and planned.where == "tokens" and at > begin - 1 + planned.tokens:
                return await _break(wire, planned, told)
            await wire.send(chunk(told))
        if planned is not None and planned.where == "finish":
            return await _break(wire, planned, b"")
        reason = "stop" if end == self._total and (not left or left > end - begin + 1) else "length"
        await wire.send(chunk(answer.event([answer.choice("", reason=reason)])))
        if planned is not None:
            return await _break(wire, planned, b"")
        await wire.send(chunk(answer.event([], **_usage(begin, end)) + DONE) + LAST_CHUNK)


def _usage(begin: int, end: int) -> dict[str, Any]:
    prompt, completion = PROMPT_TOKENS + begin - 1, end - begin + 1
    return {
        "usage": {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}
    }  # fmt: skip


async def _break(wire: Wire, planned: Break, told: bytes) -> None:
    parts = [told + planned.says] if planned.at_once else [told, planned.says]
    for part in filter(None, parts):
        await asyncio.sleep(_SETTLES_S)  # a read of its own
        await wire.send(chunk(part))
    await asyncio.sleep(_SETTLES_S)


class _Answer:
    def __init__(self, body: dict[str, Any], id: str) -> None:
        self.chat = "messages" in body
        self._ids = bool(body.get("return_token_ids"))
        kind = "chat.completion.chunk" if self.chat else "text_completion"
        self._fields = {"id": id, "object": kind, "created": len(id), "model": f"by {id}"}
        prompt = body["messages"][-1]["content"] if self.chat else body["prompt"]
        prompt = prompt[0] if isinstance(prompt, list) and isinstance(prompt[0], str) else prompt
        numbers = re.findall(r" é(\d{4})", prompt) if isinstance(prompt, str) else [n - _ID for n in prompt if n > _ID]
        self.begun = int(numbers[-1]) if numbers else 0
        self._prompt_ids = list(range(1, PROMPT_TOKENS + 1)) if self._ids else None

    def tokens(self, numbers: range, more: dict[str, Any]) -> bytes:
        return self.event([self.choice("".join(map(_token, numbers)), [_ID + number for number in numbers])], **more)

    def choice(
        self, text: str, ids: list[int] | None = None, *, reason: str | None = None, role: bool = False
    ) -> dict[str, Any]:
        choice: dict[str, Any] = {"index": 0, "finish_reason": reason, "logprobs": None}
        spoken = {"content": text} | ({"role": "assistant"} if role else {})
        choice |= {"delta": spoken} if self.chat else {"text": text}
        return choice | ({"token_ids": ids or []} if self._ids else {})

    def event(self, choices: list[dict[str, Any]], **more: Any) -> bytes:
        if self._prompt_ids is not None:
            more["prompt_token_ids"], self._prompt_ids = self._prompt_ids, None
        return b"data: " + json.dumps({**self._fields, "choices": choices, **more}).encode() + b"\n\n"


@asynccontextmanager
async def counting(
    front: Balancer, name: str, script: Counting, abilities: tuple[str, ...], endpoints: tuple[str, ...], backends: int
) -> AsyncIterator[None]:
    """So many backends of this model, alive."""
    async with AsyncExitStack() as stack:
        for n in range(backends):
            found = await stack.enter_async_context(engine(script))
            fields: dict[str, Any] = {"models": [{"name": name}], "endpoints": endpoints, "abilities": abilities}
            await stack.enter_async_context(registered(front.port, found.url, name=f"{name}-{n}", **fields))
            await front.until(lambda status, n=n: status.state(f"{name}-{n}") == "alive")  # type: ignore[misc]
        yield
