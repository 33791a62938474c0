"""The OpenAI door: health and models. Endpoints that ask a model are refused with 501 until they are built."""

from __future__ import annotations

from balancer.doors.health import Health
from balancer.doors.http import Answer, error_answer
from balancer.wire import openai
from balancer.wire.http1 import HttpRequest

_NOT_YET = frozenset(openai.ENDPOINT_PATHS.values())
_SHOWN_PATH_MAX = 200


class OpenAIDoor:
    """What the public port answers over HTTP."""

    def __init__(self, health: Health) -> None:
        self._health = health

    def answer(self, request: HttpRequest) -> Answer:
        """One request, one answer."""
        path = request.path.rstrip("/") or "/"
        if path in _NOT_YET:
            return error_answer(501, f"{path} is not served yet", "not_implemented")
        found = self._get(path)
        if found is None:
            return error_answer(404, f"there is nothing at {path[:_SHOWN_PATH_MAX]}", "not_found")
        if request.method not in ("GET", "HEAD"):
            return error_answer(405, f"{path[:_SHOWN_PATH_MAX]} takes GET", "method_not_allowed", (("allow", "GET"),))
        return found

    def _get(self, path: str) -> Answer | None:
        health = self._health.answer(path)
        if health is not None:
            return Answer(*health)
        if path == "/v1/models":
            return Answer(200, openai.models_body(self._health.models(), self._health.started_at))
        if not path.startswith("/v1/models/"):
            return None
        name, models = path.removeprefix("/v1/models/"), self._health.models()
        if name not in models:
            return error_answer(404, f"no backend offers {name[:_SHOWN_PATH_MAX]!r}", "model_not_found")
        return Answer(200, openai.model_body(name, models[name], self._health.started_at))
