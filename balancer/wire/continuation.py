"""Going on with an answer that another engine began: which requests allow it, what is asked, how the seam is hidden.

Three forms, best first. Our own engine takes ``continue_from`` (the answer so far, as text and token ids) beside the
untouched request. An engine that told prompt and answer as token ids (vLLM's ``return_token_ids``) gets both as one
prompt of completions. Else the text goes on as text: behind the prompt, or as a last message of the assistant's with
``continue_final_message`` (vLLM, SGLang); it may then be cut into other tokens than before.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Final, NamedTuple

import msgspec

from balancer.wire.openai import chat_from_completion, completion_from_chat, lone_prompt
from balancer.wire.sse import DONE, event, event_data

_BINDING: Final = frozenset({
    "audio",
    "best_of",
    "continue_from",
    "echo",
    "function_call",
    "functions",
    "grammar",
    "guided_choice",
    "guided_decoding",
    "guided_grammar",
    "guided_json",
    "guided_regex",
    "json_schema",
    "logprobs",
    "modalities",
    "prediction",
    "response_format",
    "structured_outputs",
    "suffix",
    "tools",
    "top_logprobs",
    "use_beam_search",
})  # fmt: skip
"""Fields that tie an answer to its beginning: what they promise cannot be kept by whoever sees only the text."""
_FREE: Final[dict[str, Any]] = {"best_of": 1, "modalities": ["text"], "response_format": {"type": "text"}}
"""What these of them may say all the same: it is what an answer is without them."""
_CHOICES: Final = {"tools": "tool_choice", "functions": "function_call", "function_call": "function_call"}
"""Who is offered tools but may call ``none`` writes a text."""
COMPLETION_TOKENS: Final = 16
"""What OpenAI's API, vLLM and SGLang take for a completion's ``max_tokens`` where a request gives none."""
_LIMITS: Final = ("max_tokens", "max_completion_tokens", "min_tokens")
_encode = msgspec.json.encode
_decode = msgspec.json.decode


class Begun(NamedTuple):
    """What has been relayed of an answer."""

    id: str
    model: str
    created: int
    """Unix seconds."""
    text: str
    tokens: int
    """How many tokens the text is: by their ids, else the pieces it came in."""
    token_ids: list[int] | None = None
    """The text's tokens; ``None`` where the engine did not tell all of them."""
    prompt_token_ids: list[int] | None = None


def can_continue(body: dict[str, Any], endpoint: str) -> bool:
    """Whether the answer to this request is nothing but one text, so that its rest follows from its beginning."""
    if body.get("n") not in (None, 1) or any(_binds(body, name) for name in _BINDING.intersection(body)):
        return False
    if endpoint == "chat":
        # Who continues a message of his own gets no new one of the assistant's, so there is none to go on with.
        return body.get("add_generation_prompt") is not False and not body.get("continue_final_message")
    if endpoint != "completions":
        return False
    prompt = lone_prompt(body.get("prompt"))
    return isinstance(prompt, str) or is_token_ids(prompt)


def _binds(body: dict[str, Any], name: str) -> bool:
    value = body[name]
    if not value or value == _FREE.get(name):
        return False
    return name not in _CHOICES or body.get(_CHOICES[name]) != "none"


def is_token_ids(prompt: object) -> bool:
    """Whether a prompt is a list of token ids; engines refuse what only begins like one."""
    return isinstance(prompt, list) and bool(prompt) and isinstance(prompt[0], int)


def limited(
    body: dict[str, Any], endpoint: str, abilities: Collection[str], offered: Collection[str], begun: Begun
) -> dict[str, Any]:
    """The request with the limit that the engine which began to answer gave it of its own: those that complete no more
    than 16 tokens unless told otherwise would give as many again to whoever goes on."""
    as_completion = "completions" in offered and (endpoint == "completions" or "chat" not in offered)
    if not as_completion or begun.tokens > COMPLETION_TOKENS or any(name in body for name in _LIMITS[:2]):
        return body
    if "continue_from" in abilities or not any(name in abilities for name in ("token_ids", "continue_final_message")):
        return body  # ours has no such limit, and of others it is not known
    return {**body, "max_tokens": COMPLETION_TOKENS}


def tokens_left(body: dict[str, Any], begun: Begun) -> bool:
    """Whether the request's own limit leaves anything to say."""
    given = [body[name] for name in _LIMITS[:2] if isinstance(body.get(name), int)]
    return not given or min(given) > begun.tokens


