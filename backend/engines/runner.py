"""A model's forward pass for many sequences at once.

`SlotRunner` keeps all sequences in one batch; it serves every model whose layers are plain or sliding-window
attention. `SoloRunner` serves whatever else transformers can load, one sequence after the other. `make_runner` tries
the first against the model's own forward pass and takes the second where they disagree.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, Protocol

from backend.engines.slot_cache import Placement, SlotCache, round_up

if TYPE_CHECKING:
    import torch

log = logging.getLogger(__name__)

ROWS_STEP: Final = 4
"""Batches are filled up to a multiple of this: matrix products of 1 to 3 rows take another path in the BLAS library
and round differently, so a sequence would not get the same bits alone as in company."""
PREFILL_CHUNK: Final = 512
"""Prompt tokens of one forward pass. Always cut at the same places, so that company changes nothing."""
REPLAY_CHUNK: Final = 16
"""Tokens of one forward pass in `Runner.replay`; each reads a copy of the sequence's keys and values."""
_TOLERANCE: Final = 2e-2


class Row:
    """A sequence's place. `index` changes when another leaves; `length` is the number of tokens held."""

    __slots__ = ("cache", "index", "length")

    def __init__(self) -> None:
        self.index = -1
        self.length = 0
        self.cache: Any = None


class Runner(Protocol):
    """Prefill chunk by chunk until the prompt is through, `join`, then `decode` with all who joined; `leave`.

    Used within `torch.inference_mode`.
    """

    def prefill(self, row: Row, token_ids: Sequence[int]) -> torch.Tensor:
        """One chunk of one prompt, another's only after `join`. Logits (vocabulary) after its last token."""

    def replay(self, row: Row, token_ids: Sequence[int]) -> torch.Tensor:
        """Up to `REPLAY_CHUNK` tokens of an answer that was made elsewhere, after its prompt and before `join`.

        To the bit what `decode` would have left and returned, had it been given them one by one: a prefill of them
        rounds differently, enough to turn a close choice between two tokens.
        """

    def join(self, row: Row) -> None:
        """The prompt is through: take part in `decode`."""

    def decode(self, rows: Sequence[Row], token_ids: Sequence[int]) -> torch.Tensor:
        """One token for each of all joined rows, in order of `index`. Logits (rows, vocabulary)."""

    def leave(self, row: Row) -> None:
        """Free the place, whether joined or not."""


