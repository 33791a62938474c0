"""``POST /explain`` on the admin port: where a request would go now, and why. Nothing is sent, leased or counted."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

import msgspec

from balancer.admission.models import resolve_model
from balancer.doors.answer import Answer, error_answer
from balancer.doors.asking import make_passed, make_request
from balancer.errors import Failure, bad_request
from balancer.exchange.course import course_of
from balancer.exchange.dispatcher import Dispatcher
from balancer.pool.backend import CLASSIC_MODEL
from balancer.request import Request, Wishes
from balancer.routing.blocks import prompt_blocks
from balancer.routing.explain import explain
from balancer.routing.need import RouteNeed, session_of
from balancer.wire.errors import RemoteProtocolError
from balancer.wire.jsontext import decode_object

_OWN_FIELDS: Final = ("tenant", "endpoint", "arm")
_PASSED: Final = ("embeddings", "responses")


def explained(dispatcher: Dispatcher, body: bytes) -> Answer:
    """``body``: a request as clients send it, and beside it ``tenant``, ``endpoint`` (of one that is passed on unread)
    and ``arm`` (what ``x-balancer-model`` would say)."""
    try:
        fields = decode_object(body)
    except RemoteProtocolError as error:
        return error_answer(error.status, error.message, error.code)
    request = _request(fields, body)
    found = request if isinstance(request, Failure) else _explained(dispatcher, request)
    if isinstance(found, Failure):
        return error_answer(found.status, found.message, found.code)
    return Answer(200, msgspec.json.encode(found))


def _request(fields: dict[str, Any], raw: bytes) -> Request | Failure:
    tenant, endpoint, arm = (fields.pop(name, None) for name in _OWN_FIELDS)
    for name, given in zip(_OWN_FIELDS, (tenant, endpoint, arm), strict=True):
        if given is not None and not isinstance(given, str):
            return bad_request(f'"{name}" must be a string')
    if endpoint in _PASSED:
        request = make_passed(fields, endpoint, id="", tenant=tenant or "local", cache="default", stream=False, raw=raw)
    elif endpoint in (None, "chat", "completions"):
        if endpoint == "chat" and "messages" not in fields:
            fields["messages"] = [{"role": "user", "content": fields.pop("prompt", None)}]
        request = make_request(fields, id="", tenant=tenant or "local")
    else:
        return bad_request('"endpoint" must be chat, completions, embeddings or responses')
    return request if isinstance(request, Failure) else replace(request, wishes=Wishes(arm))


def _explained(dispatcher: Dispatcher, request: Request) -> dict[str, Any] | Failure:
    registry, now = dispatcher.registry, dispatcher.clock.time()
    offered = registry.view.models()
    course = course_of(request, dispatcher.rules, dispatcher.default_model, dispatcher.router.rng)
    if isinstance(course, Failure):
        return course
    assert course is not None  # a request with wishes has one
    chain = course.chain
    if chain.model is None:
        found = resolve_model(None, offered, None, CLASSIC_MODEL, lambda name: False, dispatcher.uptime_s)
        if isinstance(found, Failure):
            return found
        models: tuple[str, ...] = (found,)
    else:
        models = (chain.model, *chain.rest)
    routes = [
        explain(dispatcher.router, registry.view, registry.ledger, _need(dispatcher, request, model), now).as_dict()
        for model in models
    ]
    rule = dispatcher.rules.by_name.get(chain.asked or "") if dispatcher.rules is not None else None
    return {
        "asked": request.model,
        "model": models[0],
        "shares": dict(rule.arms) if rule is not None and len(rule.arms) > 1 else None,
        "session": bool(session_of(request.body)),
        "waiting": len(dispatcher.queue),
        "routes": routes,
    }


def _need(dispatcher: Dispatcher, request: Request, model: str) -> RouteNeed:
    return RouteNeed(
        model,
        request.endpoint,
        request.prompt_bytes,
        named=request.model is not None,
        session=session_of(request.body),
        blocks=prompt_blocks(request.body) if dispatcher.router.wants_blocks else (),
    )
