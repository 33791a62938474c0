"""What an HTTP client may say of one request in headers: its use of the cache, its own limits, no resuming; which of
several models shall answer, and whether another may; and that it wants to know why.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, NamedTuple

from balancer.errors import Failure, bad_request
from balancer.exchange.timeline import Limits
from balancer.request import Wishes

_CACHE_CONTROLS: Final = ((b"no-store", "bypass"), (b"only-if-cached", "only"), (b"no-cache", "refresh"))
"""The first of these that is among a request's directives counts."""
_SECONDS: Final = re.compile(rb"\d{1,9}(?:\.\d{1,9})?")
_WHETHER: Final = {b"no": False, b"yes": True}
_EXPLAIN: Final = {**_WHETHER, b"0": False, b"1": True}


class Options(NamedTuple):
    """Times in seconds; ``None``: as configured."""

    cache: str = "default"
    """In the words of `balancer.request.Request.cache`."""
    deadline_s: float | None = None
    first_token_s: float | None = None
    between_tokens_s: float | None = None
    resumable: bool = True
    wishes: Wishes | None = None

    @property
    def limited(self) -> bool:
        """Anything but the cache is not as configured."""
        return self is not _DEFAULT and self[1:] != _DEFAULT[1:]


_DEFAULT: Final = Options()
_NAMES: Final = frozenset(
    {
        b"cache-control",
        b"x-balancer-timeout",
        b"x-balancer-first-token-timeout",
        b"x-balancer-token-timeout",
        b"x-balancer-resume",
        b"x-balancer-model",
        b"x-balancer-fallback",
        b"x-balancer-explain",
    }
)
_WISHES: Final = frozenset({b"x-balancer-model", b"x-balancer-fallback", b"x-balancer-explain"})


def options_in(headers: Mapping[bytes, bytes], limits: Limits) -> Options | Failure:
    """The options in these headers (names in lower case). A limit can be shortened, never extended."""
    if _NAMES.isdisjoint(headers):
        return _DEFAULT
    cache = cache_use(headers.get(b"cache-control"))
    try:
        deadline_s = _seconds(headers, b"x-balancer-timeout", limits.request_s)
        first_s = _seconds(headers, b"x-balancer-first-token-timeout", limits.first_token_s)
        between_s = _seconds(headers, b"x-balancer-token-timeout", limits.between_tokens_s)
    except ValueError as error:
        return bad_request(f"{error} must be seconds, more than 0", "invalid_timeout")
    resume = headers.get(b"x-balancer-resume")
    resumable = True if resume is None else _WHETHER.get(resume.strip().lower())
    if resumable is None:
        return bad_request("x-balancer-resume must be yes or no", "invalid_resume")
    wishes = _wishes(headers)
    if isinstance(wishes, Failure):
        return wishes
    return Options(cache, deadline_s, first_s, between_s, resumable, wishes)


def unexplained(options: Options) -> Options:
    """The same for somebody who may not know why."""
    wishes = options.wishes
    return options if wishes is None else options._replace(wishes=wishes._replace(explain=False))


def _wishes(headers: Mapping[bytes, bytes]) -> Wishes | Failure | None:
    """``None``: there are none."""
    if _WISHES.isdisjoint(headers):
        return None
    model = headers.get(b"x-balancer-model")
    if model is not None and not model.strip():
        return bad_request("x-balancer-model must name a model", "model_not_allowed")
    fallback = headers.get(b"x-balancer-fallback")
    if fallback is not None and fallback.strip().lower() != b"none":
        return bad_request("x-balancer-fallback must be none", "invalid_fallback")
    explain = _EXPLAIN.get(headers.get(b"x-balancer-explain", b"no").strip().lower())
    if explain is None:
        return bad_request("x-balancer-explain must be 1 or 0", "invalid_explain")
    return Wishes(model.strip().decode("utf-8", "replace") if model is not None else None, fallback is None, explain)


def _seconds(headers: Mapping[bytes, bytes], name: bytes, limit_s: float) -> float | None:
    given = headers.get(name)
    if given is None:
        return None
    seconds = float(given) if _SECONDS.fullmatch(given.strip()) else 0.0
    if not seconds:
        raise ValueError(name.decode())
    return min(seconds, limit_s)


def cache_use(cache_control: bytes | None) -> str:
    """What the client's ``cache-control`` says of our cache, in the words of `Request.cache`."""
    if cache_control is None:
        return "default"
    directives = {directive.strip() for directive in cache_control.lower().split(b",")}
    return next((use for directive, use in _CACHE_CONTROLS if directive in directives), "default")
