"""Why routing found nobody, as what the client is told."""

from __future__ import annotations

from balancer import errors
from balancer.errors import Failure
from balancer.routing.select import NoBackendReason


def nobody(reason: NoBackendReason, model: str, endpoint: str, retry_after_s: float) -> Failure:
    """The failure for a request that no backend of the pool can take."""
    match reason:
        case NoBackendReason.WRONG_ENDPOINT:
            return errors.wrong_endpoint(model, endpoint)
        case NoBackendReason.PROMPT_TOO_LONG:
            return errors.prompt_too_long(model)
        case _:
            return errors.no_backend(f"no backend that offers {model!r} is ready", retry_after_s)
