"""Keys and values of many sequences in one buffer per layer, a row for each; token i of a sequence stands at index i.

Tokens are aligned to the left, so that a row's content never moves when others join or leave, and the attention of a
row sums the same numbers in the same order whatever its neighbours' lengths. Buffers grow by doubling.
Shapes: keys and values of a layer are (rows, heads, capacity, width).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import torch

LENGTH_STEP: Final = 64
"""Attention looks at a multiple of this many tokens: the vector units then split every row alike."""
FIRST_CAPACITY: Final = 256


@dataclass(slots=True)
class Placement:
    """Where the next forward pass writes and how much it reads.

    Either one token a row, that of row i at index ``positions[i]``, or a run of tokens of one row from ``begin`` on.
    With ``shared`` the rows of the pass are tokens of one sequence: all write to and read from the cache's row 0.
    """

    length: int
    """Tokens of each row that are read, what is written included."""
    begin: int = 0
    rows: torch.Tensor | None = None
    positions: torch.Tensor | None = None
    shared: bool = False


class SlotCache:
    """The buffers of all layers. `model_cache` is what the model's forward pass takes."""

    def __init__(self, rows: int, layers: int, max_length: int) -> None:
        from transformers import Cache

        self._max_length = round_up(max_length)
        self._capacity = min(FIRST_CAPACITY, self._max_length)
        self.placement: Placement | None = None
        self.layers = [SlotLayer(self, rows) for _ in range(layers)]
        layers_as_any: Any = self.layers  # they do what transformers expects without inheriting it
        self.model_cache: Any = Cache(layers=layers_as_any)

    @property
    def capacity(self) -> int:
        return self._capacity

    def reserve(self, length: int) -> None:
        """Make room for rows of ``length`` tokens."""
        if length <= self._capacity:
            return
        while self._capacity < length:
            self._capacity = min(2 * self._capacity, self._max_length)
        for layer in self.layers:
            layer.grow(self._capacity)

    def copy_row(self, source: SlotCache, source_row: int, row: int, length: int) -> None:
        """Copy the first ``length`` tokens of a row, from this cache or another one of the same model."""
        for mine, theirs in zip(self.layers, source.layers, strict=True):
            mine.copy_row(theirs, source_row, row, length)


class SlotLayer:
    """One layer's keys and values; what transformers expects of a cache layer."""

    is_compileable = False
    is_croppable = False
    is_sliding = False
    is_initialized = True

    def __init__(self, cache: SlotCache, rows: int) -> None:
        self._cache = cache
        self._rows = rows
        self.keys: torch.Tensor | None = None
        self.values: torch.Tensor | None = None

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *_: Any, **__: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Store the new tokens of the first rows; all that these rows then hold."""
        placement = self._cache.placement
        assert placement is not None
        if self.keys is None or self.values is None:
            self.keys = self._buffer(key_states)
            self.values = self._buffer(value_states)
        count = key_states.shape[0]
        if placement.rows is not None:
            at = (placement.rows, slice(None), placement.positions)
            self.keys[at] = key_states[:, :, 0]
            self.values[at] = value_states[:, :, 0]
        else:
            end = placement.begin + key_states.shape[2]
            self.keys[:count, :, placement.begin : end] = key_states
            self.values[:count, :, placement.begin : end] = value_states
        if placement.shared:
            return _repeated(self.keys, count, placement.length), _repeated(self.values, count, placement.length)
        return self.keys[:count, :, : placement.length], self.values[:count, :, : placement.length]

    def copy_row(self, source: SlotLayer, source_row: int, row: int, length: int) -> None:
        if source.keys is None or source.values is None:
            return
        if self.keys is None or self.values is None:
            self.keys = self._buffer(source.keys)
            self.values = self._buffer(source.values)
        self.keys[row, :, :length] = source.keys[source_row, :, :length]
        self.values[row, :, :length] = source.values[source_row, :, :length]

    def grow(self, capacity: int) -> None:
        if self.keys is not None and self.values is not None:
            old_keys, old_values = self.keys, self.values
            self.keys, self.values = self._buffer(old_keys), self._buffer(old_values)
            self.keys[:, :, : old_keys.shape[2]] = old_keys
            self.values[:, :, : old_values.shape[2]] = old_values

    def get_seq_length(self) -> int:
        return 0  # each row has its own length; positions and masks are always given

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        placement = self._cache.placement
        return (placement.length if placement is not None else query_length), 0

    def get_max_length(self) -> int:
        return -1

    def _buffer(self, like: torch.Tensor) -> torch.Tensor:
        """Zeros, since what is masked is multiplied by 0 and must not be NaN."""
        return like.new_zeros((self._rows, like.shape[1], self._cache.capacity, like.shape[3]))


def _repeated(buffer: torch.Tensor, count: int, length: int) -> torch.Tensor:
    # Copied: over a view that repeats itself the matrix product takes another path and rounds differently.
    return buffer[:1, :, :length].expand(count, -1, -1, -1).contiguous()


def round_up(length: int) -> int:
    return -(-length // LENGTH_STEP) * LENGTH_STEP
