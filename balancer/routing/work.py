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
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from balancer.pool.ledger import Lease, Ledger
from balancer.pool.view import PoolView
from balancer.routing.policy import FEW, Parts

RUNNING_TOKENS = 256.0
"""What a request under way costs beside its prompt, in tokens of prefill: it makes every step of the others longer."""
RUNNING_TOKENS_OF_HIT = 64.0
"""The same for one that has little to compute: it takes few steps until its first token."""
FIRST_GUESS_TOKENS_PER_S = 8000.0
LEAST_S = 0.02
"""Shorter times count as this one: below it, differences are those of the network and the scheduler."""
REMEMBERED = 32
KEPT = 1.0 - 1.0 / REMEMBERED
LEAST_S_PER_TOKEN, MOST_S_PER_TOKEN = 1e-7, 1.0
MISS_PRICE = 2.0
"""What a token that must be computed counts, where one that is held counts nothing: its own time, and as much again for
the capacity it takes from others (found by simulation)."""
HELD_UP_PRICE = 0.08
"""What is under way takes steps that become longer by what has to be computed: so much more for each request."""
PRESSURE_S = 0.15
"""The price of memory that is half full; three quarters cost three times as much."""
FULLEST = 0.98
"""Memory counts as no fuller: what it costs grows without bound towards full."""


_Ticket: TypeAlias = tuple[float, float, int, float]
"""Tokens; those and all that were there before it, the constant included; how many beats its backend had sent; when."""


