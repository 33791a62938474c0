"""How long until a text asked for now would have its vector. Pure: times are arguments.

The child measures one text and a full batch while it warms up; between the two a batch's time is a straight line.
One factor, an exponentially weighted mean of measured over predicted, follows what the machine and the texts do since.
A batch that is overdue is taken to need as long again as it is overdue, so a frozen child soon counts as far away.
"""

from __future__ import annotations

from typing import Final

_WEIGHT: Final = 0.2  # of the latest batch
_FACTOR_MIN, _FACTOR_MAX = 0.1, 100.0  # one odd measurement must not be remembered for ever


class BatchTimes:
    """Expected times, in seconds."""

    __slots__ = ("_batch_max", "_factor", "_full_s", "_single_s")

    def __init__(self, single_s: float, full_s: float, batch_max: int) -> None:
        self._single_s = max(single_s, 1e-6)
        self._full_s = max(full_s, self._single_s)
        self._batch_max = batch_max
        self._factor = 1.0

    def observe(self, texts: int, took_s: float) -> None:
        """Learn from a batch that is done."""
        ratio = took_s / self._measured(texts)
        self._factor += _WEIGHT * (min(max(ratio, _FACTOR_MIN), _FACTOR_MAX) - self._factor)

    def batch_s(self, texts: int) -> float:
        """Expected time of one batch."""
        return self._factor * self._measured(texts)

    def wait_s(self, ahead: int, running_texts: int, running_for_s: float) -> float:
        """Expected time until a new text is done, behind ``ahead`` waiting ones and the batch that runs (or 0, 0)."""
        remaining_s = abs(self.batch_s(running_texts) - running_for_s) if running_texts else 0.0
        full_batches, beside = divmod(ahead, self._batch_max)
        return remaining_s + full_batches * self.batch_s(self._batch_max) + self.batch_s(beside + 1)

    def _measured(self, texts: int) -> float:
        share = (texts - 1) / (self._batch_max - 1) if self._batch_max > 1 else 0.0
        return self._single_s + (self._full_s - self._single_s) * share
