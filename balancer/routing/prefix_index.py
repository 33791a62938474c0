"""Which backend was sent which beginnings of prompts lately: a guess at what their prefix caches hold.

Strategy: for each block hash the set of backends as the bits of one integer, and for each backend its blocks in the
order of their last use. A hash stands for all blocks before it, and a text's end is forgotten before its beginning, so
the backends that hold block n hold all before n: how long a prefix each one has is found by bisection, without a look
at every block or every backend. Bounded for each backend by the memory it reports, and altogether by `ENTRIES_MAX`.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import TypeAlias

from balancer.pool.load import KV_TOKENS_ASSUMED
from balancer.routing.blocks import BLOCK_CHARS
from balancer.routing.need import BYTES_A_TOKEN

TOKENS_A_BLOCK = BLOCK_CHARS // BYTES_A_TOKEN
ENTRIES_MAX = 1_000_000
"""Blocks of all backends: some 150 MB."""
LEVELS_MAX = 6
"""Different lengths of a match that are told apart; what is shorter counts as nothing."""


Level: TypeAlias = tuple[int, int]
"""Blocks of a prompt, and the backends that hold just these: a bit for each index."""


class PrefixIndex:
    """By the ledger's indexes."""

    def __init__(self, size: int) -> None:
        self._holders: dict[int, int] = {}
        self._held: dict[int, OrderedDict[int, None]] = {}
        self._ends: set[int] = set()
        """Blocks with which a prompt ended, and that no prompt went on from so far."""
        self.fullness = [0.0] * size
        """How much of its memory each backend's blocks fill, by what is known; at 1 new ones push others out."""

    def levels(self, blocks: Sequence[int]) -> list[Level]:
        """Who holds how much of the beginning, the longest first; who holds nothing is not in it."""
        found: list[Level] = []
        holders = self._holders
        rest = holders.get(blocks[0], 0) if blocks else 0
        most = len(blocks)
        while rest and len(found) < LEVELS_MAX:
            least = 1
            while least < most:
                middle = (least + most + 1) // 2
                if holders.get(blocks[middle - 1], 0) & rest:
                    least = middle
                else:
                    most = middle - 1
            members = holders[blocks[least - 1]] & rest
            found.append((least, members))
            rest &= ~members
            most = max(1, least - 1)
        return found

    def continues(self, blocks: Sequence[int], known: int) -> bool:
        """Whether a prompt whose first blocks are known goes on from the end of one that nobody went on from yet."""
        return blocks[known - 1] in self._ends

    def sent(self, index: int, blocks: Sequence[int], memory_tokens: int, known: int = 0) -> None:
        """A backend gets this prompt; it has so much memory (0: it does not tell). Somebody knew so many blocks."""
        held = self._held.get(index)
        if held is None:
            held = self._held[index] = OrderedDict()
        holders, bit = self._holders, 1 << index
        if known < len(blocks):
            if known:
                self._ends.discard(blocks[known - 1])
            self._ends.add(blocks[-1])
        before, again = len(held), held.move_to_end
        for block in reversed(blocks):
            if block in held:
                again(block)
            else:
                held[block] = None
                holders[block] = holders.get(block, 0) | bit
        if len(held) > before:
            most = max(1, min((memory_tokens or KV_TOKENS_ASSUMED) // TOKENS_A_BLOCK, ENTRIES_MAX // len(self._held)))
            while len(held) > most:
                self._release(held.popitem(last=False)[0], bit)
            self.fullness[index] = len(held) / most

    def forget(self, index: int) -> None:
        """Another process is there, or nobody."""
        self.fullness[index] = 0.0
        for block in self._held.pop(index, ()):
            self._release(block, 1 << index)

    def __len__(self) -> int:
        """Blocks remembered, each as often as there are backends that hold it."""
        return sum(map(len, self._held.values()))

    def _release(self, block: int, bit: int) -> None:
        left = self._holders[block] & ~bit
        if left:
            self._holders[block] = left
        else:
            del self._holders[block]
            self._ends.discard(block)
