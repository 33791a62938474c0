"""Request bodies of the OpenAI dialect: read, checked, turned into what an engine is asked for.

Unknown fields are ignored. Known fields that can't be served are refused by name rather than ignored, where ignoring
them would give an answer that is wrong in form.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeVar

import msgspec

from backend.engines.base import (
    ChatPrompt,
    GenerationRequest,
    Message,
    Prompt,
    Sampling,
    SoFar,
    TextPrompt,
    TokensPrompt,
)
from backend.engines.stops import STOP_MAX_CHARS, STOPS_MAX
from backend.errors import InvalidRequest

BODY_MAX_BYTES: Final = 4 << 20
MESSAGES_MAX: Final = 4096
CHAT: Final = "chat"
COMPLETIONS: Final = "completions"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One request as the server sees it."""

    endpoint: str
    model: str | None
    request: GenerationRequest
    stream: bool
    include_usage: bool
    return_token_ids: bool
    """Of what is made."""
    return_prompt_token_ids: bool


class _StreamOptions(msgspec.Struct):
    include_usage: bool | None = None


class _Part(msgspec.Struct):
    type: str
    text: str | None = None


class _Message(msgspec.Struct):
    role: str
    content: str | list[_Part] | None = None


class _ContinueFrom(msgspec.Struct):
    text: str
    token_ids: list[int] | None = None


class _Common(msgspec.Struct, kw_only=True):
    """Fields that both endpoints share. Null means absent, as OpenAI's own clients send it."""

    model: str | None = None
    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    seed: int | None = None
    stop: str | list[str] | None = None
    repetition_penalty: float | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    ignore_eos: bool | None = None
    n: int | None = None
    stream: bool | None = None
    stream_options: _StreamOptions | None = None
    return_token_ids: bool | Literal["continue"] | None = None
    continue_from: _ContinueFrom | None = None


class _Chat(_Common, kw_only=True):
    messages: list[_Message] | None = None
    max_completion_tokens: int | None = None
    add_generation_prompt: bool | None = None
    continue_final_message: bool | None = None
    logprobs: bool | None = None


class _Completions(_Common, kw_only=True):
    prompt: str | list[int | str | list[int]] | None = None
    logprobs: int | None = None
    echo: bool | None = None
    suffix: str | None = None
    best_of: int | None = None


_Body = TypeVar("_Body", _Chat, _Completions)
_AT = re.compile(r" - at `\$\.?([^`]*)`$")


def read_chat(body: bytes) -> Asked:
    """Read the body of `POST /v1/chat/completions`. Raises `InvalidRequest`."""
    fields = _decoded(body, _Chat)
    if fields.max_tokens is None:
        fields.max_tokens = fields.max_completion_tokens
    if not fields.messages:
        raise InvalidRequest('"messages" is missing or empty', param="messages")
    if len(fields.messages) > MESSAGES_MAX:
        raise InvalidRequest(f'"messages" has more than {MESSAGES_MAX} entries', param="messages")
    continue_final = bool(fields.continue_final_message)
    if continue_final and fields.add_generation_prompt:
        message = '"continue_final_message" and "add_generation_prompt" exclude each other'
        raise InvalidRequest(message, param="continue_final_message")
    prompt = ChatPrompt(
        tuple(Message(m.role, _text(m.content)) for m in fields.messages),
        continue_final,
        add_generation_prompt=not continue_final and fields.add_generation_prompt is not False,
    )
    return _asked(CHAT, fields, prompt)


def read_completions(body: bytes) -> Asked:
    """Read the body of `POST /v1/completions`. Raises `InvalidRequest`."""
    fields = _decoded(body, _Completions)
    for name, unsupported in (
        ("echo", bool(fields.echo)),
        ("suffix", bool(fields.suffix)),
        ("best_of", (fields.best_of or 1) > 1),
    ):
        if unsupported:
            raise _unsupported(name)
    return _asked(COMPLETIONS, fields, _prompt(fields.prompt))


