"""What can go wrong, one class a cause. The balancer's error objects become classes here and nowhere else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final


class ClientError(Exception):
    """Root of everything this package raises.

    ``code`` is machine readable and stable; the text is for people. ``retry_after_s`` is set where the balancer
    said when asking again makes sense.
    """

    def __init__(self, message: str, *, code: str, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.retry_after_s = retry_after_s


class ConnectionLost(ClientError):
    """The connection ended while answers were awaited: each of them ends with this, never as if it were whole."""

    def __init__(self, message: str, *, code: str = "connection_lost") -> None:
        super().__init__(message, code=code)


class CannotConnect(ConnectionLost):
    """There was no connection in the first place."""

    def __init__(self, message: str) -> None:
        super().__init__(message, code="cannot_connect")


class BadReply(ConnectionLost):
    """The peer sent what no balancer sends. Text may be missing, so every answer on the connection is lost."""

    def __init__(self, message: str) -> None:
        super().__init__(message, code="bad_reply")


class TooManyInFlight(ClientError):
    """This connection already carries as many requests, or unsent bytes, as it may."""

    def __init__(self, message: str) -> None:
        super().__init__(message, code="too_many_in_flight")


class SlowReader(ClientError):
    """This answer was not read while others on its connection were, and outgrew its buffer. It was cancelled."""

    def __init__(self, message: str) -> None:
        super().__init__(message, code="slow_reader")


class AnswerTooLong(ClientError):
    """The answer outgrew what a client keeps of one. It was cancelled."""

    def __init__(self, message: str) -> None:
        super().__init__(message, code="answer_too_long")


class Refused(ClientError):
    """The balancer answered with an error. ``type`` is the error's family as the balancer named it."""

    def __init__(self, message: str, *, code: str, type: str = "", retry_after_s: float | None = None) -> None:
        super().__init__(message, code=code, retry_after_s=retry_after_s)
        self.type = type


class BadRequest(Refused):
    """The request itself can't be served; asking again won't help."""


class ContextTooLong(BadRequest):
    """The prompt doesn't fit into the model's context."""


class UnknownModel(BadRequest):
    """No backend offers that model, or none was named and there are several."""


class AccessDenied(Refused):
    """The key is missing, unknown or not allowed to do this."""


class Busy(Refused):
    """No backend is free, or a limit is reached. Ask again after ``retry_after_s``."""


class Timeout(Refused):
    """A deadline passed, in the queue or at the backend."""


class CacheMiss(Refused):
    """``cache="only"`` was asked and the cache has no answer."""


class BackendFailed(Refused):
    """The backend broke off or answered nonsense, and no other could take over."""


_BY_CODE: Final[Mapping[str, type[Refused]]] = {
    "context_length_exceeded": ContextTooLong,
    "model_not_found": UnknownModel,
    "model_required": UnknownModel,
    "no_backend": Busy,
    "queue_full": Busy,
    "queue_timeout": Busy,
    "backend_busy": Busy,
    "no_means": Busy,
    "shutting_down": Busy,
    "deadline_passed": Timeout,
    "backend_timeout": Timeout,
    "not_cached": CacheMiss,
}

_BY_TYPE: Final[Mapping[str, type[Refused]]] = {
    "invalid_request_error": BadRequest,
    "not_found_error": BadRequest,
    "authentication_error": AccessDenied,
    "permission_error": AccessDenied,
    "rate_limit_error": Busy,
}


def from_fields(fields: Mapping[str, Any]) -> Refused:
    """The class for an error object ``{type, code, message, retry_after_s}``; wrong or missing fields do no harm."""
    type_ = str(fields.get("type") or "")
    code = str(fields.get("code") or type_ or "error")
    message = str(fields.get("message") or code)
    retry_after_s = _seconds(fields.get("retry_after_s"))
    class_ = _BY_CODE.get(code) or _BY_TYPE.get(type_, BackendFailed)
    return class_(message, code=code, type=type_, retry_after_s=retry_after_s)


def _seconds(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return max(0.0, float(value))
