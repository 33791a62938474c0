"""A random model of a few kilobytes with a byte-level tokenizer, saved as transformers would: made in a second."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

CONTEXT: Final = 96
EOS: Final = 0
TEXTS: Final = ["one two three four five six seven eight nine ten", "tell me a story, be brief", "a word in a word"]


def make_tokenizer() -> Any:
    """Byte-level BPE with a few merges; id 0 is ``<|endoftext|>``."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=320, special_tokens=["<|endoftext|>"], initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(TEXTS, trainer)
    fast: Any = PreTrainedTokenizerFast
    return fast(tokenizer_object=tokenizer, bos_token="<|endoftext|>", eos_token="<|endoftext|>")


def make_model(vocabulary: int, **changes: Any) -> Any:
    """GPT-2's architecture, 2 layers of 32; weights large enough that logits differ clearly."""
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(7)
    sizes: dict[str, Any] = {"n_positions": CONTEXT, "n_embd": 32, "n_layer": 2, "n_head": 2} | changes
    config = GPT2Config(vocab_size=vocabulary, bos_token_id=EOS, eos_token_id=EOS, initializer_range=0.3, **sizes)
    model: Any = GPT2LMHeadModel(config)
    return model.eval()


def save_tiny(path: Path) -> Path:
    tokenizer = make_tokenizer()
    make_model(len(tokenizer)).save_pretrained(path)
    tokenizer.save_pretrained(path)
    return path
