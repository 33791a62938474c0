"""Bodies in the OpenAI dialect, and every change from body to body, as pure functions.

Requests are plain dicts (unknown fields pass through untouched); streamed chunks are read with a typed decoder that
skips what nobody reads; what we write ourselves is built here and nowhere else.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from balancer.wire.dialect import NULL, Choice, Chunk, Delta, ErrorBody, ErrorFields, Usage
from balancer.wire.sse import each_event, event, event_data

ENDPOINT_PATHS: Final = {
    "chat": "/v1/chat/completions",
    "completions": "/v1/completions",
    "embeddings": "/v1/embeddings",
    "responses": "/v1/responses",
}
PASSED_ENDPOINTS: Final = frozenset({"embeddings", "responses"})
"""What goes to a backend that offers it and comes back unread."""
_encode = msgspec.json.encode
_WITH_USAGE: Final = {"include_usage": True}


_ABSENT: Final = frozenset({b"null", b"[]", b'""'})
"""Some engines write every field they know into every chunk."""
_FINISH: Final = b'"finish_reason"'
_REASON_MAX_BYTES: Final = 64
_GAVE_UP: Final = frozenset({b"abort", b"error"})
"""What vLLM and SGLang write when they end an answer that is not done."""
_chunk_decoder = msgspec.json.Decoder(Chunk)


def parse_chunk(data: bytes) -> Chunk:
    """Read one event's data. Raises `ValueError` (``msgspec.DecodeError``) for what is no chunk."""
    try:
        return _chunk_decoder.decode(data)
    except RecursionError as error:
        raise ValueError("nested too deep") from error


def chunk_text(choice: Choice) -> str:
    """The text of a choice, whichever endpoint made it."""
    if choice.delta is not None:
        content = choice.delta.content
        return content if isinstance(content, str) else content_text(content)
    return choice.text or ""


def is_plain(chunk: Chunk) -> bool:
    """True if the chunk is one choice's text at most: no tools, reasoning, logprobs or second choice."""
    if len(chunk.choices) > 1:
        return False
    for choice in chunk.choices:
        if choice.index or (choice.logprobs is not NULL and bytes(choice.logprobs) not in _ABSENT):
            return False
        if choice.delta is not None and not _is_text(choice.delta):
            return False
    return True


def _is_text(delta: Delta) -> bool:
    # A field that is not there is the very default object: that is all an ordinary chunk is asked.
    return (
        not (isinstance(delta.content, list) and delta.content)
        and (delta.tool_calls is NULL or bytes(delta.tool_calls) in _ABSENT)
        and (delta.reasoning_content is NULL or bytes(delta.reasoning_content) in _ABSENT)
        and (delta.reasoning is NULL or bytes(delta.reasoning) in _ABSENT)
        and (delta.function_call is NULL or bytes(delta.function_call) in _ABSENT)
        and (delta.refusal is NULL or bytes(delta.refusal) in _ABSENT)
    )


# --- requests


def content_text(content: object) -> str:
    """The text of a message's content: a string, or the text parts of a list."""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        parts = (part.get("text") for part in content if isinstance(part, dict) and part.get("type") == "text")
        return "".join(part for part in parts if isinstance(part, str))
    return ""


def messages_text(messages: object) -> str:
    """A conversation for a model without chat template: the contents, joined by blank lines."""
    if not isinstance(messages, list):
        return ""
    contents = [m.get("content") for m in messages if isinstance(m, dict)]
    return "\n\n".join([content if type(content) is str else content_text(content) for content in contents])


def lone_prompt(prompt: object) -> object:
    """The prompt of a completion; a list of one is what is in it."""
    if isinstance(prompt, list) and len(prompt) == 1 and not isinstance(prompt[0], int):
        return prompt[0]
    return prompt


def chat_from_completion(body: dict[str, Any]) -> dict[str, Any]:
    """A completions request for a backend that offers only chat: the prompt as one user message."""
    rest = {k: v for k, v in body.items() if k != "prompt"}
    return {"messages": [{"role": "user", "content": lone_prompt(body["prompt"])}], **rest}


def completion_from_chat(body: dict[str, Any]) -> dict[str, Any]:
    """A chat request for a backend that offers only completions."""
    rest = {k: v for k, v in body.items() if k not in ("messages", "max_completion_tokens")}
    if "max_completion_tokens" in body:
        rest.setdefault("max_tokens", body["max_completion_tokens"])
    return {"prompt": messages_text(body["messages"]), **rest}


def body_for(
    body: dict[str, Any],
    endpoint: str,
    offered: frozenset[str],
    model: str,
    *,
    stream: bool = True,
    raw: bytes = b"",
    token_ids: bool | str = False,
) -> tuple[str, bytes]:
    """The upstream endpoint and request body, in the form that the backend offers; a stream tells its usage.

    ``raw`` is the body as the client sent it: it goes on as it is where nothing has to change. ``token_ids``: the
    engine can tell them, and is asked to by this value of ``return_token_ids``. Raises `ValueError` if the backend
    offers no form of the request (routing does not choose such a backend).
    """
    if endpoint in PASSED_ENDPOINTS and endpoint in offered:
        return endpoint, raw if raw and body.get("model") == model else _encode({**body, "model": model})
    if token_ids and "return_token_ids" not in body:
        body = {**body, "return_token_ids": token_ids}
        raw = raw and raw.rstrip()[:-1] + b',"return_token_ids":' + _encode(token_ids) + b"}"
    if raw and endpoint in offered and body.get("model") == model:
        if not stream or body.get("stream_options") == _WITH_USAGE:
            return endpoint, raw
        if "stream_options" not in body:
            return endpoint, raw.rstrip()[:-1] + b',"stream_options":{"include_usage":true}}'
    if endpoint not in offered:
        if endpoint == "completions" and "chat" in offered:
            endpoint, body = "chat", chat_from_completion(body)
        elif endpoint == "chat" and "completions" in offered:
            endpoint, body = "completions", completion_from_chat(body)
        else:
            raise ValueError(f"no form of {endpoint} among {sorted(offered)}")
    if not stream:
        return endpoint, _encode({**body, "model": model})
    options = body.get("stream_options")
    options = {**options, **_WITH_USAGE} if isinstance(options, dict) else _WITH_USAGE
    return endpoint, _encode({**body, "model": model, "stream": True, "stream_options": options})


