"""Near answers, checked in the background: a backend is asked as well, and the answers are compared.

      .--------------------------------.
      |                                v
    WAITING -> ASKING -> WAITING -> JUDGING -> OVER        any -> OVER (given up: too old, preempted, failed)

Which hits are checked is drawn by lot before anything is known of the other answer. They wait in a bounded line until a
slot is idle, are started by the daemon's tick, and are given up at the moment somebody has to wait. Of what was
withheld, or only decided in shadow mode, the backend's answer is there already: such a check begins with the judge.
A hit on an equal question is the control: its answer is right by definition, so whatever the judge says against the
backend's second answer to it is the judge's own error, or the model's mood, and enters the bound as that.
"""

from __future__ import annotations

import enum
import logging
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

from balancer.cache.bound import Bound
from balancer.cache.judge_error import RATE_MAX, JudgeError
from balancer.cache.observations import EQUAL, WRONG
from balancer.cache.store import Hit
from balancer.exchange.background import BackgroundRequest, has_idle_slot
from balancer.exchange.dispatcher import Dispatcher
from balancer.exchange.journal import Answer
from balancer.exchange.judging import UNDECIDED, Judge, Pair
from balancer.request import Request
from balancer.rng import Rng

WAITING_MAX: Final = 32
"""Of a sample it does not matter which ones are left out."""
WAITING_S: Final = 120.0
"""By then the backend's world may be another than the one that made the entry."""
RUNNING_MAX: Final = 2
"""At a time, and only while slots are idle: nobody waits for a check."""
ASKING_S: Final = 120.0
"""How long a backend may take over one answer that nobody waits for."""
CONTROL_SHARE: Final = 0.25
"""Of the share that is checked: how much of it goes to hits on equal questions."""
CONTROL_WAITING_MAX: Final = 8
"""While more wait there is no room for controls: hits on equal questions may be many more than near ones."""
UNDECIDED_MAX: Final = 20
UNDECIDED_SHARE: Final = 0.1
"""Of the checks that are drawn, once so many in a row told nothing: a model that can't judge costs two answers each."""
CONTROLS_MIN: Final = 50
"""From so many on they take the place of what is only assumed."""
CONTROLS_MAX: Final = 1000
"""Beyond so many what they told is halved: models come and go."""

log = logging.getLogger(__name__)


class Kind(enum.StrEnum):
    SERVED = "served"
    WITHHELD = "withheld"
    SHADOW = "shadow"
    """It would have been served but for shadow mode."""
    CONTROL = "control"


class State(enum.Enum):
    WAITING = "waiting"
    ASKING = "asking"
    JUDGING = "judging"
    OVER = "over"


class Check:
    """One check under way."""

    __slots__ = ("background", "fresh", "hit", "kind", "model", "question", "request", "since", "state")

    def __init__(self, kind: Kind, request: Request, model: str, question: str, hit: Hit, now: float) -> None:
        self.kind = kind
        self.request = request
        self.model = model
        self.question = question
        self.hit = hit
        self.since = now
        self.fresh: str | None = None
        """The backend's answer."""
        self.state = State.WAITING
        self.background: BackgroundRequest | None = None


