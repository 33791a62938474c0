"""From a request to its cache keys: what must be equal, what may be near, and what is not cached at all.

Two keys come out of one pass over the body:

- ``exact``: a hash of the whole request. Equal requests have equal keys, whatever door they came through.
- ``scope``: a hash of all of it but the last user text, plus the embedder. Only entries of the same scope are
  ever compared by embedding, so neither tenant, model, system prompt, history, tools nor sampling can be "near".

The embedder is not part of the exact key: an embedder that loads, dies or changes costs no exact hit.

Everything in the body is in the keys, unknown fields included, but for the fields of ``NEVER_IN_KEY``, ``user``
(unless asked for), ``model`` (the resolved name stands in its place) and a well-formed limit on tokens, which is a
test (``Entry.fits``) and not a key. Values are compared as JSON: ``1``, ``1.0``, ``true`` and ``"1"`` differ, the
order of an object's members does not matter.

Tiers by kind of request:

=============================================== =========================================================
one text question, no tools                     exact and near
``tools``, ``functions``, ``echo``              exact only (and only an answer in plain text is stored)
text in several parts, last message not a user's  exact only
blank text, text over ``NEAR_TEXT_MAX_CHARS``   exact only
temperature above the operator's limit          exact with ``seed``, else none
``n`` or ``best_of`` above 1, ``logprobs``      none: an entry holds one answer and its text alone
images, audio, files                            none: what stands behind an URL may change
token ids or several prompts                    none
=============================================== =========================================================

A request keeps the endpoint it was resolved to: a completion of "Hello" and a chat that says "Hello" are different
questions to a model with a chat template. A native ``prompt`` resolved to chat is the one user message it becomes.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Final, NamedTuple, TypeAlias

NEVER_IN_KEY: Final = frozenset(
    {"stream", "stream_options", "metadata", "store", "service_tier", "id", "key", "cache", "deadline_s"}
)
"""Fields that change how an answer travels or is billed, never what it says."""

NEAR_TEXT_MAX_CHARS: Final = 4096
"""Longer texts are compared exactly only: sentence embedders read a few hundred tokens at most."""

KEY_BYTES: Final = 16

_TOKEN_LIMITS: Final = ("max_tokens", "max_completion_tokens")
_LIMITED: Final = frozenset(_TOKEN_LIMITS)
_REPLACED: Final = frozenset({"model"})
_WITH_USER: Final = NEVER_IN_KEY | _REPLACED
_WITHOUT_USER: Final = _WITH_USER | {"user"}
_EXACT_ONLY_FIELDS: Final = frozenset({"tools", "functions", "echo"})
_ONE_ANSWER_FIELDS: Final = ("n", "best_of")
_NEVER_FIELDS: Final = frozenset({"temperature", "logprobs", "top_logprobs", *_ONE_ANSWER_FIELDS})
"""One of these must be there for a request not to be cached at all."""

_encoder: Final = json.JSONEncoder(sort_keys=True, separators=(",", ":"), check_circular=False)


def encode_sorted(value: object) -> bytes:
    """Any JSON value as bytes: equal values as equal bytes, different ones as different."""
    return _encoder.encode(value).encode("ascii")


class KeyRules(NamedTuple):
    """The operator's choices that decide what is cached."""

    temperature_max: float = 0.3
    """A request that gives a higher temperature is cached exactly and with ``seed``, or not at all."""
    per_user: bool = False
    """The ``user`` field is part of the key."""


@dataclass(init=False, slots=True)
class CacheKeys:
    """How the cache knows one request. Equal exact keys also mean: may share one upstream call."""

    tenant: str
    model: str
    exact: bytes | None
    """Of the whole request; ``None``: neither cached nor coalesced, ``skip`` says why."""
    scope: bytes | None
    """Of all but the text, and the embedder; ``None``: exact tier only, ``near_skip`` says why."""
    text: str
    """The last user text, the only thing that may be fuzzy; empty where ``scope`` is ``None``."""
    max_tokens: int | None
    """An answer of more completion tokens does not serve; ``None``: any does."""
    skip: str | None
    near_skip: str | None

    def __init__(
        self,
        tenant: str,
        model: str,
        exact: bytes | None,
        scope: bytes | None,
        text: str,
        max_tokens: int | None,
        skip: str | None,
        near_skip: str | None,
    ) -> None:
        self.tenant = tenant
        self.model = model
        self.exact = exact
        self.scope = scope
        self.text = text
        self.max_tokens = max_tokens
        self.skip = skip
        self.near_skip = near_skip


_Question: TypeAlias = tuple[Any, str, str | None]
"""A body split in two: the rest, a mark of where the last user text stood in it, and that text."""


