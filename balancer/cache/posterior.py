"""From counts to what the verdict's claims are worth: a Bayesian posterior over a grid, so exact and without sampling.

The share of wrong answers among those of which the verdict claims ``c`` is taken as logit(c) moved by a shift and
flattened by a slope (0: the claim says nothing). The prior puts most of its weight on "the claims hold", the rest on a
wide range of shifts. The judge's errors, and how many of the wrong answers anybody reports, are unknown within bounds
and integrated out (`balancer.cache.judge_error`).

One entry is better or worse than its pool by a factor on the odds, whose mean over entries is 1: that is the shrinkage.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from balancer.cache.judge_error import JudgeError
from balancer.cache.observations import CLAIMS, EQUAL, OFFERED, REPORTED, RIGHT, SERVED, WRONG, Counts

Floats = NDArray[np.float64]

CONFIDENCE: Final = 0.9
"""How sure one is, at least, that the share of wrong answers among the served is within what is allowed."""
TRUST: Final = 0.8
"""The prior's weight on "the claims hold"."""
_SHIFT_DEVIATION: Final = 1.5
_SHIFTS: Final = np.arange(-2.0, 6.01, 0.25)
_SLOPES: Final = ((1.0, 0.8), (0.5, 0.1), (0.0, 0.1))
"""And the prior's weight on each."""
_REPORTING: Final = (1.0, 0.3, 0.1, 0.03, 0.01)
"""Which share of the wrong answers may be reported, equally likely."""
_ENTRY_DEVIATION: Final = 1.25
_ENTRY_SHIFTS: Final = np.arange(-3.0, 5.01, 0.5)
_UNSEEN: Final = 0.05
"""The weight of a bin that nothing was offered in."""


class Posterior:
    """What one operator's choices make of counts. ``allowed``: the share of the served that may be wrong."""

    def __init__(self, allowed: float, judge: JudgeError) -> None:
        self.allowed = allowed
        self._points = judge.points()
        centre = _logit(np.array(min(max(allowed / 2, 1e-3), 0.4)))
        claims = _logit(CLAIMS)
        slopes = np.array([slope for slope, _ in _SLOPES])
        logits = centre + _SHIFTS[:, None, None] + slopes[None, :, None] * (claims - centre)[None, None, :]
        self._wrong: Floats = _sigmoid(logits.reshape(-1, len(CLAIMS)))
        """By hypothesis and bin: the share that is wrong."""
        self._prior = np.log(_prior())
        self._known_tables: dict[float, _Tables] = {}
        spread = np.exp(-0.5 * (_ENTRY_SHIFTS / _ENTRY_DEVIATION) ** 2)
        spread /= spread.sum()
        self._entry_shifts: Floats = _ENTRY_SHIFTS - np.log(spread @ np.exp(_ENTRY_SHIFTS))
        self._entry_prior: Floats = np.log(spread)

    def weigh(self, counts: Counts) -> Floats:
        """How likely each hypothesis is."""
        checks = _of_checks(counts, self._tables_for(_judged(counts)))
        told = self._prior + checks + self._of_reports(counts)
        weights = np.exp(told - told.max())
        return np.asarray(weights / weights.sum())

    def limit(self, counts: Counts, weights: Floats) -> int:
        """Bins below this one may be served: the most for which the share of wrong answers over all of them, at the
        traffic that was seen, is within what is allowed, at our confidence."""
        traffic = counts[OFFERED] + _UNSEEN
        shares = np.cumsum(self._wrong * traffic, axis=1) / np.cumsum(traffic)
        doubt = weights @ (shares > self.allowed)
        kept = np.flatnonzero(doubt <= 1 - CONFIDENCE)
        return int(kept[-1]) + 1 if len(kept) else 0

    def share(self, counts: Counts, weights: Floats) -> float:
        """The expected share of wrong answers among all that the verdict allows."""
        traffic = counts[OFFERED] + 1e-9
        return float(weights @ (self._wrong @ traffic) / traffic.sum())

    def entry_share(self, own: Counts, weights: Floats | None = None) -> tuple[Floats, Floats]:
        """By bin: the expected share that is wrong of one entry's answers, and what it does not exceed at our
        confidence, by the entry's own counts. It starts from what its pool is (``weights``), or from the claims."""
        base = np.clip(weights @ self._wrong, 1e-6, 0.99) if weights is not None else np.minimum(CLAIMS, 0.99)
        wrong = _sigmoid(_logit(base)[None, :] + self._entry_shifts[:, None])
        told = self._entry_prior + _of_checks(own, _tables(wrong, self._points, _judged(own)))
        mine = np.exp(told - told.max())
        mine /= mine.sum()
        most = min(int(np.searchsorted(np.cumsum(mine), CONFIDENCE)), len(mine) - 1)
        return np.asarray(mine @ wrong), np.asarray(wrong[most])

    def _tables_for(self, judged: float) -> _Tables:
        found = self._known_tables.get(judged)
        if found is None:
            found = self._known_tables[judged] = _tables(self._wrong, self._points, judged)
        return found

    def _of_reports(self, counts: Counts) -> Floats | float:
        """The log-likelihood of what was served and reported, or not."""
        reported = counts[REPORTED]
        if not reported.any():
            return 0.0  # silence says nothing: perhaps nobody reports
        silent = np.maximum(counts[SERVED] - reported, 0.0)
        found = [np.log(self._wrong * rate) @ reported + np.log1p(-self._wrong * rate) @ silent for rate in _REPORTING]
        return np.asarray(np.logaddexp.reduce(np.array(found), axis=0))


