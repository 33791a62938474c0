"""What an operator changes on the admin port that takes a moment: backends come and go, the settings are read again.

``POST /backends`` takes ``{"upstream":"URL;slots=8"}`` or ``{"url":"URL","slots":8,...}``, ``DELETE /backends/NAME``
takes the name. What is changed here holds until the daemon ends; what shall last goes into the settings. A key cannot
be named here: whoever can reach this port could have any variable of the daemon's environment sent anywhere.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any, Final

import msgspec

from balancer.doors.answer import Answer, error_answer
from balancer.doors.http import HttpConnection
from balancer.errors import ConfigError
from balancer.pool.registry import Registry
from balancer.tasks import spawn
from balancer.upstream.spec import UpstreamSpec, make_upstream, parse_upstream
from balancer.upstream.watch import Watch
from balancer.wire.errors import RemoteProtocolError
from balancer.wire.jsontext import decode_object

_NOTE: Final = "until the balancer ends: what shall last goes into its settings"


class OperatorChanges:
    """``reload`` reads the settings again; it raises `ConfigError`."""

    def __init__(self, registry: Registry, watch: Watch, reload: Callable[[], Awaitable[dict[str, Any]]]) -> None:
        self._registry = registry
        self._watch = watch
        self._reload = reload

    def add(self, body: bytes, connection: HttpConnection) -> Answer | Later:
        """Put an upstream into the pool."""
        try:
            upstream = upstream_in(decode_object(body))
        except RemoteProtocolError as error:
            return error_answer(error.status, error.message, error.code)
        except ConfigError as error:
            return error_answer(400, str(error), "invalid_backend")
        return Later(connection, self._added(upstream))

    async def _added(self, upstream: UpstreamSpec) -> Answer:
        try:
            await self._watch.add(upstream)
        except ConfigError as error:
            return error_answer(409, str(error), "not_added")
        doubled = self._watch.doubled(upstream.name)
        warning = {"warning": doubled} if doubled is not None else {}
        return _json({"backend": upstream.name, "slots": upstream.slots, "kept": _NOTE, **warning})

    def trouble(self, name: str) -> str | None:
        """How the last probe of this backend failed, if it is an upstream and it did."""
        return self._watch.trouble(name)

    def remove(self, name: str) -> Answer:
        """No new work for it; it leaves when what runs there has ended."""
        try:
            running = self._watch.remove(name)
        except KeyError:
            member = self._registry.named(name)
            if member is None:
                return error_answer(404, f"there is no backend {name!r}", "no_such_backend")
            if member.spec.kind == "upstream":
                return error_answer(409, f"backend {name!r} is being removed: its last requests finish", "leaving")
            message = f"backend {name!r} has registered itself and would come back: `llm-balancer drain {name}`"
            return error_answer(409, message, "registered_backend")
        return _json({"backend": name, "running": running, "removed": running == 0, "kept": _NOTE})

    def reload(self, connection: HttpConnection) -> Later:
        """Read the settings again."""
        return Later(connection, self._reloaded())

    async def _reloaded(self) -> Answer:
        try:
            return _json({"reloaded": True, **await self._reload()})
        except ConfigError as error:
            return error_answer(409, f"{error}; the old settings stay", "not_reloaded")


class Later:
    """An answer that takes a moment; a `balancer.doors.http.Pending`. Its work goes on if the operator leaves."""

    def __init__(self, connection: HttpConnection, answer: Coroutine[Any, Any, Answer]) -> None:
        self._connection: HttpConnection | None = connection
        spawn(self._finish(answer), name="an operator's change")

    async def _finish(self, answer: Coroutine[Any, Any, Answer]) -> None:
        try:
            found = await answer
        except Exception:
            if self._connection is not None:
                self._connection.respond(error_answer(500, "the balancer failed at this; see its log", "internal"))
            raise
        if self._connection is not None:
            self._connection.respond(found)

    def pause(self) -> None:
        """The answer comes in one piece; there is nothing to hold back."""

    def resume(self) -> None: ...

    def keep_alive(self) -> None: ...

    def cancel(self) -> None:
        self._connection = None


def upstream_in(fields: Mapping[str, Any]) -> UpstreamSpec:
    """The upstream of a ``POST /backends``. Raises `ConfigError`."""
    whole = fields.get("upstream")
    if isinstance(whole, str) and len(fields) == 1:
        spec = parse_upstream(whole)
    elif isinstance(url := fields.get("url"), str):
        given = {name.replace("_", "-"): value for name, value in fields.items() if name not in ("url", "labels")}
        spec = make_upstream(url, {name: _text(name, value) for name, value in given.items()}, _labels(fields))
    else:
        raise ConfigError('upstream: expected {"upstream":"URL;slots=8"} or {"url":"URL","slots":8}')
    if spec.key_env is not None:
        raise ConfigError("upstream: key-env: only in the settings; add it there and reload")
    return spec


def _labels(fields: Mapping[str, Any]) -> dict[str, str]:
    labels = fields.get("labels", {})
    if not isinstance(labels, dict):
        raise ConfigError("upstream: labels: expected an object")
    return {key: _text(f"labels.{key}", value) for key, value in labels.items()}


def _text(name: str, value: object) -> str:
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return ",".join(value)
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ConfigError(f"upstream: {name}: expected a text or a number")
    return str(value)


def _json(value: object) -> Answer:
    return Answer(200, msgspec.json.encode(value))