def derive(
    body: dict[str, Any],
    *,
    tenant: str,
    model: str,
    endpoint: str,
    epoch: int = 0,
    embedder_id: str | None = None,
    rules: KeyRules = KeyRules(),  # noqa: B008 - immutable
    encode: Callable[[object], bytes] = encode_sorted,
) -> CacheKeys:
    """The keys of one request; hashed once, never raises on decoded JSON, never changes ``body``.

    ``model`` is the resolved name and stands in place of the body's own; ``endpoint`` the one the request was
    resolved to (``"chat"``, ``"completions"``). A new ``epoch`` forgets all. ``embedder_id`` ``None``: no near tier.
    ``encode`` does what `encode_sorted` does, faster; it may raise `ValueError` or `TypeError` where that would not.
    """
    skip = _never_cached(body, rules)
    if skip is not None:
        return CacheKeys(tenant, model, None, None, "", None, skip, skip)
    dropped = _WITH_USER if rules.per_user else _WITHOUT_USER
    rest = {name: value for name, value in body.items() if name not in dropped}
    max_tokens = _take_token_limit(rest)
    question = _split(rest, endpoint)
    if isinstance(question, str):
        return CacheKeys(tenant, model, None, None, "", None, question, question)
    rest, place, text = question
    try:
        hashed = blake2b(encode([epoch, tenant, model, endpoint, place, rest]), digest_size=KEY_BYTES)
    except (ValueError, TypeError, RecursionError):  # an integer of 5,000 digits, depth 10^5, not JSON at all
        return CacheKeys(tenant, model, None, None, "", None, "unkeyable", "unkeyable")
    near_skip = _never_near(body, text, embedder_id, rules)
    scope = _scope(hashed, str(embedder_id)) if near_skip is None else None
    # JSON says itself where it ends, so what follows cannot pass for a part of it.
    hashed.update(b"e" + (text or "").encode("utf-8", "surrogatepass"))
    near_text = text if text is not None and scope is not None else ""
    return CacheKeys(tenant, model, hashed.digest(), scope, near_text, max_tokens, None, near_skip)


def _scope(hashed: blake2b, embedder_id: str) -> bytes:
    """The scope's key, from what has been hashed of all but the text."""
    mine = hashed.copy()
    mine.update(b"s" + embedder_id.encode("utf-8", "surrogatepass"))
    return mine.digest()


def _never_cached(body: dict[str, Any], rules: KeyRules) -> str | None:
    """Why a request is not cached at all, by its fields other than the question; ``None`` where it is."""
    if _NEVER_FIELDS.isdisjoint(body):
        return None
    if _too_warm(body, rules) and type(body.get("seed")) is not int:
        return "temperature"
    for name in _ONE_ANSWER_FIELDS:
        if body.get(name) not in (None, 1):
            return name
    logprobs = body.get("logprobs")  # a completion's 0 asks for them too, so no plain truth test
    if (logprobs is not None and logprobs is not False) or body.get("top_logprobs") is not None:
        return "logprobs"
    return None


def _too_warm(body: dict[str, Any], rules: KeyRules) -> bool:
    temperature = body.get("temperature")
    if temperature is None:
        return False
    if isinstance(temperature, bool) or not isinstance(temperature, (int, float)):
        return True
    return not temperature <= rules.temperature_max  # NaN is too warm


def _never_near(body: dict[str, Any], text: str | None, embedder_id: str | None, rules: KeyRules) -> str | None:
    """Why only the exact tier may answer; ``None`` where a near match may too."""
    if text is None:
        return "not_one_text"
    if not _EXACT_ONLY_FIELDS.isdisjoint(body):
        for name in sorted(_EXACT_ONLY_FIELDS):
            if body.get(name):
                return name
    if _too_warm(body, rules):
        return "temperature"
    if len(text) > NEAR_TEXT_MAX_CHARS:
        return "long_text"
    if not text or text.isspace():
        return "blank_text"
    if embedder_id is None:
        return "no_embedder"
    return None


def _take_token_limit(rest: dict[str, Any]) -> int | None:
    """Take the limits on the answer's length out of ``rest``; what is no limit stays and is part of the key."""
    limit: int | None = None
    if _LIMITED.isdisjoint(rest):
        return limit
    for name in _TOKEN_LIMITS:
        if name not in rest:
            continue
        value = rest[name]
        if type(value) is int and value > 0:
            limit = value if limit is None else min(limit, value)
            del rest[name]
        elif value is None:
            del rest[name]
    return limit


def _split(rest: dict[str, Any], endpoint: str) -> _Question | str:
    """Part the last user text from all else, or say why the request is not cached. ``rest`` becomes the question's."""
    prompt, messages = rest.get("prompt"), rest.get("messages")
    if messages is None:
        if not isinstance(prompt, str):
            return "prompt"
        if endpoint != "chat":
            rest["prompt"] = None
            return rest, "prompt", prompt
        del rest["prompt"]
        messages = [{"role": "user", "content": prompt}]
    elif prompt is not None or not isinstance(messages, list) or not messages:
        return "messages"
    for message in messages:
        if not isinstance(message, dict):
            return "messages"
        content = message.get("content")
        if isinstance(content, list) and not all(_is_text_part(part) for part in content):
            return "not_text"
    last = messages[-1]
    place, text = _last_text(last)
    if text is not None:
        messages = [*messages[:-1], {**last, "content": None}]
    rest["messages"] = messages
    return rest, place, text


def _last_text(message: dict[str, Any]) -> tuple[str, str | None]:
    """Where the fuzzy text stands in the last message, and the text; none if it is not a single text of a user."""
    if message.get("role") == "user":
        content = message.get("content")
        if isinstance(content, str):
            return "content", content
        if isinstance(content, list) and len(content) == 1 and len(content[0]) == 2:
            return "part", content[0]["text"]
    return "none", None


def _is_text_part(part: object) -> bool:
    return isinstance(part, dict) and part.get("type") == "text" and isinstance(part.get("text"), str)
