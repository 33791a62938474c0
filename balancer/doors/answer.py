"""What the HTTP doors answer: at once, or by and by."""

from __future__ import annotations

import math
from typing import Final, NamedTuple, Protocol

from balancer.errors import Failure, type_of
from balancer.wire import openai

RETRY_AFTER_MAX_S: Final = 120
_NO_RETRY: Final = ("x-should-retry", "false")
"""OpenAI's own clients ask again after any 5xx, unless told that it would not help."""

Headers = tuple[tuple[str, str], ...]
_OF_STATUS: Final[dict[int, Headers]] = {
    401: (("www-authenticate", "Bearer"),),
    415: (("accept-encoding", "identity"),),
}
"""What an answer of this status says besides (RFC 9110, 11.6.1 and 15.5.16)."""


class Answer(NamedTuple):
    """A whole answer; JSON."""

    status: int
    body: bytes
    headers: Headers = ()


def error_answer(status: int, message: str, code: str, headers: Headers = (), *, param: str | None = None) -> Answer:
    """An error in OpenAI's shape."""
    return Answer(status, openai.error_body(message, type_of(status), code, param), headers)


def failure_answer(failure: Failure, headers: Headers = ()) -> Answer:
    """The same for a request that failed, with what a client needs to know before it asks again."""
    if failure.retry_after_s is not None:
        headers += (("retry-after", str(max(1, min(math.ceil(failure.retry_after_s), RETRY_AFTER_MAX_S)))),)
    elif failure.status >= 500:
        headers += (_NO_RETRY,)
    headers += _OF_STATUS.get(failure.status, ())
    if failure.explanation:
        headers += (("x-balancer-explain", failure.explanation),)
    return error_answer(failure.status, failure.message, failure.code, headers, param=failure.param)


class Pending(Protocol):
    """An answer that is still being made; it writes to its connection and says when it is over."""

    def pause(self) -> None: ...

    def resume(self) -> None: ...

    def cancel(self) -> None:
        """The client has left."""

    def keep_alive(self) -> None:
        """Called twice a second."""
