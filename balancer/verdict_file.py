"""The learned verdict, from the file that ships with the package.

A damaged file costs near matches, never the start: the simple verdict judges instead.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Final

from balancer.cache.learned import BadVerdictFile, LearnedVerdict

VERDICT: Final = Path(__file__).parent / "cache" / "verdict.npz"
VERDICT_BYTES_MAX: Final = 4 << 20

log = logging.getLogger(__name__)


def learned_verdict(path: Path, wrong_share: float) -> LearnedVerdict | None:
    """The verdict of a file; ``None``, and a warning, if it is none or too large."""
    try:
        with path.open("rb") as file:
            data = file.read(VERDICT_BYTES_MAX + 1)
        if len(data) > VERDICT_BYTES_MAX:
            raise BadVerdictFile(f"more than {VERDICT_BYTES_MAX} bytes")
        verdict = LearnedVerdict(data, wrong_share)
    except (OSError, BadVerdictFile) as error:
        log.warning("no learned verdict, near matches are judged by --cache-threshold: %s: %s", path, error)
        return None
    if verdict.threshold > 1:
        log.warning("--cache-wrong-share %g is less than was ever measured: no near match is served", wrong_share)
    return verdict