class Checks:
    """See the module. ``share``: of the near hits, how many are checked; ``new_id`` makes ids of requests."""

    def __init__(
        self,
        bound: Bound,
        dispatcher: Dispatcher,
        judge: Judge,
        *,
        share: float,
        rng: Rng,
        new_id: Callable[[], str],
    ) -> None:
        self._bound = bound
        self._dispatcher = dispatcher
        self._judge = judge
        self._share = share
        self._rng = rng
        self._new_id = new_id
        self._waiting: deque[Check] = deque()
        self._running: dict[Check, None] = {}
        self._prior = bound.judge
        self._controls: Counter[str] = Counter()
        self._undecided = 0
        """Judgements in a row that came to nothing."""
        self.counts: Counter[str] = Counter()
        """What became of the checks that were drawn: done, undecided, failed, too_old, preempted, stopped; or
        why they were not begun: no_room, not_comparable."""

    # --- drawn by lot, on a request's way

    def served(self, request: Request, model: str, question: str, hit: Hit) -> None:
        """A near hit was served; to one who wanted a cached answer or none, no backend is asked on their account."""
        if self._drawn(self._share) and request.cache != "only":
            self._wait(Check(Kind.SERVED, request, model, question, hit, self._dispatcher.clock.time()))

    def equal(self, request: Request, model: str, question: str, hit: Hit) -> None:
        """A hit on an equal question was served, to one whose kind may be near to others."""
        drawn = self._drawn(self._share * CONTROL_SHARE)
        if drawn and len(self._waiting) < CONTROL_WAITING_MAX and request.cache != "only":
            self._wait(Check(Kind.CONTROL, request, model, question, hit, self._dispatcher.clock.time()))

    def withheld(
        self, request: Request, model: str, question: str, hit: Hit, fresh: str, *, as_served: bool = False
    ) -> None:
        """A near hit was not served, and this is what the backend answered instead. ``as_served``: shadow mode."""
        if self._judge.free or self._drawn(self._share):
            kind = Kind.SHADOW if as_served else Kind.WITHHELD
            check = Check(kind, request, model, question, hit, self._dispatcher.clock.time())
            check.fresh = fresh
            self._wait(check)

    def _drawn(self, share: float) -> bool:
        """By lot; seldom where the judge has not made up its mind for long, so as to notice when it does again."""
        return self._rng.random() < share * (UNDECIDED_SHARE if self._undecided >= UNDECIDED_MAX else 1.0)

    def _wait(self, check: Check) -> None:
        if not self._judge.takes(check.hit.entry.text):
            self.counts["not_comparable"] += 1
        elif len(self._waiting) >= WAITING_MAX:
            self.counts["no_room"] += 1
        else:
            self._waiting.append(check)

    # --- in the background

    def advance(self, now: float) -> None:
        """Every tick: begin what can be begun, give up what is too old; all of it where the daemon ends."""
        if self._dispatcher.stopping:
            self._close()
        for _ in range(len(self._waiting)):
            if len(self._running) >= RUNNING_MAX:
                break
            check = self._waiting.popleft()
            if now - check.since > WAITING_S:
                self.counts["too_old"] += 1
            elif check.fresh is None and self._may_ask(check):
                self._ask(check)
            elif check.fresh is not None and self._judge.ready():
                self._judge_now(check)
            else:
                self._waiting.append(check)

    def preempt(self) -> None:
        """Somebody has to wait for a slot: give back those that checks have."""
        for check in list(self._running):
            if check.state in (State.ASKING, State.JUDGING):
                self._give_up(check, "preempted")

    def _close(self) -> None:
        self._waiting.clear()
        for check in list(self._running):
            self._give_up(check, "stopped")

    def _may_ask(self, check: Check) -> bool:
        request = check.request
        return has_idle_slot(self._dispatcher, check.model, request.endpoint, named=request.model is not None)

    def _ask(self, check: Check) -> None:
        """Ask a backend what the client had asked. The answer to a near question is kept, as any other."""
        use = "bypass" if check.kind is Kind.CONTROL else "refresh"
        request = replace(check.request, id=self._new_id(), cache=use, deadline_s=ASKING_S, resumable=False)
        check.state = State.ASKING
        self._running[check] = None
        check.background = BackgroundRequest(lambda answer: self._answered(check, answer))
        check.background.begin(self._dispatcher, request)

    def _answered(self, check: Check, answer: Answer | None) -> None:
        check.background = None
        if answer is None:
            self._give_up(check, "failed")
            return
        check.fresh = answer.text
        if self._judge.ready():
            self._judge_now(check)
        else:  # its turn comes with a tick
            del self._running[check]
            check.state = State.WAITING
            self._waiting.append(check)

    def _judge_now(self, check: Check) -> None:
        assert check.fresh is not None
        check.state = State.JUDGING
        self._running[check] = None
        pair = Pair(check.request.tenant, check.question, check.hit.entry.text, check.fresh)
        background = self._judge.judge(self._new_id(), pair, lambda found: self._judged(check, found))
        if check.state is State.JUDGING:
            check.background = background

    def _judged(self, check: Check, found: int | None) -> None:
        self._over(check)
        if found is None:
            self.counts["failed"] += 1
            return
        if found == UNDECIDED:
            self.counts["undecided"] += 1
            self._undecided += 1
            if self._undecided == UNDECIDED_MAX:
                log.warning(
                    "%s judges near answers, but said neither yes nor no %d times in a row: it is asked less often",
                    self._judge.name,
                    UNDECIDED_MAX,
                )
            return
        self._undecided = 0
        self.counts["done"] += 1
        if check.kind is Kind.CONTROL:
            self._controlled(found)
            return
        served, now = check.kind is not Kind.WITHHELD, self._dispatcher.clock.time()
        self._bound.observe(check.hit.entry, check.hit.probability, found, now, served=served)

    def _controlled(self, found: int) -> None:
        """Two answers to one question: what is said against them is an error."""
        self._controls["equal" if found == EQUAL else "wrong" if found == WRONG else "right"] += 1
        if self._controls.total() > CONTROLS_MAX:
            self._controls = Counter({said: count // 2 for said, count in self._controls.items()})
        self._rejudge()

    def _rejudge(self) -> None:
        prior, judged = self._prior, self._controls["right"] + self._controls["wrong"]
        if prior.labels or judged >= CONTROLS_MIN:
            labels = prior.labels + judged
            false_no = (prior.false_no * prior.labels + self._controls["wrong"]) / labels
            self._bound.rejudge(JudgeError(prior.false_yes, min(false_no, RATE_MAX), labels))

    def learned(self) -> tuple[str, dict[str, int]]:
        """Who judges, and what the controls have told of them."""
        return self._judge.name, dict(self._controls)

    def recall(self, judge: str, controls: dict[str, int]) -> None:
        """What `learned` told in an earlier run; of another judge it says nothing."""
        if judge == self._judge.name:
            self._controls.update({said: controls.get(said, 0) for said in ("equal", "right", "wrong")})
            self._rejudge()

    def _give_up(self, check: Check, why: str) -> None:
        background, check.background = check.background, None
        self._over(check)
        self.counts[why] += 1
        if background is not None:
            background.cancel()

    def _over(self, check: Check) -> None:
        check.state = State.OVER
        self._running.pop(check, None)

    def stats(self) -> dict[str, Any]:
        """For the status page."""
        return {
            "judge": self._judge.name,
            "share": self._share,
            "waiting": len(self._waiting),
            "running": len(self._running),
            "controls": dict(self._controls),
            "counts": dict(self.counts),
        }
