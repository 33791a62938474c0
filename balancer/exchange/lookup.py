"""The cache's part in one exchange: an equal request, then a near one, then a miss; at the end the answer is kept."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from balancer.cache.keys import CacheKeys
from balancer.cache.reading import Reading
from balancer.cache.running import Match, Side
from balancer.cache.store import Hit
from balancer.exchange.cache_lane import CacheLane
from balancer.exchange.journal import Journal
from balancer.exchange.outcome import Outcome
from balancer.exchange.ports import Embedding, Vector
from balancer.request import Request


class Lookup:
    """One request's. ``hit`` or ``miss`` is called once, at once or when the embedder has answered."""

    __slots__ = ("_embedding", "_hit", "_lane", "_miss", "_over", "_reading", "_request", "_withheld", "keys")

    def __init__(
        self, lane: CacheLane, request: Request, model: str, hit: Callable[[Hit], None], miss: Callable[[], None]
    ) -> None:
        self._lane = lane
        self._request = request
        self._hit = hit
        self._miss = miss
        self.keys: CacheKeys = lane.keys(request, model)
        self._embedding: Embedding | None = None
        self._reading: Reading | None = None
        self._over = False
        self._withheld: Hit | None = None

    @property
    def shadow(self) -> bool:
        """A near answer was decided on and, in shadow mode, not served."""
        return self._withheld is not None and self._lane.trials is not None and self._lane.trials.shadow

    def begin(self) -> bool:
        """True: the embedder was asked, and one of the callbacks follows."""
        equal = self._lane.exact(self._request, self.keys)
        if equal is not None:
            self._hit(equal)
            keys, controls = self.keys, self._lane.controls
            if controls is not None and keys.scope is not None:
                controls.equal(self._request, keys.model, keys.text, equal)
            return False
        self._embedding = self._lane.embed(self._request, self.keys, self._embedded)
        if self._embedding is not None:
            return True
        self._miss()
        return False

    def _embedded(self, vector: Vector | None) -> None:
        """The embedder answered, or its time is up (``None``)."""
        if self._over:
            return
        if self._embedding is not None:
            self._reading = self._lane.read(self.keys, self._embedding)
        keys, trials = self.keys, self._lane.trials
        trial = trials.begin() if trials is not None else None
        near = self._lane.near(keys, vector, self._reading, trial)
        if near is None:
            self._withheld = trial.withheld if trial is not None else None
            self._miss()
            return
        self._hit(near)
        if trials is not None:
            trials.served(self._request, keys.model, keys.text, near)

    @property
    def side(self) -> Side | None:
        """What others' questions can be compared with; ``None`` where it was not read."""
        vector = self._embedding.vector if self._embedding is not None else None
        return Side(vector, self._reading) if vector is not None and self._reading is not None else None

    def match(self) -> Match[Any] | None:
        """A question under way whose answer may serve this one."""
        side = self.side
        return self._lane.match(self.keys, side) if side is not None else None

    def joined(self, found: Match[Any]) -> None:
        """The request shares the answer that was found."""
        self._lane.joined(found)

    def may_be_matched(self, who: object) -> None:
        """The answer is being made for ``who``: let those find it who ask what means the same."""
        if self.side is not None:
            self._lane.running.add(self.keys, self.side, who)
        elif self._embedding is None:
            self._embedding = self._lane.embed_early(self.keys, lambda _: self._read_early(who))

    def _read_early(self, who: object) -> None:
        if self._over or self._embedding is None:
            return
        self._reading = self._lane.read(self.keys, self._embedding)
        if self.side is not None:
            self._lane.running.add(self.keys, self.side, who)

    def no_longer(self, who: object) -> None:
        """The answer is made, or will not be."""
        if self.keys.scope is not None:
            self._lane.running.remove(self.keys, who)

    def store(self, journal: Journal, outcome: Outcome) -> None:
        """Keep what a backend has answered, if it is to be kept: not another model's answer under this one's name."""
        answer = journal.answer()
        if answer is not None and outcome.model == self.keys.model:
            if self._withheld is not None and self._lane.trials is not None and answer.finish_reason == "stop":
                keys = self.keys
                self._lane.trials.answered(self._request, keys.model, keys.text, self._withheld, answer.text)
            made_s = outcome.total_s - outcome.queue_s
            self._lane.store(self._request, self.keys, answer, outcome.backend, self._embedding, self._reading, made_s)

    def cancel(self) -> None:
        """Nobody waits any more."""
        self._over = True
        if self._embedding is not None:
            self._embedding.cancel()