def until_broken(events: bytes) -> tuple[bytes, str, str] | None:
    """The events before the first one that is an error or no chunk, what that one is, and its message; ``None`` if all
    are well."""
    at = 0
    for one in each_event(events):
        for data in event_data(one):
            if data == b"[DONE]":
                continue
            try:
                chunk = parse_chunk(data)
            except ValueError:
                return events[:at], "an event that cannot be read", ""
            if chunk.error is not NULL and bytes(chunk.error) != b"null":
                return events[:at], "an error event", error_in(data)[0]
        at += len(one)
    return None


def without_prompt_ids(events: bytes) -> bytes:
    """The events without the token ids of the prompt, for clients that did not ask for them. Raises `ValueError`."""
    told = []
    for data in event_data(events):
        if b'"prompt_token_ids"' in data:
            chunk = msgspec.json.decode(data, type=dict[str, Any])
            choices = chunk.get("choices")
            for part in (chunk, *(choices if isinstance(choices, list) else ())):
                if isinstance(part, dict):
                    part.pop("prompt_token_ids", None)
            data = _encode(chunk)
        told.append(event(data.replace(b"\n", b" ")))  # JSON on several lines of data is one here
    return b"".join(told)


# --- what we write ourselves


def answer_id(endpoint: str, request_id: str) -> str:
    """The id of an answer that we write ourselves, in OpenAI's form."""
    return ("chatcmpl-" if endpoint == "chat" else "cmpl-") + request_id


def text_event(endpoint: str, id: str, model: str, created: int, text: str) -> bytes:
    """One event with all the text, for answers that no OpenAI backend streamed (cached, classic)."""
    return chunk_event(endpoint, id, model, created, [streamed_choice(endpoint, text, None, role=True)])


def final_events(
    endpoint: str, id: str, model: str, created: int, finish_reason: str | None, usage: Usage | None
) -> bytes:
    """The events that end such an answer: finish reason (``None``: it was told), usage and ``[DONE]``."""
    events = b""
    if finish_reason is not None:
        events = chunk_event(endpoint, id, model, created, [streamed_choice(endpoint, "", finish_reason)])
    if usage is not None:
        events += chunk_event(endpoint, id, model, created, [], usage)
    return events + event(b"[DONE]")


def chunk_event(
    endpoint: str, id: str, model: str, created: int, choices: list[dict[str, Any]], usage: Usage | None = None
) -> bytes:
    """One chunk of ours as an event."""
    kind = "chat.completion.chunk" if endpoint == "chat" else "text_completion"
    chunk = {"id": id, "object": kind, "created": created, "model": model, "choices": choices}
    return event(_encode(chunk if usage is None else {**chunk, "usage": usage}))


def streamed_choice(
    endpoint: str, text: str, finish_reason: str | None, *, index: int = 0, role: bool = False
) -> dict[str, Any]:
    """One choice of a chunk. ``role``: in chat the first chunk of a choice tells who speaks, and only that one."""
    choice: dict[str, Any] = {"index": index, "finish_reason": finish_reason, "logprobs": None}
    if endpoint != "chat":
        return {**choice, "text": text}
    delta = {"role": "assistant", "content": text} if role else {"content": text} if text else {}
    return {**choice, "delta": delta}


def ends_well(tail: bytes) -> bool:
    """Whether the last of these events of one answer, its closing ones, tell a reason why it ended, and a good one."""
    at = tail.rfind(_FINISH)
    while at >= 0:
        told = tail[at + len(_FINISH) : at + len(_FINISH) + _REASON_MAX_BYTES].lstrip(b": \t")
        if told.startswith(b'"'):
            return told[1:].partition(b'"')[0] not in _GAVE_UP
        at = tail.rfind(_FINISH, 0, at)
    return False


def error_body(message: str, type: str, code: str | None, param: str | None = None) -> bytes:
    """OpenAI's error object."""
    return _encode({"error": {"message": message, "type": type, "param": param, "code": code}})


def error_in(body: bytes) -> tuple[str, str | None, str | None]:
    """Message, code and param of an engine's error answer, in whichever shape engines use; empty if there is none."""
    try:
        parsed = msgspec.json.decode(body, type=ErrorBody)
    except (ValueError, RecursionError):
        return "", None, None
    if isinstance(parsed.error, ErrorFields):
        code = parsed.error.code if isinstance(parsed.error.code, str) else parsed.error.type
        param = parsed.error.param if isinstance(parsed.error.param, str) else None
        return parsed.error.message, code, param
    detail = parsed.detail if isinstance(parsed.detail, str) else ""
    return parsed.error or parsed.message or detail, None, None
