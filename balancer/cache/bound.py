"""When may a near answer be served, given what became of earlier ones? After vCache (arXiv 2502.03771).

The verdict claims how likely an answer is right. Whether its claims hold for this traffic is learned from checks and
from reports, per pool (one tenant's entries for one model, so that nobody's traffic shows in another's answers) and,
shrunk towards its pool, per entry. A pool serves up to the claim at which the share of wrong answers among all that it
serves stays within what is allowed, at our confidence. An entry serves while its own expected share does, or where its
own record alone is good enough. Entries that are refused for their own record count no more for their pool, which is
about the others. Before anything was learned the verdict alone decides.

Unlike vCache the share is one of what is served, not of all requests, and cold entries are served on the verdict's
calibrated claim instead of never. What is withheld is asked of a backend anyway, and can be compared with the answer
withheld: so whoever is withheld comes back when it proves right.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any, Final

import numpy as np

from balancer.cache.bound_parts import Pool, Record
from balancer.cache.entry import Entry
from balancer.cache.judge_error import JudgeError, Share, wilson
from balancer.cache.observations import BINS, EQUAL, OFFERED, REPORTED, RIGHT, SERVED, WRONG, bin_of
from balancer.cache.posterior import CONFIDENCE, Posterior

POOLS_MAX: Final = 1024
ENTRIES_MAX: Final = 4096
"""Entries with a record of their own, and as many that are remembered for the claim they were last served at."""
POOLS_SHOWN_MAX: Final = 8
HALF_LIFE_S: Final = 86_400.0
"""What was learned a day ago counts half: engines, prompts and people change."""
_LOOK_AGAIN_S: Final = 600.0
LOOK_AGAIN_OFFERS: Final = 256
_ALONE_CHECKS_MIN: Final = 8
_ALONE_EVERY: Final = 16
"""A tenth of a millisecond is spent on an entry once in so many checks of its pool."""


class Bound:
    """See the module. ``now`` is monotonic seconds. Not for use from several threads."""

    def __init__(self, allowed: float, judge: JudgeError) -> None:
        """``allowed``: the share of the served that may be wrong; ``judge``: how often who checks is mistaken."""
        self.allowed = allowed
        self.judge = judge
        self.served = 0
        self.withheld = 0
        """Requests whose nearest allowed answer was not served; counted by who asks."""
        self.reports = 0
        self.checked = {EQUAL: 0, RIGHT: 0, WRONG: 0}
        """Of what was served."""
        self.checked_withheld = {EQUAL: 0, RIGHT: 0, WRONG: 0}
        self._posterior = Posterior(allowed, judge)
        self.pools: OrderedDict[tuple[str, str], Pool] = OrderedDict()
        self.records: OrderedDict[bytes, Record] = OrderedDict()
        """By key of the entry."""
        self.served_at: OrderedDict[bytes, int] = OrderedDict()
        """By key of the entry: the bin of the claim that it was last served at."""

    def admits(self, entry: Entry, probability: float | None, now: float) -> bool:
        """Whether an answer that the verdict allows may be served; counts it as offered.

        ``probability``: the verdict's, that it is right; ``None`` from one that tells none, of which the operator is
        taken to expect half of what is allowed.
        """
        at, pool = self._bin(probability), self._pool(entry, now)
        record = self.records.get(entry.key)
        if record is not None and record.created != entry.created:
            record = None
        if record is None or at < record.limit:
            pool.tally.add(OFFERED, at)
        if not pool.informed:
            return True
        pool.offers += 1
        if pool.offers >= LOOK_AGAIN_OFFERS or now - pool.looked_at >= _LOOK_AGAIN_S:
            self.look(pool, now)
        admitted = at < (pool.limit if record is None else min(pool.limit, record.limit))
        if not admitted and record is not None:
            admitted = at < self._alone(record, pool)
        return admitted

    def serves(self, entry: Entry, probability: float | None, now: float) -> None:
        """It is served."""
        at = self._bin(probability)
        self._pool(entry, now).tally.add(SERVED, at)
        self.served += 1
        self.served_at[entry.key] = at
        self.served_at.move_to_end(entry.key)
        if len(self.served_at) > ENTRIES_MAX:
            self.served_at.popitem(last=False)

    def observe(self, entry: Entry, probability: float | None, found: int, now: float, *, served: bool) -> None:
        """An answer was checked; ``found`` is one of EQUAL, RIGHT and WRONG, ``served`` whether a client had got it."""
        (self.checked if served else self.checked_withheld)[found] += 1
        at, pool, record = self._bin(probability), self._pool(entry, now), self._record(entry)
        if at < record.limit:
            pool.tally.add(found, at)  # else it says nothing of what the pool would serve
        record.tally.add(found, at)
        record.limit = self.limit_of(record)
        record.learned = 0
        self.look(pool, now)

    def reported(self, entry: Entry, now: float) -> bool:
        """Somebody says that the entry's answer was wrong for them; true: it had been served to a near question, so
        that this says something of the verdict."""
        at = self.served_at.pop(entry.key, None)
        if at is None:
            return False
        self.reports += 1
        pool = self._pool(entry, now)
        pool.tally.add(REPORTED, at)
        self.look(pool, now)
        return True

    def rejudge(self, judge: JudgeError) -> None:
        """More is known of the judge's errors."""
        self.judge = judge
        self._posterior = Posterior(self.allowed, judge)

    def estimate(self) -> tuple[str, Share]:
        """Where it comes from (``checks``, ``reports``, ``none``), and the share of wrong answers among the near ones
        that were served. From reports alone it is the least that it can be: not every wrong answer is reported."""
        checks, wrong = sum(self.checked.values()), self.checked[WRONG]
        if checks:
            judged = 1 - self.checked[EQUAL] / checks
            judge = self.judge._replace(false_no=self.judge.false_no * judged)
            return "checks", judge.corrected(wrong, checks)
        if self.reports:
            seen = wilson(self.reports, max(self.served, self.reports))
            return "reports", Share(seen.share, seen.low, 1.0)
        return "none", Share(0.0, 0.0, 1.0)

    def stats(self) -> dict[str, Any]:
        """For the status page."""
        source, share = self.estimate()
        known = source != "none"
        return {
            "wrong_share_allowed": self.allowed,
            "wrong_share": round(share.share, 4) if known else None,
            "interval": [round(share.low, 4), round(share.high, 4)],
            "source": source,
            "confidence": CONFIDENCE,
            "served": self.served,
            "withheld": self.withheld,
            "checks": {
                "served": _counted(self.checked),
                "withheld": _counted(self.checked_withheld),
            },
            "reports": self.reports,
            "judge_error": {
                "false_yes": round(self.judge.false_yes, 3),
                "false_no": round(self.judge.false_no, 3),
                "labels": self.judge.labels,
            },
            "entries_known": len(self.records),
            "pools": [self._told(key, pool) for key, pool in self._foremost()],
        }

    def pool(self, tenant: str, model: str, now: float) -> Pool:
        """This tenant's entries for this model."""
        key = (tenant, model)
        pool = self.pools.get(key)
        if pool is None:
            if len(self.pools) >= POOLS_MAX:
                self.pools.popitem(last=False)
            pool = self.pools[key] = Pool(now)
        else:
            self.pools.move_to_end(key)
        return pool

    def limit_of(self, record: Record) -> int:
        """From which bin on an entry's record speaks against it."""
        if not record.tally.wrong:
            return BINS
        expected, _ = self._posterior.entry_share(record.tally.counts)
        return int((expected <= self.allowed).sum())

    def look(self, pool: Pool, now: float) -> None:
        """Work out anew what the pool may serve."""
        pool.tally.fade(0.5 ** (max(now - pool.looked_at, 0.0) / HALF_LIFE_S))
        pool.looked_at, pool.offers, pool.informed = now, 0, True
        pool.weights = self._posterior.weigh(pool.tally.counts)
        pool.limit = self._posterior.limit(pool.tally.counts, pool.weights)
        pool.learned += 1

    # --- inside

    def _foremost(self) -> list[tuple[tuple[str, str], Pool]]:
        informed = [item for item in self.pools.items() if item[1].informed]
        return sorted(informed, key=lambda item: item[1].limit)[:POOLS_SHOWN_MAX]

    def _told(self, key: tuple[str, str], pool: Pool) -> dict[str, Any]:
        counts = pool.tally.counts
        weights = pool.weights if pool.weights is not None else self._posterior.weigh(counts)
        return {
            "tenant": key[0],
            "model": key[1],
            "expected_wrong_share": round(self._posterior.share(counts, weights), 4),
            "serves": "all" if pool.limit >= BINS else "some" if pool.limit else "none",
            "checks": round(pool.tally.checks, 1),
            "reports": round(pool.tally.reports, 1),
        }

    def _bin(self, probability: float | None) -> int:
        return bin_of(1.0 - probability if probability is not None else self.allowed / 2)

    def _pool(self, entry: Entry, now: float) -> Pool:
        return self.pool(entry.tenant, entry.model, now)

    def _record(self, entry: Entry) -> Record:
        record = self.records.get(entry.key)
        if record is None or record.created != entry.created:  # another answer: what was known is of the old one
            record = self.records[entry.key] = Record(entry.created)
        self.records.move_to_end(entry.key)
        if len(self.records) > ENTRIES_MAX:
            self.records.popitem(last=False)
        return record

    def _alone(self, record: Record, pool: Pool) -> int:
        """Up to where the entry's own record is good enough, starting from what the pool knows without it."""
        if record.tally.checks < _ALONE_CHECKS_MIN:
            return 0
        if not record.learned or pool.learned - record.learned >= _ALONE_EVERY:
            others = np.maximum(pool.tally.counts - record.tally.counts, 0.0)
            _, most = self._posterior.entry_share(record.tally.counts, self._posterior.weigh(others))
            record.alone = int((most <= self.allowed).sum())
            record.learned = pool.learned
        return record.alone


def _counted(found: dict[int, int]) -> dict[str, int]:
    return {"equal": found[EQUAL], "right": found[RIGHT], "wrong": found[WRONG]}
