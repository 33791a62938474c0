"""An engine's KV memory with a prefix cache: blocks in use are shared and counted, the rest stays while there is room.

What is no longer used is forgotten in the order of its last use, the end of a text before its beginning, as vLLM and
SGLang do it. Kept by runs of blocks (`request.Run`), not by block: a run's blocks come and go from its end only.
"""

from __future__ import annotations

from collections import OrderedDict

from scripts.simulate_parts.request import Run


class _Kept:
    """Of one run: how many blocks from its beginning are there, and needed."""

    __slots__ = ("held", "lengths", "needed")

    def __init__(self) -> None:
        self.held = 0
        self.needed = 0
        self.lengths: dict[int, int] = {}
        """How many requests need so many blocks of it."""


class KvCache:
    """Counts blocks; `capacity` of them."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._kept: dict[int, _Kept] = {}
        self._idle: OrderedDict[int, _Kept] = OrderedDict()
        """Those with blocks that nobody needs, by their last use."""
        self._held = 0
        self._private = 0
        self.used = 0
        """Blocks that requests under way need."""

    def matched(self, runs: tuple[Run, ...]) -> int:
        """How many blocks from the beginning are there."""
        count = 0
        for key, blocks in runs:
            kept = self._kept.get(key)
            held = kept.held if kept is not None else 0
            if held < blocks:
                return count + held
            count += blocks
        return count

    def take(self, runs: tuple[Run, ...], private: int) -> int | None:
        """Hold these, and so many more that nobody shares; how many were there. None: there is no room."""
        kept_of = self._kept
        more = private
        for key, blocks in runs:
            kept = kept_of.get(key)
            more += blocks if kept is None else max(0, blocks - kept.needed)
        if self.used + more > self._capacity:
            return None
        matched = self.matched(runs)
        for key, blocks in runs:
            kept = kept_of.get(key)
            if kept is None:
                kept = kept_of[key] = _Kept()
            kept.lengths[blocks] = kept.lengths.get(blocks, 0) + 1
            self._reach(key, kept, blocks)
            self._need(key, kept, max(kept.needed, blocks))
        self._private += private
        self.used += private
        self._shrink()
        return matched

    def give_back(self, runs: tuple[Run, ...], private: int, then: tuple[Run, ...]) -> None:
        """No longer needed; `then` are the runs of the whole text, its answer included, which stay for others."""
        kept_of = self._kept
        self._private -= private
        self.used -= private
        for key, blocks in reversed(then):
            kept = kept_of.get(key)
            if kept is None:
                kept = kept_of[key] = _Kept()
            self._reach(key, kept, blocks)
        for key, blocks in reversed(runs):
            kept = kept_of[key]
            left = kept.lengths[blocks] - 1
            if left:
                kept.lengths[blocks] = left
            else:
                del kept.lengths[blocks]
            self._need(key, kept, max(kept.lengths, default=0))
        self._shrink()

    def _reach(self, key: int, kept: _Kept, blocks: int) -> None:
        if blocks > kept.held:
            self._held += blocks - kept.held
            kept.held = blocks
        self._used_now(key, kept)

    def _need(self, key: int, kept: _Kept, blocks: int) -> None:
        self.used += blocks - kept.needed
        kept.needed = blocks
        self._used_now(key, kept)

    def _used_now(self, key: int, kept: _Kept) -> None:
        if kept.held > kept.needed:
            self._idle[key] = kept
            self._idle.move_to_end(key)
        else:
            self._idle.pop(key, None)

    def _shrink(self) -> None:
        excess = self._held + self._private - self._capacity
        while excess > 0:
            key, kept = next(iter(self._idle.items()))
            part = min(excess, kept.held - kept.needed)
            kept.held -= part
            self._held -= part
            excess -= part
            if kept.held == kept.needed:
                del self._idle[key]
                if not kept.held:
                    del self._kept[key]
