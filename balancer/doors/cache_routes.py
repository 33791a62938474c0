"""What may be done to the cache: by an operator on the admin port, and by a client to an entry of its own.

Admin: ``POST /cache/purge`` (``?tenant=``, ``?model=``, ``?prefix=``, ``?entry=``), ``POST /cache/forget``
(``?model=``), ``POST /cache/wrong/ENTRY``, ``POST /cache/warm`` with JSON lines.
Public: ``POST /v1/cache/wrong/ENTRY``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec

from balancer.cache.keys import KEY_BYTES
from balancer.cache.purge import Purge
from balancer.doors.answer import Answer, error_answer
from balancer.doors.asking import make_request
from balancer.doors.changes import Later
from balancer.doors.clients import LOCAL_TENANT, Clients
from balancer.doors.http import HttpConnection
from balancer.doors.native_answer import failure_line
from balancer.errors import Failure
from balancer.exchange.cache_lane import CacheLane
from balancer.exchange.dispatcher import Dispatcher
from balancer.exchange.journal import Answer as Told
from balancer.wire import native
from balancer.wire.errors import RemoteProtocolError
from balancer.wire.jsontext import decode_object

WRONG_PATH: Final = "/v1/cache/wrong/"
WARM_BACKEND: Final = "warm"
"""Who is told to have made an answer that came from a file."""
_ERRORS_MAX: Final = 20
_AT_ONCE_S: Final = 0.001
"""So long answers are stored before others have their turn."""
_OURS: Final = frozenset({"tenant", "answer", "prompt_tokens", "completion_tokens"})
"""Of a line to warm the cache with: all else in it is the request."""


def entry_key(text: str) -> bytes | None:
    """The key of an entry as clients name it; ``None`` for what names none."""
    try:
        key = bytes.fromhex(text)
    except ValueError:
        return None
    return key if len(key) == KEY_BYTES else None


def called_wrong(cache: CacheLane | None, entry: str, tenant: str | None) -> Answer:
    """Somebody says that this entry answered wrongly; ``tenant`` ``None``: an operator does."""
    if cache is None:
        return _off()
    key = entry_key(entry)
    if key is None:
        return error_answer(400, "an entry is 32 hex digits: `entry` in `done` or x-balancer-cache", "invalid_entry")
    if not cache.wrong(key, tenant):
        return error_answer(404, f"there is no entry {entry.lower()}", "no_such_entry")
    return _json({"entry": entry.lower(), "forgotten": True})


def wronged(clients: Clients, peer: str, message: native.Wrong) -> bytes:
    """The same said on a native connection, from this address: the line that answers it."""
    tenant = clients.authenticate(peer, message.key.encode() if message.key is not None else None)
    if isinstance(tenant, Failure):
        return failure_line(None, tenant)
    cache, key = clients.dispatcher.cache, entry_key(message.entry)
    forgotten = cache is not None and key is not None and cache.wrong(key, tenant)
    return native.wronged_line(message.entry, forgotten)


class CacheRoutes:
    """The admin port's part."""

    def __init__(self, dispatcher: Dispatcher) -> None:
        self._dispatcher = dispatcher

    def answer(self, path: str, query: Mapping[str, str], body: bytes, connection: HttpConnection) -> Answer | Later:
        """A ``POST``."""
        cache = self._dispatcher.cache
        if path.startswith("/cache/wrong/"):
            return called_wrong(cache, path.removeprefix("/cache/wrong/"), None)
        if path not in ("/cache/purge", "/cache/forget", "/cache/warm"):
            return error_answer(404, "expected /cache/purge, forget, warm or wrong/ENTRY", "not_found")
        if cache is None:
            return _off()
        if path == "/cache/purge":
            return self._purge(cache, query)
        if path == "/cache/warm":
            return Later(connection, self._warm(cache, body))
        cache.forget_all(query.get("model"))
        return _json({"forgotten": query.get("model", "all")})

    def _purge(self, cache: CacheLane, query: Mapping[str, str]) -> Answer:
        unknown = query.keys() - {"tenant", "model", "prefix", "entry"}
        if unknown:  # misspelt, it would purge too much
            return error_answer(400, f"there is no ?{min(unknown)}=", "invalid_purge")
        entry = entry_key(query["entry"]) if "entry" in query else None
        if "entry" in query and entry is None:
            return error_answer(400, "an entry is 32 hex digits", "invalid_entry")
        found = cache.purge(
            Purge(tenant=query.get("tenant"), model=query.get("model"), prefix=query.get("prefix"), entry=entry)
        )
        return _json({"purged": found})

    async def _warm(self, cache: CacheLane, body: bytes) -> Answer:
        """Line by line, and in between the loop's other work: a body may take seconds."""
        stored, errors = 0, list[dict[str, Any]]()
        clock = self._dispatcher.clock
        pause_at = clock.time() + _AT_ONCE_S
        for number, line in enumerate(_lines(body), start=1):
            if not line or line.isspace():
                continue
            error = self._warmed(cache, line)
            if error is None:
                stored += 1
            elif len(errors) < _ERRORS_MAX:
                errors.append({"line": number, "message": error})
            if clock.time() >= pause_at:
                await asyncio.sleep(0)
                pause_at = clock.time() + _AT_ONCE_S
        return _json({"stored": stored, "errors": errors})

    def _warmed(self, cache: CacheLane, line: bytes) -> str | None:
        """Store one line's answer; why not, if not."""
        try:
            fields = decode_object(line)
        except RemoteProtocolError as error:
            return error.message
        tenant, text = fields.get("tenant", LOCAL_TENANT), fields.get("answer")
        if not isinstance(text, str) or not isinstance(tenant, str):
            return 'expected "answer" (and "tenant", if given) as text'
        asked = {name: value for name, value in fields.items() if name not in _OURS}
        request = make_request(asked, id="warm", tenant=tenant)
        if isinstance(request, Failure):
            return request.message
        model = request.model or self._only_model()
        if model is None:
            return '"model" is needed: several are offered, or none'
        keys = cache.keys(request, model)
        if keys.exact is None:
            return f"such a request is not cached: {keys.skip}"
        told = Told(text, "stop", model, _count(fields, "prompt_tokens"), _count(fields, "completion_tokens"), True)
        return None if cache.store(request, keys, told, WARM_BACKEND, None) else "the cache refused it: see its status"

    def _only_model(self) -> str | None:
        if self._dispatcher.default_model is not None:
            return self._dispatcher.default_model
        offered = list(self._dispatcher.registry.view.models())
        return offered[0] if len(offered) == 1 else None


def _lines(body: bytes) -> Iterator[bytes]:
    """One by one."""
    at = 0
    while at < len(body):
        end = body.find(b"\n", at)
        end = len(body) if end < 0 else end
        yield body[at:end]
        at = end + 1


def _count(fields: Mapping[str, Any], name: str) -> int | None:
    value = fields.get(name)
    return value if type(value) is int and value >= 0 else None


def _off() -> Answer:
    return error_answer(409, "the cache is off", "no_cache")


def _json(value: object) -> Answer:
    return Answer(200, msgspec.json.encode(value))