def continued(
    body: dict[str, Any], endpoint: str, abilities: Collection[str], offered: Collection[str], begun: Begun
) -> tuple[str, dict[str, Any]]:
    """Endpoint and body that ask an engine with these abilities and endpoints for the rest of the answer.

    Raises `ValueError` where it has no way to give it.
    """
    rest = {**body, **_limits(body, begun)}
    if not begun.text:
        return endpoint, rest  # nothing was said yet: it can as well be said from the beginning
    ids = _ids_so_far(body, begun) if "token_ids" in abilities and "completions" in offered else None
    if ids is not None and "continue_from" not in abilities:
        rest.pop("messages", None)
        given = [rest.pop(name) for name in _LIMITS[:2] if isinstance(rest.get(name), int)]
        # null: all that fits; absent it would be 16.
        return "completions", {**rest, "max_tokens": min(given, default=None), "prompt": ids}
    if "continue_from" not in abilities and is_token_ids(lone_prompt(body.get("prompt"))):
        raise ValueError("no way to continue token ids with a text")
    if endpoint not in offered:
        if endpoint == "completions":
            endpoint, rest = "chat", chat_from_completion(rest)
        else:
            endpoint, rest = "completions", completion_from_chat(rest)
    if "continue_from" in abilities:
        if begun.token_ids is not None:
            rest.setdefault("return_token_ids", "continue")  # for whoever goes on after this one
        return endpoint, {**rest, "continue_from": {"text": begun.text, "token_ids": begun.token_ids or []}}
    if endpoint == "completions":
        if "token_ids" in abilities:
            rest.setdefault("max_tokens", None)
        return endpoint, {**rest, "prompt": str(lone_prompt(rest["prompt"])) + begun.text}
    if "continue_final_message" not in abilities:
        raise ValueError(f"no way to continue a {endpoint} answer")
    said = {"role": "assistant", "content": begun.text}
    whole = [*rest["messages"], said]
    return endpoint, {**rest, "messages": whole, "continue_final_message": True, "add_generation_prompt": False}


def _ids_so_far(body: dict[str, Any], begun: Begun) -> list[int] | None:
    """Prompt and answer as token ids, where all of them are known.

    Engines hold back text that may begin a stop string, but not its tokens: the ids are then ahead of the text.
    """
    if begun.token_ids is None or body.get("stop"):
        return None
    prompt = begun.prompt_token_ids or lone_prompt(body.get("prompt"))
    return [*prompt, *begun.token_ids] if isinstance(prompt, list) and is_token_ids(prompt) else None


def _limits(body: dict[str, Any], begun: Begun) -> dict[str, int]:
    return {name: max(0, body[name] - begun.tokens) for name in _LIMITS if isinstance(body.get(name), int)}


class Seam:
    """Makes the rest of an answer look as if it had never changed hands: id, model and date stay, nobody speaks up
    anew, and usage tells of the whole. ``summed``: the engine's own usage already does."""

    __slots__ = ("_begun", "_summed")

    def __init__(self, begun: Begun, *, summed: bool) -> None:
        self._begun = begun
        self._summed = summed

    def rewrite(self, events: bytes) -> bytes:
        """Raises `ValueError` for what is no chunk."""
        return b"".join(self._rewritten(data) for data in event_data(events))

    def _rewritten(self, data: bytes) -> bytes:
        if data == b"[DONE]":
            return DONE
        chunk = _decode(data)
        if not isinstance(chunk, dict) or not isinstance(chunk.get("choices", []), list):
            raise ValueError("an event that is no chunk")
        begun = self._begun
        chunk |= {"id": begun.id, "model": begun.model, "created": begun.created}
        chunk.pop("prompt_token_ids", None)
        choices = [choice for choice in chunk.get("choices", []) if isinstance(choice, dict)]
        for choice in choices:
            choice.pop("prompt_token_ids", None)
            if isinstance(choice.get("delta"), dict) and not choice.get("index"):  # only the first one's was told
                choice["delta"].pop("role", None)
        if isinstance(chunk.get("usage"), dict):
            chunk["usage"] = self._whole_usage(chunk["usage"])
        elif not any(_says_something(choice) for choice in choices):
            return b""
        return event(_encode(chunk))

    def _whole_usage(self, usage: dict[str, Any]) -> dict[str, Any]:
        prompt, completion = usage.get("prompt_tokens"), usage.get("completion_tokens")
        if self._summed or not isinstance(prompt, int) or not isinstance(completion, int):
            return usage
        prompt = max(0, prompt - self._begun.tokens)
        completion += self._begun.tokens
        return {
            **usage, "prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion
        }  # fmt: skip


def _says_something(choice: dict[str, Any]) -> bool:
    delta = choice.get("delta")
    text = delta.get("content") if isinstance(delta, dict) else choice.get("text")
    told = text or choice.get("finish_reason") or choice.get("token_ids")
    return bool(told or (isinstance(delta, dict) and any(delta.values())))
