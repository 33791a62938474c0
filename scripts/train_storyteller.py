"""Train the built-in model `storyteller` from nothing on stories that our own generator writes.

Examples:
  scripts/train_storyteller --minutes 75 --output backend/models/storyteller
  scripts/train_storyteller --tokens 20000000 --device cuda --output /tmp/storyteller-gpu
  scripts/train_storyteller --minutes 10 --start-from backend/models/storyteller --seed 2 --rate 0.5 \\
      --wide-names --names-inside --output /tmp/more

The learning rate falls to nothing at the end of the budget (minutes or tokens, whichever is used up first), so a run
has to be given the budget that it is meant to use. The tokenizer and the order of stories depend on the seed only; a
budget of tokens is repeatable on one machine, one of minutes ends where the clock says.
"""

from __future__ import annotations

import argparse
import copy
import itertools
import json
import math
import random
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backend.storyteller.batches import IGNORED, Example, batches, documents
from backend.storyteller.tokenizer import END, build

if TYPE_CHECKING:
    import torch
    from transformers import GPT2LMHeadModel, PreTrainedTokenizerFast

CONTEXT = 1024
VOCABULARY = 2304
WIDTH, LAYERS, HEADS = 256, 6, 8
TOKENIZER_DOCUMENTS = 8_000
HELD_OUT_SEED = 1_000_003
HELD_OUT_BATCHES = 8
WARM_UP = 0.02
DECAY_FROM = 0.4
MATRIX_RATE, VECTOR_RATE = 5e-3, 3e-3


def arguments() -> argparse.Namespace:
    description, _, rest = (__doc__ or "").partition("\n\n")
    parser = argparse.ArgumentParser(
        description=description, epilog=rest, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output", type=Path, required=True, help="directory the model is written to")
    parser.add_argument("--minutes", type=float, default=math.inf, help="budget of wall-clock time")
    parser.add_argument("--tokens", type=float, default=math.inf, help="budget of training tokens")
    parser.add_argument("--seed", type=int, default=1, help="of weights and stories (default 1)")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("--threads", type=int, default=0, help="CPU threads (default: all)")
    parser.add_argument("--batch-tokens", type=int, default=4096)
    parser.add_argument("--rate", type=float, default=1.0, help="factor on the learning rates")
    parser.add_argument("--wide-names", action="store_true", help="give most people names of any letters")
    parser.add_argument("--names-inside", action="store_true", help="leave out answers that begin with a name")
    parser.add_argument("--start-from", type=Path, help="go on from this model, with its tokenizer")
    parser.add_argument("--checkpoint-minutes", type=float, default=5.0, help="write the model this often")
    chosen = parser.parse_args()
    if math.isinf(chosen.minutes) and math.isinf(chosen.tokens):
        parser.error("give a budget: --minutes or --tokens")
    return chosen


def make_tokenizer(seed: int) -> PreTrainedTokenizerFast:
    from transformers import PreTrainedTokenizerFast

    texts = (turn.text for turns in itertools.islice(documents(seed), TOKENIZER_DOCUMENTS) for turn in turns)
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=build(texts, VOCABULARY),
        eos_token=END,
        bos_token=END,
        pad_token=END,
        model_max_length=CONTEXT,
        clean_up_tokenization_spaces=False,
    )


def make_model(end: int, size: int) -> GPT2LMHeadModel:
    from transformers import GPT2Config, GPT2LMHeadModel

    config = GPT2Config(
        vocab_size=size,
        n_positions=CONTEXT,
        n_embd=WIDTH,
        n_layer=LAYERS,
        n_head=HEADS,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        bos_token_id=end,
        eos_token_id=end,
        pad_token_id=end,
    )
    return GPT2LMHeadModel(config)


def make_optimizers(model: GPT2LMHeadModel, rate: float) -> list[torch.optim.Optimizer]:
    """Muon (K. Jordan 2024) for the layers' matrices, AdamW for embeddings, norms and biases."""
    import torch

    matrices = [p for name, p in model.named_parameters() if p.ndim == 2 and ".h." in name]
    rest = [p for name, p in model.named_parameters() if not (p.ndim == 2 and ".h." in name)]
    muon = torch.optim.Muon(matrices, lr=MATRIX_RATE * rate, weight_decay=0.02, adjust_lr_fn="match_rms_adamw")
    adam = torch.optim.AdamW(rest, lr=VECTOR_RATE * rate, betas=(0.9, 0.98), weight_decay=0.0)
    for optimizer in (muon, adam):
        for group in optimizer.param_groups:
            group["peak"] = group["lr"]
    return [muon, adam]


def tensors(batch: list[Example], rng: random.Random, device: str) -> tuple[torch.Tensor, ...]:
    """Inputs, positions and targets, padded. Half of the rows begin anywhere, so that each position is learned."""
    import torch

    width = max(len(one.inputs) for one in batch)
    inputs = torch.zeros(len(batch), width, dtype=torch.long)
    targets = torch.full((len(batch), width), IGNORED)
    weights = torch.ones(len(batch), width)
    starts = []
    for row, one in enumerate(batch):
        inputs[row, : len(one.inputs)] = torch.tensor(one.inputs)
        targets[row, : len(one.targets)] = torch.tensor(one.targets)
        weights[row, : len(one.weights)] = torch.tensor(one.weights)
        starts.append(rng.randint(0, CONTEXT - width) if rng.random() < 0.5 else 0)
    positions = torch.tensor(starts)[:, None] + torch.arange(width)[None, :]
    return inputs.to(device), positions.to(device), targets.to(device), weights.to(device)


