"""What can go wrong with a request, and what the one who asked is told.

A failure is a value, not a raised exception: on the request path everything is a callback. Each cause has one
constructor here; doors turn a `Failure` into their own words at the edge. It knows whose fault it was (`Source`),
since only a backend's failure is worth a retry.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass, replace

BACKEND_LOST = "backend_lost"
"""The code of a backend that the pool has declared dead."""


def type_of(status: int) -> str:
    """OpenAI's error type for an HTTP status."""
    match status:
        case 401 | 403:
            return "authentication_error"
        case 404:
            return "not_found_error"
        case 429:
            return "rate_limit_error"
        case _:
            return "invalid_request_error" if status < 500 else "server_error"


class Source(enum.Enum):
    CLIENT = "client"
    BACKEND = "backend"
    BALANCER = "balancer"


class BalancerError(Exception):
    """Root of the exceptions that travel between rooms."""


class ConfigError(BalancerError):
    """A setting that cannot be; the text names it and says what would be right."""


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a request got no answer, or only part of one."""

    code: str
    message: str
    source: Source
    status: int
    """The HTTP status that says the same."""
    retry_after_s: float | None = None
    """When it may be worth asking again; ``None`` where that would not help."""
    retryable: bool = False
    """A backend's failure that another backend may not share."""
    busy: bool = False
    """The backend is at its limit, not broken: it counts against nobody."""
    cut: bool = False
    """The connection ended within an answer: it may be that alone."""

    quoted: str = ""
    """The end of ``message``, where it is an engine's own words: they may repeat the prompt."""
    param: str | None = None
    """The field of the request that is wrong, where an engine tells."""
    explanation: str = ""
    """Who could have taken the request and what kept the others from it, as ASCII JSON; for who may know."""

    @property
    def logged(self) -> str:
        """``message`` in our own words alone."""
        return self.message.removesuffix(self.quoted).rstrip(": ") or self.code

    @property
    def type(self) -> str:
        """OpenAI's error type."""
        return type_of(self.status)


def bad_request(message: str, code: str = "invalid_request", status: int = 400) -> Failure:
    return Failure(code, message, Source.CLIENT, status)


def invalid_api_key() -> Failure:
    """The same whether the key is missing, malformed or unknown: none of them is anybody's business."""
    return bad_request("a valid API key is needed here", "invalid_api_key", 401)


def request_timeout(part: str) -> Failure:
    return bad_request(f"the request's {part} did not end in time", "request_timeout", 408)


def model_required(models: Iterable[str]) -> Failure:
    return bad_request(f"name a model: there are several ({_listed(models)})", "model_required")


def unknown_model(model: str, models: Iterable[str]) -> Failure:
    message = f"no backend offers the model {model!r}; there is {_listed(models) or 'none at all'}"
    return Failure("model_not_found", message, Source.CLIENT, 404)


def unknown_model_yet(model: str, models: Iterable[str], retry_after_s: float) -> Failure:
    return no_backend(f"no backend offers the model {model!r} yet; there is {_listed(models) or 'none'}", retry_after_s)


def model_not_allowed(arm: str, asked: str | None, known: Iterable[str]) -> Failure:
    said = f"what {asked!r} may mean: {_listed(known)}" if asked is not None else "anything: the request names no model"
    return bad_request(f"x-balancer-model: {arm[:80]!r} is not among {said}", "model_not_allowed")


def wrong_endpoint(model: str, endpoint: str) -> Failure:
    return bad_request(f"no backend offers {endpoint} for {model!r}", "wrong_endpoint")


def prompt_too_long(model: str) -> Failure:
    message = f"the prompt is too long for every backend that offers {model!r}"
    return bad_request(message, "context_length_exceeded")


def no_backend(message: str, retry_after_s: float) -> Failure:
    return Failure("no_backend", message, Source.BALANCER, 503, retry_after_s)


def queue_full(waiting: int, retry_after_s: float) -> Failure:
    message = f"every backend is busy and {waiting} requests already wait"
    return Failure("queue_full", message, Source.BALANCER, 503, retry_after_s)


def queue_timeout(waited_s: float, retry_after_s: float) -> Failure:
    message = f"every backend was busy for {waited_s:.1f} s"
    return Failure("queue_timeout", message, Source.BALANCER, 503, retry_after_s)


def uploads_full() -> Failure:
    message = "too many long requests are being sent at once"
    return Failure("uploads_full", message, Source.BALANCER, 503, 5.0)


def deadline_passed(deadline_s: float) -> Failure:
    return Failure("deadline_passed", f"not done within {deadline_s:g} s", Source.BALANCER, 504)


def shutting_down() -> Failure:
    return Failure("shutting_down", "the balancer is shutting down", Source.BALANCER, 503, 1.0)


def client_too_slow() -> Failure:
    message = "the client read too slowly of an answer that it shared with others"
    return Failure("client_too_slow", message, Source.CLIENT, 408)


def not_cached() -> Failure:
    return Failure("not_cached", "nothing in the cache answers this, and only that was asked for", Source.BALANCER, 504)


def backend_unreachable(name: str, why: str) -> Failure:
    message = f"backend {name} cannot be reached: {why}"
    return Failure("backend_unreachable", message, Source.BACKEND, 502, 1.0, retryable=True)


def no_means(name: str, why: str) -> Failure:
    """This machine has nothing left to dial with: the request waits as if the backend were busy."""
    message = f"the balancer cannot reach backend {name}: {why}"
    return Failure("no_means", message, Source.BALANCER, 503, 1.0, busy=True)


def backend_busy(name: str, retry_after_s: float, quoted: str = "") -> Failure:
    """``quoted`` is what the engine itself said: for the client alone."""
    message = f"backend {name} is at its limit" + (f": {quoted}" if quoted else "")
    return Failure("backend_busy", message, Source.BACKEND, 429, retry_after_s, True, busy=True, quoted=quoted)


def backend_failed(name: str, why: str, quoted: str = "") -> Failure:
    """``quoted`` is what the engine itself said: for the client, who may have asked it; never for a log."""
    message = f"backend {name} failed: {why}" + (f": {quoted}" if quoted else "")
    return Failure("backend_failed", message, Source.BACKEND, 502, 1.0, retryable=True, quoted=quoted)


def backend_lost(name: str) -> Failure:
    message = f"backend {name} was declared dead"
    return Failure(BACKEND_LOST, message, Source.BACKEND, 502, 1.0, retryable=True)


def backend_cut(name: str, why: str) -> Failure:
    return replace(backend_failed(name, why), cut=True)


def backend_timeout(name: str, what: str, after_s: float, *, own: bool = False) -> Failure:
    """``own``: the limit was the client's, stricter than ours, so that nothing is held against the backend."""
    message = f"backend {name} gave no {what} within {after_s:g} s"
    source = Source.CLIENT if own else Source.BACKEND
    return Failure("backend_timeout", message, source, 504, 1.0, retryable=True)


def rejected(message: str, code: str | None, status: int, param: str | None = None) -> Failure:
    """The engine refused the request for what it is; another one would, too."""
    text = message or f"the engine answered {status}"
    return Failure(code or "rejected", text, Source.CLIENT, status, quoted=message, param=param)


def _listed(names: Iterable[str], most: int = 20) -> str:
    names = sorted(names)
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
