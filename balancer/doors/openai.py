"""The OpenAI door: chat and completions, health and models. Other endpoints get 501 until they are built."""

from __future__ import annotations

from typing import Final

from balancer.doors.asking import make_request
from balancer.doors.clients import Clients
from balancer.doors.health import PATHS, Health
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
_CACHE_CONTROLS: Final = ((b"no-store", "bypass"), (b"only-if-cached", "only"), (b"no-cache", "refresh"))
"""The first of these that is among a request's directives counts."""


class OpenAIDoor:
    """What the public port answers over HTTP."""

    def __init__(self, clients: Clients, health: Health) -> None:
        self._clients = clients
        self._health = health

    def answer(self, request: HttpRequest, connection: HttpConnection) -> Answer | Pending | None:
        """One request: its answer, or who is making it."""
        path = request.path if not request.path.endswith("/") else request.path.rstrip("/") or "/"
        tenant = self._tenant_of(request, connection) if path not in PATHS else ""
        if isinstance(tenant, Failure):
            return refused(tenant)
        endpoint = _ASKING.get(path)
        if endpoint is not None:
            if request.method != "POST":
                return error_answer(405, f"{path} takes POST", "method_not_allowed", (("allow", "POST"),))
            return self._ask(request, endpoint, tenant, connection)
        if path in _NOT_YET:
            return error_answer(501, f"{path} is not served yet", "not_implemented")
        found = self._get(path)
        if found is None:
            return error_answer(404, f"there is nothing at {path[:_SHOWN_PATH_MAX]}", "not_found")
        if request.method not in ("GET", "HEAD"):
            return error_answer(405, f"{path[:_SHOWN_PATH_MAX]} takes GET", "method_not_allowed", (("allow", "GET"),))
        return found

    def _tenant_of(self, request: HttpRequest, connection: HttpConnection) -> str | Failure:
        given = request.headers.get(b"authorization")
        return self._clients.authenticate(connection.peer, bearer_key(given) if given is not None else None)

    def _ask(
        self, http: HttpRequest, endpoint: str, tenant: str, connection: HttpConnection
    ) -> Answer | Pending | None:
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
            id=connection.request_id,
            tenant=tenant,
            cache=_cache_use(http.headers.get(b"cache-control")),
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


def _cache_use(cache_control: bytes | None) -> str:
    """What the client's ``cache-control`` says of our cache, in the words of `Request.cache`."""
    if cache_control is None:
        return "default"
    directives = {directive.strip() for directive in cache_control.lower().split(b",")}
    return next((use for directive, use in _CACHE_CONTROLS if directive in directives), "default")


def bearer_key(authorization: bytes) -> bytes:
    """The key in ``Bearer KEY`` (RFC 6750, 2.1); of anything else what is no key of anybody: nothing."""
    scheme, _, key = authorization.partition(b" ")
    return key.strip() if scheme.lower() == b"bearer" else b""


def refused(failure: Failure) -> Answer:
    """401 in OpenAI's shape."""
    body = openai.error_body(failure.message, failure.type, failure.code)
    return Answer(failure.status, body, (("www-authenticate", "Bearer"),))
