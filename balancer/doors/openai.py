"""The OpenAI door: chat and completions, health and models. Other endpoints get 501 until they are built."""

from __future__ import annotations

import re
from typing import Final

from balancer.doors.asking import make_request
from balancer.doors.clients import LOCAL_TENANT, Clients
from balancer.doors.health import Health
from balancer.doors.http import Answer, HttpConnection, Pending, error_answer
from balancer.doors.openai_answer import OpenAIAnswer, usage_wanted
from balancer.errors import Failure
from balancer.wire import openai
from balancer.wire.errors import RemoteProtocolError
from balancer.wire.http1 import HttpRequest
from balancer.wire.jsontext import decode_object

_ASKING: Final = {openai.ENDPOINT_PATHS[endpoint]: endpoint for endpoint in ("chat", "completions")}
_NOT_YET: Final = frozenset(openai.ENDPOINT_PATHS.values()) - _ASKING.keys()
_SHOWN_PATH_MAX: Final = 200
_SANE_ID: Final = re.compile(rb"[A-Za-z0-9][A-Za-z0-9._:\-]{0,127}")
_CACHE_CONTROLS: Final = {b"no-cache": "refresh", b"no-store": "bypass", b"only-if-cached": "only"}


class OpenAIDoor:
    """What the public port answers over HTTP."""

    def __init__(self, clients: Clients, health: Health) -> None:
        self._clients = clients
        self._health = health

    def answer(self, request: HttpRequest, connection: HttpConnection) -> Answer | Pending | None:
        """One request: its answer, or who is making it."""
        path = request.path if not request.path.endswith("/") else request.path.rstrip("/") or "/"
        endpoint = _ASKING.get(path)
        if endpoint is not None:
            if request.method != "POST":
                return error_answer(405, f"{path} takes POST", "method_not_allowed", (("allow", "POST"),))
            return self._ask(request, endpoint, connection)
        if path in _NOT_YET:
            return error_answer(501, f"{path} is not served yet", "not_implemented")
        found = self._get(path)
        if found is None:
            return error_answer(404, f"there is nothing at {path[:_SHOWN_PATH_MAX]}", "not_found")
        if request.method not in ("GET", "HEAD"):
            return error_answer(405, f"{path[:_SHOWN_PATH_MAX]} takes GET", "method_not_allowed", (("allow", "GET"),))
        return found

    def _ask(self, http: HttpRequest, endpoint: str, connection: HttpConnection) -> Answer | Pending | None:
        try:
            body = decode_object(http.body)
        except RemoteProtocolError as error:
            return error_answer(400, error.message, error.code)
        needed = "messages" if endpoint == "chat" else "prompt"
        if needed not in body or ("messages" in body and endpoint != "chat"):
            return error_answer(400, f"expected {needed!r}", "invalid_request")
        stream = body.get("stream")
        if stream is not None and not isinstance(stream, bool):
            return error_answer(400, "'stream' must be true or false", "invalid_stream")
        dispatcher = self._clients.dispatcher
        request = make_request(
            body,
            id=self._request_id(http.headers.get(b"x-request-id")),
            tenant=LOCAL_TENANT,
            cache=_CACHE_CONTROLS.get(http.headers.get(b"cache-control", b"").strip().lower(), "default"),
            stream=bool(stream),
            raw=http.body,
        )
        if isinstance(request, Failure):
            return error_answer(request.status, request.message, request.code)
        answer = OpenAIAnswer(
            connection, request, dispatcher.clock, dispatcher.unix_time(), usage_wanted=usage_wanted(body)
        )
        answer.exchange = dispatcher.begin(request, answer)
        return answer

    def _request_id(self, given: bytes | None) -> str:
        """The client's own id if it is one that can stand in logs and headers, else a new one."""
        if given is not None and _SANE_ID.fullmatch(given):
            return given.decode()
        return self._clients.new_id()

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
