"""The storyteller's own tokenizer: byte-level BPE, so that any text can be encoded and comes back byte for byte."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tokenizers import Tokenizer

END = "<|endoftext|>"


def build(texts: Iterable[str], size: int) -> Tokenizer:
    """A tokenizer of `size` tokens, all 256 bytes and the end token among them, learned from `texts`."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=size, special_tokens=[END], initial_alphabet=alphabet, min_frequency=20, show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer
