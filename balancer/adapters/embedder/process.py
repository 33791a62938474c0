"""The daemon's side of the embedder: a child process, one batch at a time, vectors by callback.

Nothing waits for it. ``start`` returns before the model is loaded, ``submit`` is synchronous and answers at once when
a vector would come too late, and when the child dies everybody who waits is told in the same moment. It is started
again after a pause that doubles up to a minute. At most one batch is with the child: what waits is here, so a
cancelled text is never computed and the expected wait is known.
"""

from __future__ import annotations

import asyncio
import logging
import math
import sys
from collections.abc import Callable, Sequence
from typing import Any, Final

from balancer import tasks
from balancer.adapters.embedder import frames
from balancer.adapters.embedder.child import Child
from balancer.adapters.embedder.estimate import BatchTimes
from balancer.adapters.embedder.waiting import Callback, Ticket, WaitingTickets

BATCH_TIMEOUT_S: Final = 20.0
LOAD_TIMEOUT_S: Final = 600.0  # a model by name may have to be fetched first
STOP_TIMEOUT_S: Final = 2.0
BACKOFF_FIRST_S: Final = 0.5
BACKOFF_MAX_S: Final = 60.0

log = logging.getLogger(__name__)


class Embedder:
    """Texts to unit vectors. For use on one event loop."""

    def __init__(self, model: str | None = None, *, nice: int = 5, command: Sequence[str] | None = None) -> None:
        """``model``: name or path, ``None`` for the packaged one; ``command``: another child that speaks the same."""
        worker = [sys.executable, "-m", "balancer.adapters.embedder.worker", "--nice", str(nice)]
        self._command = list(command) if command else worker + (["--model", model] if model else [])
        self._model = model
        self._child: Child | None = None
        self._launching: asyncio.Task[Any] | None = None
        self._described: frames.Ready | None = None
        self._times = BatchTimes(1.0, 1.0, frames.BATCH_TEXTS_MAX)
        self._waiting = WaitingTickets()
        self._batch: list[Ticket] = []
        self._batch_number = 0
        self._batch_started = 0.0
        self._send_soon = False
        self._timer: asyncio.TimerHandle | None = None  # one at a time: until ready, until the batch, until the restart
        self._backoff_s = BACKOFF_FIRST_S
        self._stopped = False
        self.ready = False
        self.failure: str | None = None
        """Why there will be no embeddings at all, in words for the operator; ``None`` while there is hope."""
        self.embedded = self.batches = self.late = self.refused = self.restarts = 0

    @property
    def id(self) -> str | None:
        """Name and fingerprint of the model; ``None`` before the child was first ready."""
        return self._described.id if self._described is not None else None

    @property
    def dimension(self) -> int | None:
        """Of the vectors; ``None`` before the child was first ready."""
        return self._described.dimension if self._described is not None else None

    @property
    def tokens_max(self) -> int | None:
        """How many of a text the model reads; ``None``: no limit, or not known yet."""
        return self._described.tokens_max if self._described is not None else None

    @property
    def pid(self) -> int | None:
        """Of the child that runs now, if any."""
        return self._child.pid if self._child is not None else None

    async def start(self) -> None:
        """Start the child and return; ``ready`` turns true some seconds later."""
        if self._model is not None:
            log.info(
                "semantic cache tier: loading %s, exact hits only until then; a name that lies in no folder here "
                "is downloaded from Hugging Face",
                self._model,
            )
        self._launch_soon()

    async def stop(self) -> None:
        """End the child, by force after two seconds; whoever waits gets ``None``."""
        self._stopped = True
        self._set_timer(None)
        self._fail_all()
        if self._launching is not None:
            await asyncio.wait([self._launching], timeout=STOP_TIMEOUT_S)
        if self._child is not None:
            await self._child.end(STOP_TIMEOUT_S)

    def submit(
        self, text: str, callback: Callback, *, wait_s: float | None = None, background: bool = False
    ) -> Ticket | None:
        """Ask for the vector of a text: ``callback(vector or None)`` follows once, never within this call.

        ``None``, and no callback, if there is none to be had: not ready, no room, text too long, or the expected wait
        is over ``wait_s``. After ``wait_s`` the callback gets ``None``, but the ticket its ``vector`` when it comes.
        ``background`` texts are embedded when no others wait.
        """
        if not self.ready or self._stopped:
            return None
        loop = asyncio.get_running_loop()
        if wait_s is not None and self.expected_wait_s(loop.time()) > wait_s:
            self.refused += 1
            return None
        ticket = self._wait(text, callback, background=background)
        if wait_s is not None and ticket is not None:
            ticket.timer = loop.call_later(wait_s, self._too_late, ticket)
        return ticket

    def encode(self, text: str, callback: Callback) -> Ticket | None:
        """As `submit`, for a client who wants the vector itself: no limit on the wait, behind all lookups.

        Of a text longer than the model reads the beginning is embedded; the ticket's ``tokens`` are what was read.
        """
        return self._wait(text, callback, cut=True) if self.ready and not self._stopped else None

    def _wait(self, text: str, callback: Callback, *, background: bool = False, cut: bool = False) -> Ticket | None:
        try:
            encoded = text.encode()
        except UnicodeEncodeError:  # half a surrogate pair
            return None
        ticket = Ticket(encoded, callback, cut=cut)
        if len(encoded) > frames.TEXT_MAX_BYTES or not self._waiting.add(ticket, background=background):
            self.refused += 1
            return None
        if not self._batch and not self._send_soon:
            self._send_soon = True
            # not now: texts of the same cycle of the loop share a batch
            asyncio.get_running_loop().call_soon(self._send_batch)
        return ticket

    def cancel(self, ticket: Ticket) -> None:
        """The vector is no longer wanted: no callback, and no computing if it has not begun."""
        ticket.cancel()
        self._waiting.discard(ticket)

    def expected_wait_s(self, now: float) -> float:
        """How long a lookup submitted now would wait for its vector; ``now`` is the loop's time."""
        if not self.ready:
            return math.inf
        return self._times.wait_s(self._waiting.lookups, len(self._batch), now - self._batch_started)

    def stats(self) -> dict[str, Any]:
        """For the status page."""
        return {
            "id": self.id,
            "ready": self.ready,
            "failure": self.failure,
            "waiting": self._waiting.lookups,
            "background": self._waiting.background,
            "encodings": self._waiting.encodings,
            "in_batch": len(self._batch),
            "embedded": self.embedded,
            "batches": self.batches,
            "late": self.late,
            "refused": self.refused,
            "restarts": self.restarts,
            "expected_single_ms": round(1000 * self._times.batch_s(1), 3) if self.ready else None,
        }

    # The child's life

    def _launch_soon(self) -> None:
        self._launching = tasks.spawn(self._launch(), name="embedder")

    async def _launch(self) -> None:
        try:
            self._child = await Child.start(self._command, self._received, self._exited)
        except OSError as error:
            log.warning("the embedder cannot be started: %s", error)
            self._launch_later()
            return
        self._set_timer(LOAD_TIMEOUT_S, self._overdue)

    def _launch_later(self) -> None:
        if self._stopped or self.failure is not None:
            return
        log.warning("semantic cache tier off for now; the embedder starts again in %.1f s", self._backoff_s)
        self.restarts += 1
        self._set_timer(self._backoff_s, self._launch_soon)
        self._backoff_s = min(2 * self._backoff_s, BACKOFF_MAX_S)

    def _exited(self, child: Child) -> None:
        self._child = None
        self._set_timer(None)
        self._fail_all()
        if not self._stopped and self.failure is None:
            log.warning("the embedder ended with status %s: %s", child.exit_status, child.last_words)
        self._launch_later()

    def _overdue(self) -> None:
        if self._child is not None:
            log.warning("the embedder does not answer and is ended")
            self._child.kill()

    def _fail_all(self) -> None:
        self.ready = False  # first, so that a callback that asks again is refused
        batch, self._batch = self._batch, []
        for ticket in batch + self._waiting.take_all():
            ticket.settle(None)

    def _set_timer(self, after_s: float | None, action: Callable[[], None] | None = None) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if after_s is not None and action is not None and not self._stopped:
            self._timer = asyncio.get_running_loop().call_later(after_s, action)

    # Frames

    def _received(self, child: Child, kind: int, payload: bytes) -> None:
        if kind == frames.VECTORS:
            self._vectors(*frames.parse_vectors(payload))
        elif kind == frames.READINGS:
            number, vectors, tokens_read = frames.parse_readings(payload)
            for ticket, read in zip(self._batch, tokens_read, strict=False):
                ticket.token_vectors = read
            self._vectors(number, vectors)
        elif kind == frames.ENCODED:
            number, vectors, tokens = frames.parse_encoded(payload)
            for ticket, count in zip(self._batch, tokens, strict=False):
                ticket.tokens = count
            self._vectors(number, vectors)
        elif kind == frames.READY:
            self._described = ready = frames.parse_ready(payload)
            self._times = BatchTimes(ready.single_s, ready.full_s, frames.BATCH_TEXTS_MAX)
            self._set_timer(None)
            self.ready = not self._stopped
            log.info("semantic cache tier on: %s, %.1f ms for one short text", ready.id, 1000 * ready.single_s)
        elif kind == frames.FAILED:
            self.failure = frames.parse_failed(payload)
            log.warning("no semantic cache tier, exact hits only: %s", self.failure)
            child.close_input()
        else:
            raise frames.FrameError(f"a frame of kind {kind}")

    def _send_batch(self) -> None:
        self._send_soon = False
        if self._batch or not self.ready or self._child is None:
            return
        self._batch = self._waiting.take(frames.BATCH_TEXTS_MAX)
        if not self._batch:
            return
        self._batch_number = (self._batch_number + 1) & 0xFFFFFFFF
        self._batch_started = asyncio.get_running_loop().time()
        texts = [ticket.encoded for ticket in self._batch]
        self._child.send(frames.embed_frame(self._batch_number, texts, cut=self._batch[0].cut))
        self._set_timer(BATCH_TIMEOUT_S, self._overdue)

    def _vectors(self, number: int, vectors: list[frames.Vector | None]) -> None:
        batch = self._batch
        if number != self._batch_number or len(vectors) != len(batch) or not batch:
            raise frames.FrameError("vectors that nobody asked for")
        self._set_timer(None)
        if not batch[0].cut:  # those may be long: they would say nothing of how long a question takes
            self._times.observe(len(batch), asyncio.get_running_loop().time() - self._batch_started)
        self._backoff_s = BACKOFF_FIRST_S
        self.batches += 1
        self.embedded += len(batch)
        self._batch = []
        self._send_batch()  # before the callbacks, so that the child computes while they run
        for ticket, vector in zip(batch, vectors, strict=True):
            ticket.settle(vector)

    def _too_late(self, ticket: Ticket) -> None:
        self.late += 1
        self._waiting.demote(ticket)
        ticket.give_up()
