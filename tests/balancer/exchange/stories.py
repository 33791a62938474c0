"""What stories of one request begin with, and what their backends do wrong."""

from __future__ import annotations

from balancer import errors
from tests.fakes import Hall

UNREACHABLE = errors.backend_unreachable("x", "connection refused")
BROKEN = errors.backend_failed("x", "connection reset")


def busy(retry_after_s: float = 1.0) -> errors.Failure:
    return errors.backend_busy("x", retry_after_s)


def two_backends(**changes: object) -> Hall:
    hall = Hall(**changes)  # type: ignore[arg-type]
    hall.join("a", slots=1)
    hall.join("b", slots=1)
    return hall
