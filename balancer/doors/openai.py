"""The OpenAI door: chat, completions, embeddings and responses, models and health."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from urllib.parse import unquote

from balancer.admission.keys import KeyTable
from balancer.doors.answer import Answer, Pending, error_answer, failure_answer
from balancer.doors.asking import make_passed, make_request
from balancer.doors.cache_routes import WRONG_PATH, called_wrong
from balancer.doors.clients import Clients
from balancer.doors.health import PATHS, Health
from balancer.doors.http import HttpConnection
from balancer.doors.openai_answer import OpenAIAnswer, usage_wanted
from balancer.doors.options import Options, options_in, unexplained
from balancer.doors.passed_answer import PassedAnswer
from balancer.errors import Failure, bad_request
from balancer.exchange.dispatcher import Dispatcher
from balancer.exchange.timeline import Limits
from balancer.request import Request
from balancer.wire import openai
from balancer.wire.embeddings import texts_in
from balancer.wire.errors import RemoteProtocolError
from balancer.wire.http1 import HttpRequest
from balancer.wire.jsontext import decode_object
from balancer.wire.model_list import model_body, models_body

if TYPE_CHECKING:
    from balancer.embeddings import OwnEmbeddings

_ENDPOINTS: Final = {path: endpoint for endpoint, path in openai.ENDPOINT_PATHS.items()}
_NEEDED: Final = {"chat": "messages", "completions": "prompt", "embeddings": "input"}
"""The field without which a body is no request; a response may be asked for with a prompt kept elsewhere."""
_KEPT_RESPONSES: Final = openai.ENDPOINT_PATHS["responses"] + "/"
_SHOWN_PATH_MAX: Final = 200


class _Read(NamedTuple):
    """What a head says, read once for all requests of a connection that have the same; and by which rules."""

    headers: dict[bytes, bytes]
    keys: KeyTable | None
    limits: Limits
    tenant: str
    endpoint: str
    options: Options


class OpenAIDoor:
    """What the public port answers over HTTP. ``own``: the embedder of the cache, where there is one."""

    def __init__(self, clients: Clients, health: Health, own: OwnEmbeddings | None = None) -> None:
        self._clients = clients
        self._health = health
        self._own = own

    def answer(self, request: HttpRequest, connection: HttpConnection) -> Answer | Pending | None:
        """One request: its answer, or who is making it."""
        read = connection.read
        if (
            isinstance(read, _Read)
            and read.headers is request.headers
            and read.keys is self._clients.keys
            and read.limits is self._clients.dispatcher.limits
        ):
            return self._ask(request, read, connection)
        path = request.path if not request.path.endswith("/") else request.path.rstrip("/") or "/"
        tenant = self._tenant_of(request.headers, connection) if path not in PATHS else ""
        if isinstance(tenant, Failure):
            return self._refused(tenant, connection)
        endpoint = _ENDPOINTS.get(path)
        if endpoint is not None:
            if request.method != "POST":
                return error_answer(405, f"{path} takes POST", "method_not_allowed", (("allow", "POST"),))
            limits = self._clients.dispatcher.limits
            options = _coded(request.headers) or options_in(request.headers, limits)
            if isinstance(options, Failure):
                return self._refused(options, connection, tenant)
            if options.wishes is not None and not self._clients.may_explain(connection.peer, tenant):
                options = unexplained(options)
            read = _Read(request.headers, self._clients.keys, limits, tenant, endpoint, options)
            connection.read = read
            return self._ask(request, read, connection)
        if path.startswith(WRONG_PATH) and request.method == "POST":
            return called_wrong(self._clients.dispatcher.cache, path.removeprefix(WRONG_PATH), tenant)
        if path.startswith(_KEPT_RESPONSES) and (request.method != "POST" or path.endswith("/cancel")):
            message = "a response is kept by the one backend that made it, and which one that was is not known here"
            return failure_answer(bad_request(message, "not_implemented", 501))
        found = self._get(path)
        if found is None:
            return error_answer(404, f"there is nothing at {path[:_SHOWN_PATH_MAX]}", "not_found")
        if request.method not in ("GET", "HEAD"):
            return error_answer(405, f"{path[:_SHOWN_PATH_MAX]} takes GET", "method_not_allowed", (("allow", "GET"),))
        return found

    def refuses(self, headers: dict[bytes, bytes], connection: HttpConnection) -> Failure | None:
        """What is wrong with a request by its head alone, so that nobody waits for its body: the key. What needs none
        has no body either."""
        keys, read = self._clients.keys, connection.read
        if keys is None or (isinstance(read, _Read) and read.headers is headers and read.keys is keys):
            return None
        tenant = self._tenant_of(headers, connection)
        return tenant if isinstance(tenant, Failure) else None

    def _tenant_of(self, headers: dict[bytes, bytes], connection: HttpConnection) -> str | Failure:
        given = headers.get(b"authorization")
        return self._clients.authenticate(connection.peer, bearer_key(given) if given is not None else None)

    def _ask(self, http: HttpRequest, read: _Read, connection: HttpConnection) -> Answer | Pending | None:
        request = _asked(http.body, read, connection.request_id)
        if not isinstance(request, Failure) and request.endpoint == "embeddings" and self._own is not None:
            if (own := self._own_for(request)) is not None:
                return self._embed(own, request, connection)
            request = self._own.unknown(request.model) or request
        if isinstance(request, Failure):
            return self._refused(request, connection, read.tenant)
        return _begin(self._clients.dispatcher, request, connection)

    def _refused(self, failure: Failure, connection: HttpConnection, tenant: str = "") -> Answer:
        """What a request that comes to no exchange is told; those who keep count hear of it, too."""
        self._clients.refused(connection.request_id, failure, tenant)
        return failure_answer(failure)

    # --- embeddings

    def _own_for(self, request: Request) -> OwnEmbeddings | None:
        """The embedder of our own, if it is meant and no backend offers the same."""
        own, view, model = self._own, self._clients.dispatcher.registry.view, request.model
        if own is None or own.hopeless:
            return None
        if model is not None:
            rules = self._clients.dispatcher.rules
            model = model if rules is None else rules.alias_of(model)
            return own if own.means(model) and not view.group(model, "embeddings").tiers else None
        offered = any("embeddings" in backend.spec.endpoints for backend in view.backends)
        return None if offered else own

    def _embed(self, own: OwnEmbeddings, request: Request, connection: HttpConnection) -> Answer | Pending | None:
        try:
            texts_in(request.body, own.dimension)
        except RemoteProtocolError as error:
            return self._refused(bad_request(error.message, error.code, error.status), connection, request.tenant)
        failure = own.unready()
        if failure is not None:
            return self._refused(failure, connection, request.tenant)
        return _begin(own.dispatcher, replace(request, model=own.name), connection)

    # --- what is told at once

    def _get(self, path: str) -> Answer | None:
        health = self._health.answer(path)
        if health is not None:
            return Answer(*health)
        if path == "/v1/models":
            return Answer(200, models_body(self._models(), self._health.started_at))
        if not path.startswith("/v1/models/"):
            return None
        # The SDKs escape the slash in a name, people do not.
        name, models = unquote(path.removeprefix("/v1/models/")), self._models()
        if name not in models:
            return error_answer(404, f"no backend offers {name[:_SHOWN_PATH_MAX]!r}", "model_not_found")
        return Answer(200, model_body(name, models[name], self._health.started_at))

    def _models(self) -> dict[str, int | None]:
        own = self._own.models() if self._own is not None else {}
        return {**own, **self._health.models()}


def _coded(headers: dict[bytes, bytes]) -> Failure | None:
    """Why a body that is not sent as it is cannot be read."""
    coding = headers.get(b"content-encoding", b"identity")
    if coding.lower() == b"identity":
        return None
    message = f"content-encoding: {coding[:40].decode('latin-1')!r} is not decoded here: send the body as it is"
    return bad_request(message, "content_encoding", 415)


def _asked(raw: bytes, read: _Read, id: str) -> Request | Failure:
    """What a body asks for, or what is wrong with it."""
    endpoint = read.endpoint
    try:
        body = decode_object(raw)
    except RemoteProtocolError as error:
        return bad_request(error.message, error.code, error.status)
    needed = _NEEDED.get(endpoint)
    if (needed is not None and needed not in body) or ("messages" in body and endpoint == "completions"):
        return bad_request(f"expected {needed!r}")
    stream = body.get("stream")
    if stream is not None and not isinstance(stream, bool):
        return bad_request("'stream' must be true or false", "invalid_stream")
    return _request(body, endpoint, id, read.tenant, read.options, bool(stream), raw)


def _request(
    body: dict[str, Any], endpoint: str, id: str, tenant: str, options: Options, stream: bool, raw: bytes
) -> Request | Failure:
    cache = options.cache
    if endpoint in ("chat", "completions"):
        request = make_request(body, id=id, tenant=tenant, cache=cache, stream=stream, raw=raw)
    else:
        stream = stream and endpoint != "embeddings"
        request = make_passed(body, endpoint, id=id, tenant=tenant, cache=cache, stream=stream, raw=raw)
    if not options.limited or isinstance(request, Failure):
        return request
    return replace(
        request,
        deadline_s=options.deadline_s,
        first_token_s=options.first_token_s,
        between_tokens_s=options.between_tokens_s,
        resumable=request.resumable and options.resumable,
        wishes=options.wishes,
    )


def _begin(dispatcher: Dispatcher, request: Request, connection: HttpConnection) -> OpenAIAnswer:
    clock, unix_time = dispatcher.clock, dispatcher.unix_time
    if request.endpoint in ("chat", "completions"):
        answer = OpenAIAnswer(connection, request, clock, unix_time, usage_wanted=usage_wanted(request.body))
    else:
        answer = PassedAnswer(connection, request, clock, unix_time)
    answer.exchange = dispatcher.begin(request, answer)
    return answer


def bearer_key(authorization: bytes) -> bytes:
    """The key in ``Bearer KEY`` (RFC 6750, 2.1); of anything else what is no key of anybody: nothing."""
    if authorization.startswith(b"Bearer "):
        return authorization[7:].strip()
    scheme, _, key = authorization.partition(b" ")
    return key.strip() if scheme.lower() == b"bearer" else b""
