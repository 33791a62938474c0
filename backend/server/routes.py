"""Which path does what."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec

from backend.engines.base import EngineInfo
from backend.errors import MethodNotAllowed, NotFound
from backend.server.params import Asked, read_chat, read_completions
from balancer.wire.http1 import HttpRequest, response
from balancer.wire.model_list import models_body

READERS: Final[dict[str, Callable[[bytes], Asked]]] = {
    "/v1/chat/completions": read_chat,
    "/v1/completions": read_completions,
}
_READ_ONLY: Final = frozenset({"/health", "/v1/models"})


def generation_asked(request: HttpRequest) -> Asked | None:
    """What is to be generated, or ``None`` if the request is for one of the other paths.

    Raises `NotFound`, `MethodNotAllowed`, `InvalidRequest`.
    """
    reader = READERS.get(request.path)
    allowed = ("POST",) if reader else ("GET", "HEAD") if request.path in _READ_ONLY else ()
    if not allowed:
        raise NotFound(f"no such path; there are {', '.join([*READERS, *sorted(_READ_ONLY)])}")
    if request.method not in allowed:
        raise MethodNotAllowed(f"{request.path} takes {' or '.join(allowed)}")
    return reader(request.body) if reader else None


def read_only_answer(request: HttpRequest, info: EngineInfo, health: str, created: int) -> bytes:
    """`GET /v1/models` or `GET /health`; ``health`` is ``ok`` or a word for why not (then 503)."""
    if request.path == "/v1/models":
        status, body = 200, models_body({info.model: info.max_model_len}, created, info.abilities)
    else:
        status, body = (200 if health == "ok" else 503), msgspec.json.encode({"status": health})
    answer = response(status, body, keep_alive=request.keep_alive)
    return answer[: -len(body)] if request.method == "HEAD" else answer