def loss_of(model: GPT2LMHeadModel, batch: tuple[torch.Tensor, ...], device: str, *, weighed: bool) -> torch.Tensor:
    """Mean cross entropy (nats) over the learned targets, by their weights or plain."""
    import torch

    inputs, positions, targets, weights = batch
    with torch.autocast(device, dtype=torch.bfloat16):
        hidden = model.transformer(inputs, position_ids=positions, use_cache=False).last_hidden_state
        kept = targets != IGNORED
        logits = model.lm_head(hidden[kept])
    losses = torch.nn.functional.cross_entropy(logits.float(), targets[kept], reduction="none")
    return (losses * weights[kept]).sum() / weights[kept].sum() if weighed else losses.mean()


def held_out_loss(model: GPT2LMHeadModel, data: Sequence[tuple[torch.Tensor, ...]], device: str) -> float:
    import torch

    with torch.no_grad():
        return sum(loss_of(model, batch, device, weighed=False).item() for batch in data) / len(data)


def save(model: GPT2LMHeadModel, tokenizer: PreTrainedTokenizerFast, output: Path, runs: list[dict[str, Any]]) -> None:
    """Write weights in bfloat16; the configuration asks for float32, in which they are exact."""
    import torch
    from transformers import GenerationConfig

    small: Any = copy.deepcopy(model)
    small.to(device="cpu", dtype=torch.bfloat16)
    end = model.config.eos_token_id
    small.generation_config = GenerationConfig(  # type: ignore[no-untyped-call]
        do_sample=True,
        temperature=0.4,
        top_p=0.9,
        max_new_tokens=320,
        eos_token_id=end,
        bos_token_id=end,
        pad_token_id=end,
    )
    small.save_pretrained(output)
    tokenizer.save_pretrained(output)
    # The class has this name in every release of transformers; newer ones write one that older ones lack.
    described = json.loads((output / "tokenizer_config.json").read_text())
    described["tokenizer_class"] = "PreTrainedTokenizerFast"
    described.pop("backend", None)
    (output / "tokenizer_config.json").write_text(json.dumps(described, indent=2, sort_keys=True) + "\n")
    (output / "model.safetensors").chmod(0o644)
    config = json.loads((output / "config.json").read_text())
    config.pop("torch_dtype", None)
    config["dtype"] = "float32"
    (output / "config.json").write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")
    (output / "training.json").write_text(json.dumps({"runs": runs}, indent=2) + "\n")


def rate_at(progress: float) -> float:
    """Learning rate as a share of its peak: a short rise, a plateau, a straight fall to 0 (progress 0 to 1)."""
    if progress < WARM_UP:
        return (progress + 1e-3) / WARM_UP
    return min(1.0, max(0.0, (1.0 - progress) / (1.0 - DECAY_FROM)))


def train(options: argparse.Namespace) -> None:
    import torch
    from transformers import GPT2LMHeadModel, PreTrainedTokenizerFast

    if options.threads:
        torch.set_num_threads(options.threads)
    device = options.device
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.manual_seed(options.seed)
    earlier: list[dict[str, Any]]
    if options.start_from:
        tokenizer = PreTrainedTokenizerFast.from_pretrained(options.start_from)
        model = GPT2LMHeadModel.from_pretrained(options.start_from, dtype=torch.float32)
        earlier = json.loads((options.start_from / "training.json").read_text())["runs"]
    else:
        tokenizer = make_tokenizer(options.seed)
        model = make_model(int(tokenizer.eos_token_id), len(tokenizer))
        earlier = []
    end = int(tokenizer.eos_token_id)
    model.to(device).train()
    size = sum(p.numel() for p in model.parameters())
    print(f"{size:,} parameters, {len(tokenizer)} tokens, {device}, {torch.get_num_threads()} threads", flush=True)

    def encode(text: str) -> list[int]:
        return list(tokenizer.encode(text, add_special_tokens=False))

    rng = random.Random(options.seed)
    unseen = batches(HELD_OUT_SEED, documents(HELD_OUT_SEED), encode, end, CONTEXT, options.batch_tokens)
    held_out = [
        tensors(batch, random.Random(number), device)
        for number, batch in enumerate(itertools.islice(unseen, HELD_OUT_BATCHES))
    ]
    corpus = {"wide_names": options.wide_names, "names_inside": options.names_inside}
    stories = documents(options.seed, **corpus)
    data: Iterator[list[Example]] = batches(options.seed, stories, encode, end, CONTEXT, options.batch_tokens)
    optimizers = make_optimizers(model, options.rate)
    started = saved = told = time.monotonic()
    tokens = rows = steps = 0
    running = 0.0
    while True:
        now = time.monotonic()
        progress = max((now - started) / (60 * options.minutes), tokens / options.tokens)
        finished = progress >= 1.0
        facts = {
            "seed": options.seed,
            **corpus,
            "documents": rows,
            "tokens": tokens,
            "steps": steps,
            "minutes": round((now - started) / 60, 1),
            "device": device,
        }
        if finished or now - saved > 60 * options.checkpoint_minutes:
            saved = now
            facts["held_out_loss"] = round(held_out_loss(model, held_out, device), 4)
            save(model, tokenizer, options.output, [*earlier, facts])
            print(f"saved to {options.output}: {facts}", flush=True)
        if finished:
            return
        batch = next(data)
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                group["lr"] = group["peak"] * rate_at(progress)
        loss = loss_of(model, tensors(batch, rng, device), device, weighed=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        steps += 1
        rows += len(batch)
        tokens += sum(len(one.inputs) for one in batch)
        running = loss.item() if steps == 1 else 0.95 * running + 0.05 * loss.item()
        if now - told > 20:
            told = now
            speed = tokens / (now - started)
            print(f"step {steps} {progress:6.1%} loss {running:.4f} {tokens:,} tokens {speed:,.0f}/s", flush=True)


if __name__ == "__main__":
    train(arguments())
