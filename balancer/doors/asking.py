"""A decoded body becomes a `Request`, or a failure that says what is wrong with it. Shared by all doors."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from balancer.errors import Failure, bad_request
from balancer.request import Request, Wishes
from balancer.wire.errors import RemoteProtocolError
from balancer.wire.native_messages import Ask
from balancer.wire.openai import messages_text

MESSAGES_MAX = 10_000
NUMBERS_MAX = {"n": 128, "best_of": 128, "max_tokens": 1 << 24, "max_completion_tokens": 1 << 24}
"""Above these a number is a mistake or an attack, whatever the engine; what is fine below is the engine's to say."""
_NUMBERS = frozenset(NUMBERS_MAX)


def malformed(error: RemoteProtocolError) -> Failure:
    """The failure of what could not even be decoded."""
    return bad_request(error.message, error.code, error.status)


def make_request(
    body: dict[str, Any],
    *,
    id: str,
    tenant: str,
    cache: str = "default",
    deadline_s: float | None = None,
    stream: bool = True,
    raw: bytes = b"",
) -> Request | Failure:
    """Check what every engine would need and make the request.

    ``body`` must hold ``prompt`` or ``messages``; everything else in it passes through untouched.
    """
    model = body.get("model")
    if model is not None and (not isinstance(model, str) or not model):
        return bad_request('"model" must be a string', "invalid_model")
    if not _NUMBERS.isdisjoint(body):
        for name, most in NUMBERS_MAX.items():
            if name in body and isinstance(number := body[name], int | float) and number > most:
                return bad_request(f'"{name}" must be at most {most}', f"invalid_{name}")
    if "messages" in body:
        messages = body["messages"]
        if not isinstance(messages, list) or not messages or _has_non_object(messages):
            return bad_request('"messages" must be a list of at least one message', "invalid_messages")
        if len(messages) > MESSAGES_MAX:
            return bad_request(f"more than {MESSAGES_MAX} messages", "too_many_messages")
        endpoint, text = "chat", messages_text(messages)
        if (not text or text.isspace()) and all(_is_bare(message) for message in messages):
            return bad_request("the messages say nothing", "empty_prompt")
    else:
        prompt = body.get("prompt")
        if not isinstance(prompt, str | list) or not prompt or (isinstance(prompt, str) and prompt.isspace()):
            return bad_request('"prompt" must not be empty', "empty_prompt")
        endpoint, text = "completions", prompt if isinstance(prompt, str) else "".join(map(str, prompt))
    size_bytes = len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
    return Request(id, tenant, endpoint, body, size_bytes, model, stream, raw, cache, deadline_s)


def make_asked(ask: Ask, *, id: str, tenant: str, explains: bool) -> Request | Failure:
    """The request of a native line; ``explains``: its client asks why, and may know."""
    request = make_request(ask.body, id=id, tenant=tenant, cache=ask.cache, deadline_s=ask.deadline_s)
    if isinstance(request, Failure):
        return request
    if explains or not ask.fallback:
        request = replace(request, wishes=Wishes(fallback=ask.fallback, explain=explains))
    if ask.resume and ask.first_token_s is ask.between_tokens_s is None:
        return request
    return replace(
        request, resumable=ask.resume, first_token_s=ask.first_token_s, between_tokens_s=ask.between_tokens_s
    )


def _has_non_object(messages: list[Any]) -> bool:
    """Whether some message is no object."""
    for message in messages:  # noqa: SIM110 - `any` takes three times as long
        if not isinstance(message, dict):
            return True
    return False


def make_passed(
    body: dict[str, Any], endpoint: str, *, id: str, tenant: str, cache: str, stream: bool, raw: bytes
) -> Request | Failure:
    """A request whose body is the backend's own affair (embeddings, responses): only the model's name is read."""
    model = body.get("model")
    if model is not None and (not isinstance(model, str) or not model):
        return bad_request('"model" must be a string', "invalid_model")
    return Request(id, tenant, endpoint, body, len(raw), model, stream, raw, cache, resumable=False)


def _is_bare(message: dict[str, Any]) -> bool:
    """No content but text: no images, no tools."""
    return (message.get("content") is None or isinstance(message["content"], str)) and not message.get("tool_calls")
