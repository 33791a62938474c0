"""When this machine has no descriptor, port or memory left to dial with: that is held against no backend."""

from __future__ import annotations

import errno
import logging
import math
from typing import Final

log = logging.getLogger("balancer.upstream")

TOLD_EVERY_S: Final = 10.0
_OURS: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EADDRNOTAVAIL})


class Shortage:
    """Tells such errors from others, and logs them once in a while: where one dial fails so, hundreds do."""

    def __init__(self) -> None:
        self._told_at = -math.inf

    def explains(self, error: OSError, host: str, now: float) -> bool:
        """Whether it was not the peer at this address that kept us from dialling it."""
        if error.errno not in _OURS or (error.errno == errno.EADDRNOTAVAIL and ":" in host):
            return False  # the last: an IPv6 address, on a machine that has none of its own
        if now - self._told_at >= TOLD_EVERY_S:
            self._told_at = now
            log.warning("no connection to %s: %s; for a backend nobody is to blame here", host, error.strerror)
        return True
