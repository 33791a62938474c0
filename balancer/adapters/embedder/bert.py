"""A sentence model of BERT's kind, computed by hand: the numbers of sentence-transformers at a third of the time.

One question of a dozen tokens is little arithmetic; the time goes into reading 42 MB of weights and into what stands
around them. So the weights are laid out once as the kernel wants them, query, key and value are one product, nothing
is padded, and neither transformers nor sentence-transformers is loaded, which alone takes seconds.

Rejected: onnxruntime (as fast, but one more dependency and an exported file to keep), numpy (its library packs each
matrix anew on every call: twice the time), weights in bytes (a cosine of 0.95 to the original).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from balancer.adapters.embedder.layout import Unsuited, fingerprint, layer_names, read_layout
from balancer.adapters.embedder.linear import gelu_map, linear_map, sum_map
from balancer.adapters.embedder.passes import Pass, in_bytes

PACK_TOKENS_MAX: Final = 256
"""Tokens computed at a time, of several texts together; a text that has more is computed alone."""

Floats = NDArray[np.float32]


class Bert:
    """A loaded model, on one CPU thread."""

    def __init__(self, folder: Path, early_layer: int) -> None:
        """Load it; `Unsuited` where the library must do it. ``early_layer`` counts from one."""
        layout = read_layout(folder)
        self.dimension = layout.dimension
        self.tokens_max: int | None = layout.tokens_max
        self._limit = layout.tokens_max
        self.reads_tokens = layout.layers >= early_layer
        self._early_layer, self._heads, self._epsilon = early_layer, layout.heads, layout.epsilon
        try:
            import torch
            from safetensors.torch import load_file
            from tokenizers import Tokenizer

            torch.set_num_threads(1)
            self._tokenizer: Any = Tokenizer.from_file(str(folder / "tokenizer.json"))
            weights = load_file(folder / "model.safetensors")
            self.fingerprint = fingerprint(layout, weights)
            self._load(weights, layout.layers)
        except ImportError as error:
            raise Unsuited(f"{error.name or error} is not installed") from error
        except Exception as error:  # safetensors and tokenizers have their own, directly below Exception
            raise Unsuited(f"its files can't be used: {error}") from error
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()

    def _load(self, weights: dict[str, Any], layers: int) -> None:
        import torch

        def both(name: str) -> tuple[Any, Any]:
            return weights[f"{name}.weight"], weights[f"{name}.bias"]

        def norm(name: str) -> Callable[[Any], Any]:
            weight, bias = both(name)
            return lambda rows: torch.nn.functional.layer_norm(rows, (self.dimension,), weight, bias, self._epsilon)

        self._words = weights["embeddings.word_embeddings.weight"]
        self._places = weights["embeddings.position_embeddings.weight"]
        self._places = self._places + weights["embeddings.token_type_embeddings.weight"][0]
        self._first_norm = norm("embeddings.LayerNorm")
        self._layers: list[tuple[Any, ...]] = []
        for number in range(layers):
            *seeking, joined, first, wide, narrow, last = layer_names(number)
            apart = [torch.cat(parts) for parts in zip(*map(both, seeking), strict=True)]
            linears = [linear_map(*apart), sum_map(*both(joined)), gelu_map(*both(wide)), sum_map(*both(narrow))]
            self._layers.append((*linears, norm(first), norm(last)))

    def tokens(self, texts: Sequence[str]) -> list[list[int]]:
        """Each text's, with the marks of its begin and end."""
        return [self._tokenizer.encode(text).ids for text in texts]

    def ids_of(self, words: Sequence[str]) -> list[int]:
        """The tokens of words that are tokens."""
        found = (self._tokenizer.token_to_id(word) for word in words)
        return [number for number in found if number is not None]

    def passes(self, texts: Sequence[str]) -> list[Pass]:
        """One for each text; of a longer one than the model reads its beginning's."""
        cut = [one if len(one) <= self._limit else [*one[: self._limit - 1], one[-1]] for one in self.tokens(texts)]
        return [made for pack in _packs(cut) for made in self._pass(pack)]

    def _pass(self, pack: Sequence[list[int]]) -> Iterator[Pass]:
        import torch

        lengths = [len(one) for one in pack]
        ids = np.concatenate(pack)
        with torch.inference_mode():
            early, last = self._forward(ids, np.concatenate([np.arange(length) for length in lengths]), lengths)
        early_rows, last_rows = in_bytes(early), in_bytes(last)
        end = 0
        for length in lengths:
            start, end = end, end + length
            vector = last[start:end].mean(axis=0)
            vector /= max(np.sqrt(np.vecdot(vector, vector)), np.float32(1e-12))
            inner = slice(start + 1, end - 1)
            yield Pass(vector, length, ids[inner], early_rows[inner], last_rows[inner])

    def _forward(self, ids: Any, places: Any, lengths: list[int]) -> tuple[Floats, Floats]:
        """The tokens of all texts, one after the other, in the early layer and in the last."""
        import torch
        from torch.nn.functional import scaled_dot_product_attention

        count = len(ids)
        shape = (1, count, 3, self._heads, self.dimension // self._heads)
        state = self._words[torch.from_numpy(ids)] + self._places[torch.from_numpy(places)]
        state = early = self._first_norm(state)
        own = None  # a text's tokens see one another and no others
        if len(lengths) > 1:
            text = torch.repeat_interleave(torch.arange(len(lengths)), torch.tensor(lengths))
            own = text[:, None] == text[None, :]
        for number, (apart, joined, wide, narrow, first, last) in enumerate(self._layers, start=1):
            query, key, value = apart(state).view(shape).permute(2, 0, 3, 1, 4).unbind(0)
            seen = scaled_dot_product_attention(query, key, value, attn_mask=own)
            seen = seen.transpose(1, 2).reshape(count, self.dimension)
            state = first(joined(seen, state))
            state = last(narrow(wide(state), state))
            if number == self._early_layer:
                early = state
        return early.numpy(), state.numpy()


def _packs(tokens: Sequence[list[int]]) -> Iterator[list[list[int]]]:
    """Texts in order, as many at a time as have few enough tokens together."""
    pack: list[list[int]] = []
    total = 0
    for one in tokens:
        if pack and total + len(one) > PACK_TOKENS_MAX:
            yield pack
            pack, total = [], 0
        pack.append(one)
        total += len(one)
    if pack:
        yield pack
