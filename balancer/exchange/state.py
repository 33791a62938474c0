"""The life of one request, as one table. Pure.

       .------------------------- AGAIN ---------+----------.
       v      .-> EMBEDDING -.                   |          |
    ARRIVED --+--------------+-> QUEUED -> ASKING -> STREAMING -> COMPLETE
       ^                     |------------^                         ^
       |                     '-> FOLLOWING -------------------------'
       '--- FALL_BACK -- any live state but STREAMING and FOLLOWING
                                               any live state -> FAILED | CANCELLED

A pair that is not in the table cannot happen: `step` raises, and that is a bug.
"""

from __future__ import annotations

import enum
from typing import Final


class State(enum.Enum):
    __hash__ = object.__hash__  # members are single; Enum's own hashes the name, in Python

    ARRIVED = "arrived"
    EMBEDDING = "embedding"
    """The question is being embedded for the near tier of the cache."""
    FOLLOWING = "following"
    """An equal question, or one that the verdict takes for the same, is being answered: this one shares its answer."""
    QUEUED = "queued"
    """No eligible backend has a free slot."""
    ASKING = "asking"
    """A lease is held and the request was sent; nothing came back yet."""
    STREAMING = "streaming"
    """Part of the answer was relayed: from here on another backend can only go on with it, never start over."""
    COMPLETE = "complete"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def live(self) -> bool:
        return self not in _ENDED


class Event(enum.Enum):
    __hash__ = object.__hash__

    EMBED = "embed"
    FOLLOW = "follow"
    ENQUEUE = "enqueue"
    LEASE = "lease"
    HIT = "hit"
    FIRST = "first"
    AGAIN = "again"
    """The backend was busy or failed; another one may be asked, or may go on with what was relayed."""
    FALL_BACK = "fall_back"
    """Its model cannot answer, and nothing of an answer was relayed: another model is asked."""
    END = "end"
    FAIL = "fail"
    CANCEL = "cancel"


_ENDED: Final = frozenset({State.COMPLETE, State.FAILED, State.CANCELLED})
_LIVE: Final = tuple(state for state in State if state not in _ENDED)
_TOLD: Final = frozenset({State.STREAMING, State.FOLLOWING})

TABLE: Final[dict[tuple[State, Event], State]] = {
    (State.ARRIVED, Event.EMBED): State.EMBEDDING,
    (State.ARRIVED, Event.HIT): State.COMPLETE,
    (State.EMBEDDING, Event.HIT): State.COMPLETE,
    (State.ARRIVED, Event.FOLLOW): State.FOLLOWING,
    (State.EMBEDDING, Event.FOLLOW): State.FOLLOWING,
    (State.FOLLOWING, Event.END): State.COMPLETE,
    (State.ARRIVED, Event.ENQUEUE): State.QUEUED,
    (State.EMBEDDING, Event.ENQUEUE): State.QUEUED,
    (State.ARRIVED, Event.LEASE): State.ASKING,
    (State.EMBEDDING, Event.LEASE): State.ASKING,
    (State.QUEUED, Event.LEASE): State.ASKING,
    (State.ASKING, Event.AGAIN): State.ARRIVED,
    (State.STREAMING, Event.AGAIN): State.ARRIVED,
    **{(state, Event.FALL_BACK): State.ARRIVED for state in _LIVE if state not in _TOLD},
    (State.ASKING, Event.FIRST): State.STREAMING,
    (State.STREAMING, Event.END): State.COMPLETE,
    **{(state, Event.FAIL): State.FAILED for state in _LIVE},
    **{(state, Event.CANCEL): State.CANCELLED for state in _LIVE},
}


def step(state: State, event: Event) -> State:
    """The next state; `KeyError` for what cannot happen."""
    return TABLE[state, event]