class Work:
    """By the ledger's indexes. Cheap to tell and to read: sums are made when they are read, of what has changed."""

    def __init__(self, ledger: Ledger) -> None:
        size = len(ledger.generation)
        self.pending = [0.0] * size
        """Tokens of prefill that wait or run."""
        self.s_per_token = [0.0] * size
        self.wait_s = [0.0] * size
        """What a request that came now would wait for beside its prompt: the pending tokens, those under way and
        itself, and space in the memory."""
        self.hit_wait_s = [0.0] * size
        """The same for one whose prompt is in the cache."""
        # The same once more as numpy sees it, where there are many. Plain Python reads lists faster.
        self._wait_s, self._hit_wait_s, self._s_per_token = _reals(size), _reals(size), _reals(size)
        self.wait_s_np: npt.NDArray[np.float64] = np.frombuffer(self._wait_s, dtype=np.float64)
        self.hit_wait_s_np: npt.NDArray[np.float64] = np.frombuffer(self._hit_wait_s, dtype=np.float64)
        self.s_per_token_np: npt.NDArray[np.float64] = np.frombuffer(self._s_per_token, dtype=np.float64)
        self.price = [MISS_PRICE] * size
        """What a token that its cache lacks costs, in tokens, while nothing is under way there."""
        self.token_s, self.miss_s = [0.0] * size, [0.0] * size
        """The same in seconds; and for one that another cache has, with what is under way."""
        self._token_s, self._miss_s = _reals(size), _reals(size)
        self.token_s_np: npt.NDArray[np.float64] = np.frombuffer(self._token_s, dtype=np.float64)
        self.miss_s_np: npt.NDArray[np.float64] = np.frombuffer(self._miss_s, dtype=np.float64)
        self.memory_s = [0.0] * size
        """What of it is for space in the memory."""
        self._many = False
        """Whether numpy is asked."""
        self._stale: set[int] = set()
        """Whose sums are to be made anew."""
        self._reported = [0.0] * size
        self._credit = [0.0] * size
        """Tokens leased since the last beat, or all of ours where no beat tells of any."""
        self._reports = [False] * size
        self._epoch = [0] * size
        self._generation = [0] * size
        self._tokens = [0.0] * size
        self._seconds = [0.0] * size
        self._all_tokens = FIRST_GUESS_TOKENS_PER_S
        self._all_seconds = 1.0
        self._tickets: dict[Lease, _Ticket] = {}
        self.version = -1
        """Of the pool view that it knows."""

    def follow(self, view: PoolView, ledger: Ledger) -> None:
        """To be called with each new view before anything is read: of a new process nothing is known."""
        self.version = view.version
        many = len(view.backends) > FEW
        for backend in view.backends:
            self._meet(backend.index, backend.generation)
            if many and not self._many:
                self._stale.add(backend.index)
        self._many = many

    def settle(self, ledger: Ledger) -> None:
        """To be called before anything is read: take account of all that was told."""
        stale, in_flight = self._stale, ledger.in_flight
        while stale:
            index = stale.pop()
            speed = self._seconds[index] / self._tokens[index]
            if not LEAST_S_PER_TOKEN < speed < MOST_S_PER_TOKEN:
                speed = min(max(speed, LEAST_S_PER_TOKEN), MOST_S_PER_TOKEN)
            pending = self._reported[index] + self._credit[index]
            if pending < 0.0:
                pending = 0.0
            self.pending[index] = pending
            self.s_per_token[index] = speed
            under_way = in_flight[index]
            token_s = self.price[index] * speed
            self.token_s[index] = token_s
            self.miss_s[index] = token_s + HELD_UP_PRICE * under_way * speed
            wait_s, under_way_s = pending * speed + self.memory_s[index], (under_way + 1) * speed
            self.wait_s[index] = wait_s + RUNNING_TOKENS * under_way_s
            self.hit_wait_s[index] = wait_s + RUNNING_TOKENS_OF_HIT * under_way_s
            if self._many:
                self._mirror(index)

    def leased(self, lease: Lease, tokens: float, now: float) -> None:
        """A request with so many tokens to compute is under way there."""
        index = lease.index
        credit = self._credit[index] + tokens
        ahead = self._reported[index] + credit
        self._credit[index] = credit
        self._tickets[lease] = (tokens, (ahead if ahead > tokens else tokens) + RUNNING_TOKENS, self._epoch[index], now)
        self._stale.add(index)

    def first_token(self, lease: Lease, now: float) -> None:
        """Its prefill is done, which tells how fast it went."""
        ticket = self._tickets.pop(lease, None)
        if ticket is None or not lease.current:
            return
        index = lease.index
        self._done(index, ticket)
        seconds = now - ticket[3]
        if seconds > 0.0:
            tokens = ticket[1]
            if seconds < LEAST_S:
                seconds = LEAST_S
            self._tokens[index] = KEPT * self._tokens[index] + tokens
            self._seconds[index] = KEPT * self._seconds[index] + seconds
            self._all_tokens = KEPT * self._all_tokens + tokens
            self._all_seconds = KEPT * self._all_seconds + seconds
        self._stale.add(index)

    def ended(self, lease: Lease) -> None:
        """It is over, perhaps before its first token; its slot is free, or will be before anything is read."""
        ticket, index = self._tickets.pop(lease, None), lease.index
        if ticket is not None and lease.current:
            self._done(index, ticket)
        if self._generation[index] == lease.generation:  # else it left before this was told of it
            self._stale.add(index)

    def beat(self, index: int, ledger: Ledger) -> None:
        """Take over what the backend reports."""
        self._meet(index, ledger.generation[index])
        reported = ledger.prefill_waiting[index] + ledger.prefill_running[index]
        if reported:
            self._reports[index] = True
        if self._reports[index]:
            self._epoch[index] += 1
            self._reported[index] = reported
            self._credit[index] = 0.0
        total = ledger.kv_total[index]
        used = min(ledger.kv_used[index] / total, FULLEST) if total > 0 else 0.0
        self.memory_s[index] = PRESSURE_S * used / (1.0 - used)
        self._stale.add(index)

    def parts(self, index: int, ledger: Ledger) -> Parts:
        """What a backend's wait is made of, for people."""
        return {
            "prefill_tokens": self.pending[index],
            "in_flight": float(ledger.in_flight[index]),
            "tokens_per_s": 1.0 / self.s_per_token[index],
            "memory_s": self.memory_s[index],
            "weight": ledger.weight[index],
        }

    def _mirror(self, index: int) -> None:
        self._wait_s[index], self._hit_wait_s[index] = self.wait_s[index], self.hit_wait_s[index]
        self._s_per_token[index] = self.s_per_token[index]
        self._token_s[index], self._miss_s[index] = self.token_s[index], self.miss_s[index]

    def _done(self, index: int, ticket: _Ticket) -> None:
        """Its tokens are no longer work there."""
        if ticket[2] == self._epoch[index]:
            self._credit[index] -= ticket[0]
        else:
            left = self._reported[index] - ticket[0]
            self._reported[index] = left if left > 0.0 else 0.0

    def _meet(self, index: int, generation: int) -> None:
        if self._generation[index] == generation:
            return
        self._generation[index] = generation
        self._reported[index] = self._credit[index] = self.memory_s[index] = 0.0
        self._reports[index] = False
        # As fast as the others, so far: whoever is known to be a little faster must not get everything.
        self._tokens[index] = self._all_tokens / self._all_seconds
        self._seconds[index] = 1.0
        self._stale.add(index)


def _reals(size: int) -> array[float]:
    return array("d", bytes(8 * size))


class ByWork:
    """What policies that go by it have in common: the work is told what becomes of a lease, and of each beat."""

    def __init__(self) -> None:
        self._work: Work | None = None
        """Once there was something to choose from."""

    def first_token(self, lease: Lease, ledger: Ledger, now: float) -> None:
        if self._work is not None:
            self._work.first_token(lease, now)

    def failed(self, lease: Lease, ledger: Ledger, now: float) -> None:
        """The breaker counts failures."""

    def ended(self, lease: Lease, ledger: Ledger, now: float) -> None:
        if self._work is not None:
            self._work.ended(lease)

    def beat(self, index: int, ledger: Ledger, now: float) -> None:
        if self._work is not None:
            self._work.beat(index, ledger)
