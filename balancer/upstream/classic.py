"""Asking a classic backend: one connection, one prompt at a time, and silence as the end of an answer.

Some classic servers keep a connection and answer prompt after prompt on it, some read once and leave it open. The
second prompt goes to the kept connection; if nothing comes for a while a new one is tried beside it, and whichever
answers teaches how this server is to be used from then on.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Callable
from typing import cast

from balancer import errors
from balancer.errors import Failure
from balancer.exchange.ports import Receiver
from balancer.pool.backend import BackendSpec
from balancer.pool.registry import Registry
from balancer.request import Request
from balancer.tasks import spawn
from balancer.upstream.shortage import Shortage
from balancer.wire import classic, openai
from balancer.wire.errors import RemoteProtocolError
from balancer.wire.limits import EVENT_MAX_BYTES

CONNECT_S = 2.0
REDIAL_S = 0.2
REMEMBERED_MAX = 1024
"""Servers whose habits and connections are kept; each start of one is another server."""
PATIENCE_S = 10.0
"""Without a byte for so long on a kept connection, a server whose habit is unknown is asked on a new one, too."""


class ClassicUpstream:
    """Backends of the text protocol."""

    def __init__(self, registry: Registry, loop: asyncio.AbstractEventLoop) -> None:
        self._registry = registry
        self._loop = loop
        self.shortage = Shortage()
        self._kept: dict[str, Line] = {}
        self._keeps_connections: dict[str, bool] = {}

    def ask(self, spec: BackendSpec, request: Request, model: str, receiver: Receiver) -> ClassicCall:
        """See `balancer.exchange.ports.Upstream`."""
        prompt = request.body.get("prompt")
        text = prompt if isinstance(prompt, str) else None
        if "messages" in request.body:
            text = openai.messages_text(request.body["messages"])
        return ClassicCall(self, self._loop, spec, request, model, text, receiver)

    def take(self, instance: str) -> Line | None:
        """The connection kept to this server, if it is to be used again."""
        line = self._kept.pop(instance, None)
        return line if line is not None and line.usable else None

    def keep(self, instance: str, line: Line) -> None:
        """Keep a connection for the next prompt, unless this server reads only once on each."""
        if line.usable and self._keeps_connections.get(instance, True):
            self._kept[instance] = line
            if len(self._kept) > REMEMBERED_MAX:
                self._kept.pop(next(iter(self._kept))).close()
        else:
            line.close()

    def learned(self, instance: str, *, keeps: bool) -> None:
        """How this server turned out to use its connections."""
        self._keeps_connections[instance] = keeps
        if len(self._keeps_connections) > REMEMBERED_MAX:
            del self._keeps_connections[next(iter(self._keeps_connections))]

    def habit(self, instance: str) -> bool | None:
        return self._keeps_connections.get(instance)

    def grace_s(self, spec: BackendSpec) -> float:
        """How long a refused dial may still mean that the server has registered before it listens."""
        member = self._registry.named(spec.name)
        if member is None:
            return 0.0
        return member.registered_at + classic.LISTEN_GRACE_S - self._loop.time()

    def hold(self, spec: BackendSpec) -> Callable[[], None]:
        """While an answer is awaited a silent backend is at work, not gone. Returns what ends that."""
        member = self._registry.named(spec.name)
        if member is None:
            return lambda: None
        lease_id = member.lease_id
        self._registry.hold(lease_id)

        def unhold() -> None:
            self._registry.unhold(lease_id, self._loop.time())

        return unhold

    def close(self) -> None:
        for line in list(self._kept.values()):
            line.close()


class Line(asyncio.Protocol):
    """One connection to a classic server."""

    def __init__(self) -> None:
        self.call: ClassicCall | None = None
        self._transport: asyncio.Transport | None = None

    def send(self, call: ClassicCall, message: bytes) -> None:
        self.call = call
        assert self._transport is not None
        self._transport.write(message)

    @property
    def usable(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    def close(self) -> None:
        self.call = None
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        if self.call is not None:
            self.call.received(self, data)
        else:
            self.close()  # late words of an answer that was over: nothing after them could be trusted

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        call, self.call = self.call, None
        if call is not None:
            call.lost(self, broken=exc is not None)


class ClassicCall:
    """One prompt at one server; a `balancer.exchange.ports.Call`."""

    def __init__(
        self,
        upstream: ClassicUpstream,
        loop: asyncio.AbstractEventLoop,
        spec: BackendSpec,
        request: Request,
        model: str,
        prompt: str | None,
        receiver: Receiver,
    ) -> None:
        self._upstream = upstream
        self._loop = loop
        self._spec = spec
        self._request = request
        self._model = model
        self._receiver = receiver
        self._id = str(uuid.uuid4())
        self._message = classic.prompt_message(self._id, prompt or "")
        self._lines: list[Line] = []
        self._answer = bytearray()
        self._timer: asyncio.TimerHandle | None = None
        self._over = False
        self._reused: Line | None = None
        self._unhold = upstream.hold(spec)
        if prompt is None:  # token ids, or several prompts at once
            failure = errors.bad_request(f"backend {spec.name} reads nothing but one text", "invalid_prompt")
            loop.call_soon(self._refuse, failure)
            return
        kept = upstream.take(spec.instance)
        self._reused = kept
        if kept is None:
            self._dial()
            return
        self._lines.append(kept)
        kept.send(self, self._message)
        if upstream.habit(spec.instance) is None:
            self._timer = loop.call_later(PATIENCE_S, self._dial)

    # --- Call

    def cancel(self) -> None:
        self._end()

    def pause(self) -> None:
        """The answer comes in one piece; there is nothing to hold back."""

    def resume(self) -> None: ...

    # --- lines

    def _dial(self) -> None:
        if not self._over:
            spawn(self._dialled(), name=f"dial {self._spec.name}")

    async def _dialled(self) -> None:
        try:
            async with asyncio.timeout(CONNECT_S):
                _, line = await self._loop.create_connection(Line, self._spec.host, self._spec.port)
        except (OSError, TimeoutError) as error:
            if self._over:
                return
            spec = self._spec
            if self._upstream.grace_s(spec) > 0:
                self._loop.call_later(REDIAL_S, self._dial)
            elif not self._lines:
                ours = self._upstream.shortage.explains(error, spec.host, self._loop.time())
                failure = errors.no_means if ours else errors.backend_unreachable
                self._fail(failure(spec.name, str(error) or "timeout"))
            return
        if self._over:
            line.close()
            return
        if not line.usable:
            self._fail(errors.backend_failed(self._spec.name, "it closed without an answer"))
            return
        self._lines.append(line)
        line.send(self, self._message)

    def received(self, line: Line, data: bytes) -> None:
        """Part of the answer; the first line to speak is the one that counts."""
        if not self._answer:
            if self._reused is not None:
                self._upstream.learned(self._spec.instance, keeps=line is self._reused)
            for other in self._lines:
                if other is not line:
                    other.close()
            self._lines = [line]
        self._answer += data
        if len(self._answer) > EVENT_MAX_BYTES:
            self._fail(errors.backend_failed(self._spec.name, "an answer of more than a megabyte"))
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_later(classic.ANSWER_GAP_S, self._complete)

    def lost(self, line: Line, *, broken: bool) -> None:
        """``broken``: by a reset, say, which is never how an answer ends."""
        if line in self._lines:
            self._lines.remove(line)
        if self._answer and broken:
            self._fail(errors.backend_failed(self._spec.name, "its connection broke in the middle of an answer"))
        elif self._answer:
            self._complete()
        elif line is self._reused:
            self._reused = None  # it had closed before it could see the prompt
            if self._timer is not None:
                self._timer.cancel()
            if not self._lines:
                self._dial()
        elif not self._lines:
            self._fail(errors.backend_failed(self._spec.name, "it closed without an answer"))

    def _complete(self) -> None:
        if self._over:
            return
        try:
            text = classic.answer_text(self._id, bytes(self._answer))
        except RemoteProtocolError as error:
            self._fail(errors.backend_failed(self._spec.name, error.message))
            return
        for line in self._lines:
            line.call = None
            self._upstream.keep(self._spec.instance, line)
        self._lines = []
        endpoint, answer_id = self._request.endpoint, openai.answer_id(self._request.endpoint, self._request.id)
        created = int(time.time())
        self._receiver.on_events(
            openai.text_event(endpoint, answer_id, self._model, created, text)
            + openai.final_events(endpoint, answer_id, self._model, created, "stop", None)
        )
        if not self._over:  # unless the receiver has cancelled
            self._end()
            self._receiver.on_end()

    def _refuse(self, failure: Failure) -> None:
        if not self._over:
            self._fail(failure)

    def _fail(self, failure: Failure) -> None:
        self._end()
        self._receiver.on_failure(failure)

    def _end(self) -> None:
        if self._over:
            return
        self._over = True
        if self._timer is not None:
            self._timer.cancel()
        for line in self._lines:
            line.close()
        self._lines = []
        self._unhold()
