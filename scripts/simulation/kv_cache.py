"""An engine's KV memory with a prefix cache: blocks in use are shared and counted, the rest stays while there is room.

What is no longer used is forgotten in the order of its last use, the end of a text before its beginning, as vLLM and
SGLang do it.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence


class KvCache:
    """Counts blocks; `capacity` of them."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._users: dict[int, int] = {}
        self._idle: OrderedDict[int, None] = OrderedDict()
        self._private = 0

    @property
    def used(self) -> int:
        """Blocks that requests under way need."""
        return len(self._users) + self._private

    def matched(self, blocks: Sequence[int]) -> int:
        """How many blocks from the beginning are there."""
        users, idle = self._users, self._idle
        for position, block in enumerate(blocks):
            if block not in users and block not in idle:
                return position
        return len(blocks)

    def take(self, blocks: Sequence[int], private: int) -> int | None:
        """Hold these, and so many more that nobody shares; how many were there. None: there is no room."""
        matched = self.matched(blocks)
        users, idle = self._users, self._idle
        idle_matched = sum(block in idle for block in blocks[:matched])
        if self.used + idle_matched + len(blocks) - matched + private > self._capacity:
            return None
        for block in blocks:
            count = users.get(block, 0)
            if not count:
                idle.pop(block, None)
            users[block] = count + 1
        self._private += private
        while self.used + len(idle) > self._capacity:
            idle.popitem(last=False)
        return matched

    def give_back(self, blocks: Sequence[int], private: int, then: Sequence[int]) -> None:
        """No longer needed; `then` are the blocks of the whole text, its answer included, which stay for others."""
        users, idle = self._users, self._idle
        self._private -= private
        for block in reversed(then):
            if block not in users:
                idle[block] = None
                idle.move_to_end(block)
        for block in reversed(blocks):
            count = users[block] - 1
            if count:
                users[block] = count
            else:
                del users[block]
                idle[block] = None
                idle.move_to_end(block)
        while self.used + len(idle) > self._capacity:
            idle.popitem(last=False)
