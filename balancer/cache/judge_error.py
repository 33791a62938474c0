"""How often the judge of a check is mistaken, and how sure one is of that.

Rates measured on labelled answers are Beta distributed; a few points of that distribution carry its uncertainty into
whatever is concluded from the judge's words. With them a share that was seen is corrected as Rogan and Gladen (1978)
do for a test of known errors.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final, NamedTuple

_FEW: Final = (-1.2, 0.0, 1.2)
_MANY: Final = (-2.4, -1.6, -0.8, 0.0, 0.8, 1.6, 2.4)
"""Where a normal distribution is looked at, in standard deviations."""
Z_95: Final = 1.96
LABELS_MAX: Final = 1_000_000
RATE_MIN: Final = 1e-4
RATE_MAX: Final = 0.45
"""A judge that is no better than a coin says nothing at all."""


class JudgeError(NamedTuple):
    """Rates from 0 to below 0.5."""

    false_yes: float
    """Wrong answers of which it says that they are right."""
    false_no: float
    """Right ones of which it says that they are wrong."""
    labels: int
    """How many labelled answers each rate was measured on; 0: they are assumed."""

    def points(self) -> list[tuple[float, float, float]]:
        """(false yes, false no, weight): what the rates may be. The latter matters more: most answers are right."""
        yes, no = _spread(self.false_yes, self.labels, _FEW), _spread(self.false_no, self.labels, _MANY)
        return [(a, b, wa * wb) for a, wa in yes for b, wb in no]

    def corrected(self, wrong: float, checks: float) -> Share:
        """The share that is wrong, where the judge called ``wrong`` of ``checks`` so; a 95 % interval that is the
        seen share's (Wilson) widened by what the rates may be."""
        seen = wilson(wrong, checks)
        yes, no = _spread(self.false_yes, self.labels, _FEW), _spread(self.false_no, self.labels, _FEW)
        return Share(
            _rogan_gladen(seen.share, self.false_yes, self.false_no),
            _rogan_gladen(seen.low, yes[0][0], no[-1][0]),
            _rogan_gladen(seen.high, yes[-1][0], no[0][0]),
        )


UNMEASURED: Final = JudgeError(0.1, 0.01, 0)
"""Of a model whose errors nobody has told. It errs on the safe side: nearly every no counts, a tenth of the yeses
don't."""
BY_WORDS: Final = JudgeError(0.0, 0.01, 0)
"""Of short answers compared word by word. "Paris" and "Paris, France" differ: how often, controls must tell."""


def judge_error(text: str) -> JudgeError | None:
    """What ``FALSE_YES,FALSE_NO,LABELS`` tells; ``None`` if it tells no such thing."""
    try:
        yes, no, labels = text.split(",")
        found = JudgeError(float(yes), float(no), int(labels))
    except ValueError:
        return None
    fine = 0 <= found.false_yes < RATE_MAX and 0 <= found.false_no < RATE_MAX and 1 <= found.labels <= LABELS_MAX
    return found if fine else None


class Share(NamedTuple):
    """An estimate and its 95 % interval."""

    share: float
    low: float
    high: float


def wilson(count: float, of: float) -> Share:
    """A share that was counted, with Wilson's interval; of none it may be anything."""
    if of <= 0:
        return Share(0.0, 0.0, 1.0)
    share, z2 = count / of, Z_95**2
    middle = (share + z2 / (2 * of)) / (1 + z2 / of)
    half = Z_95 * math.sqrt(share * (1 - share) / of + z2 / (4 * of * of)) / (1 + z2 / of)
    return Share(share, min(max(middle - half, 0.0), share), max(min(middle + half, 1.0), share))


def _spread(rate: float, labels: float, points: Sequence[float]) -> list[tuple[float, float]]:
    """What a rate may be that was measured on so many, from least to most, with weights: normal in its log-odds."""
    if not labels:
        return [(min(max(rate, RATE_MIN), RATE_MAX), 1.0)]
    wrong, right = rate * labels + 0.5, (1 - rate) * labels + 0.5
    deviation = math.sqrt(1 / wrong + 1 / right)
    weights = [math.exp(-0.5 * z * z) for z in points]
    found = [1 / (1 + right / wrong * math.exp(-z * deviation)) for z in points]
    return [(min(rate, RATE_MAX), weight / sum(weights)) for rate, weight in zip(found, weights, strict=True)]


def _rogan_gladen(seen: float, false_yes: float, false_no: float) -> float:
    return min(max((seen - false_no) / (1 - false_yes - false_no), 0.0), 1.0)
