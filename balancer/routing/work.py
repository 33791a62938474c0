"""Prefill work on each backend, in tokens, and how fast it does it: what it reported, corrected by what we know since.

A beat is a second old when the next one comes. So what was leased since is added at once, and what began to answer
since is taken away, each exactly once: from the report if the beat can have counted it, else from our own sum. Of a
backend that reports nothing our own sum is all there is.

The speed is tokens (its own and those ahead of it) over the time to the first token, both summed over about the last
`REMEMBERED` requests, so that long ones count for more. A constant is added to each for what a request costs whatever
its length; without it, a backend that got short requests would look slow.
"""

from __future__ import annotations

from array import array
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from balancer.pool.ledger import Lease, Ledger
from balancer.pool.view import PoolView

RUNNING_TOKENS = 256.0
"""What a request under way costs beside its prompt, in tokens of prefill: it makes every step of the others longer."""
FIRST_GUESS_TOKENS_PER_S = 8000.0
LEAST_S = 0.02
"""Shorter times count as this one: below it, differences are those of the network and the scheduler."""
REMEMBERED = 32
LEAST_RATE, MOST_RATE = 1.0, 1e7
PRESSURE_S = 0.15
"""The price of memory that is half full; three quarters cost three times as much."""
FULLEST = 0.98


class _Ticket(NamedTuple):
    tokens: float
    ahead: float
    """Tokens that were there before it, its own and the constant included."""
    epoch: int
    """How many beats its backend had sent."""
    at: float


class Work:
    """By the ledger's indexes. Cheap to read: sums are kept, not made."""

    def __init__(self, ledger: Ledger) -> None:
        size = len(ledger.generation)
        self.pending = _reals(size)
        """Tokens of prefill that wait or run."""
        self.s_per_token = _reals(size)
        self.wait_s = _reals(size)
        """What a request that came now would wait for: the pending tokens, those under way, and space in the memory."""
        self.wait_s_np: npt.NDArray[np.float64] = np.frombuffer(self.wait_s, dtype=np.float64)
        self.s_per_token_np: npt.NDArray[np.float64] = np.frombuffer(self.s_per_token, dtype=np.float64)
        self._reported = _reals(size)
        self._credit = _reals(size)
        """Tokens leased since the last beat, or all of ours where no beat tells of any."""
        self._reports = array("b", bytes(size))
        self._memory_s = _reals(size)
        self._epoch = array("q", bytes(8 * size))
        self._generation = array("q", bytes(8 * size))
        self._tokens = _reals(size)
        self._seconds = _reals(size)
        self._all_tokens = FIRST_GUESS_TOKENS_PER_S
        self._all_seconds = 1.0
        self._tickets: dict[Lease, _Ticket] = {}
        self._version = -1

    def follow(self, view: PoolView, ledger: Ledger) -> None:
        """To be called before anything is read: of a new process nothing is known."""
        if view.version == self._version:
            return
        self._version = view.version
        for backend in view.backends:
            self._meet(backend.index, backend.generation, ledger)

    def leased(self, lease: Lease, ledger: Ledger, tokens: float, now: float) -> None:
        """A request with so many tokens to compute is under way there."""
        index = lease.index
        ahead = self.pending[index] + tokens + RUNNING_TOKENS
        self._credit[index] += tokens
        self._tickets[lease] = _Ticket(tokens, ahead, self._epoch[index], now)
        self._sum(index, ledger)

    def first_token(self, lease: Lease, ledger: Ledger, now: float) -> None:
        """Its prefill is done, which tells how fast it went."""
        ticket = self._take(lease, ledger)
        if ticket is not None and now > ticket.at:
            self._learn(lease.index, ticket.ahead, now - ticket.at)
            self._sum(lease.index, ledger)

    def ended(self, lease: Lease, ledger: Ledger) -> None:
        """It is over, perhaps before its first token; its slot is about to be free."""
        self._take(lease, ledger)
        if lease.current:
            self._sum(lease.index, ledger, 0 if lease.released else 1)

    def beat(self, index: int, ledger: Ledger) -> None:
        """Take over what the backend reports."""
        self._meet(index, ledger.generation[index], ledger)
        reported = ledger.prefill_waiting[index] + ledger.prefill_running[index]
        if reported:
            self._reports[index] = True
        if self._reports[index]:
            self._epoch[index] += 1
            self._reported[index] = reported
            self._credit[index] = 0.0
        total = ledger.kv_total[index]
        used = min(ledger.kv_used[index] / total, FULLEST) if total > 0 else 0.0
        self._memory_s[index] = PRESSURE_S * used / (1.0 - used)
        self._sum(index, ledger)

    def _take(self, lease: Lease, ledger: Ledger) -> _Ticket | None:
        ticket = self._tickets.pop(lease, None)
        if ticket is None or not lease.current:
            return None
        index = lease.index
        if ticket.epoch == self._epoch[index]:
            self._credit[index] -= ticket.tokens
        else:
            self._reported[index] = max(0.0, self._reported[index] - ticket.tokens)
        self._sum(index, ledger)
        return ticket

    def _learn(self, index: int, tokens: float, seconds: float) -> None:
        keep = 1.0 - 1.0 / REMEMBERED
        seconds = max(seconds, LEAST_S)
        self._tokens[index] = keep * self._tokens[index] + tokens
        self._seconds[index] = keep * self._seconds[index] + seconds
        self._all_tokens = keep * self._all_tokens + tokens
        self._all_seconds = keep * self._all_seconds + seconds
        rate = self._tokens[index] / self._seconds[index]
        self.s_per_token[index] = 1.0 / min(max(rate, LEAST_RATE), MOST_RATE)

    def _sum(self, index: int, ledger: Ledger, leaving: int = 0) -> None:
        self.pending[index] = pending = max(0.0, self._reported[index] + self._credit[index])
        running = RUNNING_TOKENS * (ledger.in_flight[index] - leaving)
        self.wait_s[index] = (pending + running) * self.s_per_token[index] + self._memory_s[index]

    def _meet(self, index: int, generation: int, ledger: Ledger) -> None:
        if self._generation[index] == generation:
            return
        self._generation[index] = generation
        self._reported[index] = self._credit[index] = self._memory_s[index] = 0.0
        self._reports[index] = False
        # As fast as the others, so far: whoever is known to be a little faster must not get everything.
        self._tokens[index] = self._all_tokens / self._all_seconds
        self._seconds[index] = 1.0
        self.s_per_token[index] = 1.0 / self._tokens[index]
        self._sum(index, ledger)


def _reals(size: int) -> array[float]:
    return array("d", bytes(8 * size))
