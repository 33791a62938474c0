"""What an HTTP client may say of one request in headers: its use of the cache, its own limits, no resuming."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, NamedTuple

from balancer.errors import Failure, bad_request
from balancer.exchange.timeline import Limits

_CACHE_CONTROLS: Final = ((b"no-store", "bypass"), (b"only-if-cached", "only"), (b"no-cache", "refresh"))
"""The first of these that is among a request's directives counts."""
_SECONDS: Final = re.compile(rb"\d{1,9}(?:\.\d{1,9})?")
_WHETHER: Final = {b"no": False, b"yes": True}


class Options(NamedTuple):
    """Times in seconds; ``None``: as configured."""

    cache: str = "default"
    """In the words of `balancer.request.Request.cache`."""
    deadline_s: float | None = None
    first_token_s: float | None = None
    between_tokens_s: float | None = None
    resumable: bool = True

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
    }
)


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
    return Options(cache, deadline_s, first_s, between_s, resumable)


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
