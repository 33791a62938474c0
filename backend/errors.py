"""What can go wrong between a request and its answer, one class per cause; `status` is the HTTP status that says so.

Raised where the cause is known, turned into an OpenAI error object once, in ``server``.
"""

from __future__ import annotations


class BackendError(Exception):
    """Root. ``code`` is machine readable and stable, ``param`` the request's field at fault, if one is."""

    status = 500
    type = "server_error"
    code = "internal_error"

    def __init__(self, message: str, *, param: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.code = code or type(self).code


class InvalidRequest(BackendError):
    """The request can't be served as it is; sending it again will not help."""

    status = 400
    type = "invalid_request_error"
    code = "invalid_request"


class PromptTooLong(InvalidRequest):
    """The prompt leaves no room for an answer in the model's context."""

    code = "context_length_exceeded"


class UnknownModel(InvalidRequest):
    """The request names a model that is not served here."""

    status = 404
    code = "model_not_found"


class NotFound(InvalidRequest):
    """No such path."""

    status = 404
    code = "not_found"


class MethodNotAllowed(InvalidRequest):
    """The path exists, the method does not."""

    status = 405
    code = "method_not_allowed"


class Busy(BackendError):
    """Every slot is taken: not a failure, try again elsewhere or after `retry_after_s`."""

    status = 429
    type = "rate_limit_error"
    code = "busy"
    retry_after_s = 1


class ShuttingDown(BackendError):
    """The server drains or has stopped; it takes no new work."""

    status = 503
    type = "unavailable_error"
    code = "shutting_down"
    retry_after_s = 1


class EngineFailed(BackendError):
    """The engine broke while it worked on this request."""

    code = "engine_failed"


class EngineUnavailable(BackendError):
    """An engine can't be started: a missing extra, an unknown model, no such device. Ends the process."""

    code = "engine_unavailable"