class _Tables(NamedTuple):
    """Logarithms of how likely each finding is, by the judge's errors, hypothesis and bin."""

    equal: Floats
    right: Floats
    wrong: Floats
    weights: Floats
    """Of the judge's errors."""


def _tables(wrong: Floats, points: list[tuple[float, float, float]], judged: float) -> _Tables:
    """``judged``: which share of the right answers has other words, so that the judge is asked."""
    false_yes, false_no, weights = (np.array(column)[:, None, None] for column in zip(*points, strict=True))
    says_right = (1 - wrong) * judged * (1 - false_no) + wrong * false_yes
    says_wrong = (1 - wrong) * judged * false_no + wrong * (1 - false_yes)
    return _Tables(np.log1p(-wrong), np.log(says_right), np.log(says_wrong), np.log(weights[:, :, 0]))


def _of_checks(counts: Counts, tables: _Tables) -> Floats:
    """The log-likelihood of what was checked, by hypothesis."""
    judged = tables.right @ counts[RIGHT] + tables.wrong @ counts[WRONG] + tables.weights
    return np.asarray(tables.equal @ counts[EQUAL] + np.logaddexp.reduce(judged, axis=0))


def _judged(counts: Counts) -> float:
    """The share of checks that took a judge, in quarters: it says little, and tables are made for each."""
    equal = float(counts[EQUAL].sum())
    checks = equal + float(counts[RIGHT].sum() + counts[WRONG].sum())
    return max(round(4 * (1 - equal / checks)) / 4, 0.25) if checks else 1.0


def _prior() -> Floats:
    """Over shifts and slopes."""
    wide = np.exp(-0.5 * (_SHIFTS / _SHIFT_DEVIATION) ** 2)
    prior = (1 - TRUST) * np.outer(wide / wide.sum(), [weight for _, weight in _SLOPES])
    prior[int(np.argmin(np.abs(_SHIFTS))), 0] += TRUST
    return np.asarray(prior.reshape(-1))


def _logit(share: Floats) -> Floats:
    return np.asarray(np.log(share / (1 - share)))


def _sigmoid(logit: Floats) -> Floats:
    return np.asarray(1 / (1 + np.exp(-logit)))