def _decoded(body: bytes, kind: type[_Body]) -> _Body:
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.ValidationError as error:
        message = str(error)
        at = _AT.search(message)
        param = at.group(1) if at and at.group(1) else None
        text = f'"{param}": {message[: at.start()]}' if at and param else message
        raise InvalidRequest(text, param=param, code="invalid_type") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidRequest(f"the body is not JSON: {error}", code="not_json") from None


def _asked(endpoint: str, fields: _Common, prompt: Prompt) -> Asked:
    if fields.n is not None and fields.n != 1:
        raise _unsupported("n", " other than 1")
    if isinstance(fields, _Chat | _Completions) and fields.logprobs:
        raise _unsupported("logprobs")
    return Asked(
        endpoint=endpoint,
        model=fields.model or None,
        request=GenerationRequest(prompt=prompt, sampling=_sampling(fields), so_far=_so_far(fields.continue_from)),
        stream=bool(fields.stream),
        include_usage=bool(fields.stream_options and fields.stream_options.include_usage),
        return_token_ids=bool(fields.return_token_ids),
        return_prompt_token_ids=fields.return_token_ids is True,
    )


def _so_far(given: _ContinueFrom | None) -> SoFar:
    return SoFar() if given is None else SoFar(given.text, tuple(given.token_ids or ()))


def _sampling(fields: _Common) -> Sampling:
    return Sampling(
        max_tokens=_within("max_tokens", fields.max_tokens, 1, math.inf),
        temperature=_within("temperature", fields.temperature, 0.0, 2.0),
        top_p=_within("top_p", fields.top_p, 1e-6, 1.0),
        top_k=0 if fields.top_k == -1 else _within("top_k", fields.top_k, 0, math.inf),
        seed=fields.seed,
        stop=_stops(fields.stop),
        repetition_penalty=_within("repetition_penalty", fields.repetition_penalty, 0.01, 100.0),
        presence_penalty=_within("presence_penalty", fields.presence_penalty, -2.0, 2.0) or 0.0,
        frequency_penalty=_within("frequency_penalty", fields.frequency_penalty, -2.0, 2.0) or 0.0,
        ignore_eos=bool(fields.ignore_eos),
    )


_Number = TypeVar("_Number", int, float)


def _within(name: str, value: _Number | None, low: float, high: float) -> _Number | None:
    if value is not None and not low <= value <= high:
        limit = f"at least {low:g}" if high == math.inf else f"between {low:g} and {high:g}"
        raise InvalidRequest(f'"{name}" must be {limit}', param=name, code="out_of_range")
    return value


def _stops(stop: str | list[str] | None) -> tuple[str, ...]:
    stops = (stop,) if isinstance(stop, str) else tuple(stop or ())
    if len(stops) > STOPS_MAX or any(len(text) > STOP_MAX_CHARS for text in stops):
        message = f'"stop" takes up to {STOPS_MAX} strings of up to {STOP_MAX_CHARS} characters'
        raise InvalidRequest(message, param="stop")
    return tuple(text for text in stops if text)


def _prompt(prompt: str | list[Any] | None) -> Prompt:
    if isinstance(prompt, list) and len(prompt) == 1 and not isinstance(prompt[0], int):
        prompt = prompt[0]
    if not prompt:
        raise InvalidRequest('"prompt" is missing or empty', param="prompt")
    if isinstance(prompt, str):
        return TextPrompt(prompt)
    if all(isinstance(token, int) for token in prompt):
        return TokensPrompt(tuple(prompt))
    raise InvalidRequest("only one prompt a request is supported", param="prompt", code="unsupported_parameter")


def _text(content: str | list[_Part] | None) -> str:
    if content is None or isinstance(content, str):
        return content or ""
    for part in content:
        if part.type != "text":
            raise InvalidRequest(f'content parts of type "{part.type}" are not supported', param="messages")
    return "".join(part.text or "" for part in content)


def _unsupported(name: str, more: str = "") -> InvalidRequest:
    return InvalidRequest(f'"{name}"{more} is not supported', param=name, code="unsupported_parameter")
