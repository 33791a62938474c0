"""Every bound of the bridge, with its unit in its name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

QUESTION_MAX_CHARS: Final = 32_000
"""One question."""

FRAGMENTS_MAX: Final = 256
"""Frames that one WebSocket message may come in."""

QUEUED_MESSAGES_MAX: Final = 32
"""Messages of one browser that wait to be read."""

CONTROL_FRAMES_PER_S_MAX: Final = 50
"""Pings and pongs of one browser."""

UNSENT_MAX_BYTES: Final = 256 << 10
"""What one browser may leave unread before its next ping ends the connection."""

LINGER_S: Final = 1.0
"""How long a refused connection is read on, so that the peer gets to see why."""

HTTP_LIFETIME_S: Final = 30.0
"""A whole HTTP connection, however slowly it is used: the page is a few small files."""

HEAD_MAX_BYTES: Final = 16 << 10
"""An HTTP head."""

PING_INTERVAL_S: Final = 20.0
"""A browser that does not answer a ping within another interval is gone."""

GRACE_S: Final = 5
"""From SIGTERM to the end."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What an operator may choose."""

    browsers_max: int = 200
    """Browsers connected at once."""
    message_max_bytes: int = 512 << 10
    """One message of a browser: the question and the turns before it."""
    idle_max_s: float = 1800.0
    """A browser that asks nothing for so long is disconnected; its page connects again when it is used."""
    write_max_s: float = 30.0
    """A browser that takes nothing for so long is gone."""