class SlotRunner:
    """See the module's text. ``rows`` is the most sequences that can have joined at once."""

    def __init__(self, model: Any, rows: int, max_length: int) -> None:
        config = model.config.get_text_config()
        self._model = model
        self._device = model.device
        self._dtype = model.dtype
        self._windows = _windows(config)
        self._keep = {"logits_to_keep": 1} if _takes(model, "logits_to_keep") else {}
        self._batch = SlotCache(-(-rows // ROWS_STEP) * ROWS_STEP, config.num_hidden_layers, max_length)
        self._prompt = SlotCache(1, config.num_hidden_layers, max_length)
        self._joined: list[Row] = []

    def prefill(self, row: Row, token_ids: Sequence[int]) -> torch.Tensor:
        import torch

        begin, end = row.length, row.length + len(token_ids)
        self._prompt.reserve(end)
        positions = torch.arange(begin, end, device=self._device)[None]
        row.length = end
        ids = torch.tensor([token_ids], device=self._device)
        self._prompt.placement = Placement(min(round_up(end), self._prompt.capacity), begin)
        return self._forward(self._prompt, ids, positions)[0]

    def replay(self, row: Row, token_ids: Sequence[int]) -> torch.Tensor:
        import torch

        begin, end = row.length, row.length + len(token_ids)
        self._prompt.reserve(end)
        fill = -len(token_ids) % ROWS_STEP  # the last token again, which writes the same to the same place
        positions = torch.tensor([*range(begin, end), *[end - 1] * fill], device=self._device)
        ids = torch.tensor([*token_ids, *[token_ids[-1]] * fill], device=self._device)[:, None]
        row.length = end
        length = min(round_up(end), self._prompt.capacity)
        self._prompt.placement = Placement(length, rows=torch.zeros_like(positions), positions=positions, shared=True)
        return self._forward(self._prompt, ids, positions[:, None])[len(token_ids) - 1]

    def join(self, row: Row) -> None:
        row.index = len(self._joined)
        self._joined.append(row)
        self._batch.reserve(row.length)
        self._batch.copy_row(self._prompt, 0, row.index, row.length)

    def decode(self, rows: Sequence[Row], token_ids: Sequence[int]) -> torch.Tensor:
        import torch

        fill = -len(rows) % ROWS_STEP
        longest = max(row.length for row in rows) + 1
        self._batch.reserve(longest)
        # Filling rows write at index 0 of rows that nobody has joined yet.
        positions = torch.tensor([*(row.length for row in rows), *[0] * fill], device=self._device)
        ids = torch.tensor([*token_ids, *[0] * fill], device=self._device)[:, None]
        length = min(round_up(longest), self._batch.capacity)
        self._batch.placement = Placement(
            length, rows=torch.arange(len(rows) + fill, device=self._device), positions=positions
        )
        for row in rows:
            row.length += 1
        return self._forward(self._batch, ids, positions[:, None])[: len(rows)]

    def leave(self, row: Row) -> None:
        if row.index < 0:
            return
        last = self._joined.pop()
        if last is not row:
            self._batch.copy_row(self._batch, last.index, row.index, last.length)
            last.index = row.index
            self._joined[row.index] = last
        row.index = -1

    def _forward(self, cache: SlotCache, ids: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
        assert cache.placement is not None
        output = self._model(
            input_ids=ids,
            position_ids=positions,
            attention_mask=self._masks(positions, cache.placement.length),
            past_key_values=cache.model_cache,
            use_cache=True,
            **self._keep,
        )
        logits: torch.Tensor = output.logits[:, -1]
        return logits

    def _masks(self, positions: torch.Tensor, length: int) -> Any:
        """Additive masks (rows, 1, tokens, length), one for each kind of layer where there are several kinds."""
        masks = {kind: self._mask(positions, length, window) for kind, window in self._windows.items()}
        return masks if len(masks) > 1 else next(iter(masks.values()))

    def _mask(self, positions: torch.Tensor, length: int, window: int | None) -> torch.Tensor:
        import torch

        index = torch.arange(length, device=self._device)
        ago = positions[:, None, :, None] - index
        seen = ago >= 0 if window is None else (ago >= 0) & (ago < window)
        mask = torch.zeros(seen.shape, dtype=self._dtype, device=self._device)
        return mask.masked_fill_(~seen, torch.finfo(self._dtype).min)


class SoloRunner:
    """See the module's text: each sequence has the cache that the model itself makes."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self._joined = 0

    def prefill(self, row: Row, token_ids: Sequence[int]) -> torch.Tensor:
        return self._forward(row, token_ids)

    def replay(self, row: Row, token_ids: Sequence[int]) -> torch.Tensor:
        return [self._forward(row, [token]) for token in token_ids][-1]

    def join(self, row: Row) -> None:
        row.index = self._joined
        self._joined += 1

    def decode(self, rows: Sequence[Row], token_ids: Sequence[int]) -> torch.Tensor:
        import torch

        return torch.stack([self._forward(row, [token]) for row, token in zip(rows, token_ids, strict=True)])

    def leave(self, row: Row) -> None:
        row.cache = None

    def _forward(self, row: Row, token_ids: Sequence[int]) -> torch.Tensor:
        import torch

        ids = torch.tensor([token_ids], device=self._model.device)
        output = self._model(input_ids=ids, past_key_values=row.cache, use_cache=True)
        row.cache = output.past_key_values
        row.length += len(token_ids)
        logits: torch.Tensor = output.logits[0, -1]
        return logits


def make_runner(model: Any, rows: int, max_length: int) -> Runner:
    """The runner that this model can be trusted to."""
    import torch

    try:
        with torch.inference_mode():
            if _takes(model, "position_ids") and _agrees(SlotRunner(model, 2, 64), model):
                return SlotRunner(model, rows, max_length)
        reason = "its logits would differ"
    except Exception as error:  # whatever an architecture unknown to us raises
        reason = f"{type(error).__name__}: {error}"
    log.warning("this architecture can't share a batch (%s): one sequence after the other", reason)
    return SoloRunner(model)


def _agrees(runner: Runner, model: Any) -> bool:
    """Whether two sequences of different lengths get the logits that the model gives to each alone."""
    import torch

    prompts = [[1, 2, 3, 4, 5, 6, 7], [3, 1, 2]]
    rows = [Row(), Row()]
    for row, prompt in zip(rows, prompts, strict=True):
        runner.prefill(row, prompt)
        runner.join(row)
    for token in (4, 2):
        together = runner.decode(rows, [token, token])
        for row, prompt in zip(rows, prompts, strict=True):
            prompt.append(token)
            alone = model(input_ids=torch.tensor([prompt], device=model.device)).logits[0, -1]
            if not torch.allclose(together[row.index].float(), alone.float(), rtol=_TOLERANCE, atol=_TOLERANCE):
                return False
    return True


def _takes(model: Any, name: str) -> bool:
    return name in inspect.signature(model.forward).parameters


def _windows(config: Any) -> dict[str, int | None]:
    """Kind of layer -> how many tokens it looks back, ``None`` for all. Raises `ValueError` for other kinds."""
    kinds = set(getattr(config, "layer_types", None) or ["full_attention"])
    window = getattr(config, "sliding_window", None)
    known = {"full_attention": None, "sliding_attention": window}
    if unknown := kinds - known.keys():
        raise ValueError(f"layers of kind {', '.join(sorted(unknown))}")
    if kinds == {"full_attention"} and not getattr(config, "layer_types", None) and window is not None:
        known["full_attention"] = window if getattr(config, "use_sliding_window", True) else None
    return {kind: known[kind] for kind in sorted(kinds)}
