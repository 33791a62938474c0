"""Judge a storyteller over many seeds: does it end, keep its hero, introduce everybody, and not recite?

The bars: 95 % end by themselves within 300 tokens; 95 % keep the hero first named and name nobody who was not
introduced; under 20 % of a story's 8-grams, on average, stand in any one training story.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from backend.storyteller import held_out, names, overlap
from backend.storyteller.batches import documents
from backend.storyteller.held_out import Prompt
from backend.storyteller.sampling import Sample, sample

MODEL = Path(__file__).resolve().parent.parent / "models" / "storyteller"
MAX_TOKENS = 300
ENDED_BAR, NAMES_BAR, OVERLAP_BAR = 0.95, 0.95, 0.20
_BATCH = 50


@dataclass(frozen=True)
class Judged:
    """One story with its verdicts; `share` is its largest share of 8-grams in one training story."""

    prompt: Prompt
    sample: Sample
    keeps_hero: bool
    strangers: tuple[str, ...]
    share: float

    @property
    def names_right(self) -> bool:
        return self.keeps_hero and not self.strangers


@dataclass(frozen=True)
class Bar:
    """A measured value against its bar: at least it, or (`below`) under it."""

    what: str
    value: float
    bar: float
    below: bool = False

    @property
    def met(self) -> bool:
        return self.value < self.bar if self.below else self.value >= self.bar


def judge(prompt: Prompt, made: Sample, share: float) -> Judged:
    """Names are judged over the whole text: a first line belongs to its story, a request only introduces."""
    story = f"{prompt.text}{made.text}" if prompt.kind == "first line" else made.text
    named = names.names(story)
    hero = prompt.hero or (named[0] if named else "")
    unknown = names.strangers(prompt.text, made.text, hero)
    return Judged(prompt, made, names.keeps_hero(f"{prompt.text} {made.text}", hero), tuple(unknown), share)


def bars(judged: Sequence[Judged]) -> list[Bar]:
    """The three bars over all stories."""
    count = len(judged)
    return [
        Bar(
            f"ended by themselves within {MAX_TOKENS} tokens",
            sum(one.sample.ended for one in judged) / count,
            ENDED_BAR,
        ),
        Bar(
            "kept the hero and named only people introduced", sum(one.names_right for one in judged) / count, NAMES_BAR
        ),
        Bar(
            "8-grams in any one training story (mean)", statistics.fmean(one.share for one in judged), OVERLAP_BAR, True
        ),
    ]


def training_texts(model: Path) -> Iterator[str]:
    """Everything the storyteller said in training, from the seeds and counts noted beside the weights."""
    for run in json.loads((model / "training.json").read_text())["runs"]:
        told = {name: run[name] for name in ("wide_names", "names_inside") if name in run}
        for turns in itertools.islice(documents(run["seed"], **told), run["documents"]):
            yield from (turn.text for turn in turns if turn.said)


def table(judged: Sequence[Judged]) -> str:
    """The result for people: the bars, then figures by kind of prompt."""
    lines = [f"{'':<52}{'measured':>10}{'bar':>10}"]
    for bar in bars(judged):
        sign = "<" if bar.below else ">="
        verdict = "" if bar.met else "  MISSED"
        lines.append(f"{bar.what:<52}{bar.value:>10.1%}{sign + format(bar.bar, '.0%'):>10}{verdict}")
    shares = sorted(one.share for one in judged)
    lines += [
        f"{'stories under 20 % by themselves':<52}{sum(share < OVERLAP_BAR for share in shares) / len(shares):>10.1%}",
        f"{'largest share of any story':<52}{shares[-1]:>10.1%}",
        f"{'tokens, median':<52}{statistics.median(one.sample.tokens for one in judged):>10.0f}",
        "",
        f"{'by kind of prompt':<20}{'stories':>10}{'ended':>10}{'names':>10}{'8-grams':>10}",
    ]
    for kind in dict.fromkeys(one.prompt.kind for one in judged):
        group = [one for one in judged if one.prompt.kind == kind]
        ended, named, shared = (bar.value for bar in bars(group))
        lines.append(f"{kind:<20}{len(group):>10}{ended:>10.1%}{named:>10.1%}{shared:>10.1%}")
    return "\n".join(lines)


def _arguments(given: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/evaluate_storyteller",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="Examples:\n  scripts/evaluate_storyteller\n"
        "  scripts/evaluate_storyteller --seeds 20 --temperature 1 --show 3",
    )
    parser.add_argument("--model", type=Path, default=MODEL, help="directory of the model (default: the built-in one)")
    parser.add_argument("--seeds", type=int, default=200, help="number of stories, seeds 0, 1, ... (default 200)")
    parser.add_argument("--temperature", type=float, default=0.4)
    parser.add_argument("--top-p", type=float, default=0.9)
    parser.add_argument("--show", type=int, default=0, metavar="N", help="print the first N stories as well")
    parser.add_argument("--failures", action="store_true", help="print each story that fails a bar by itself")
    return parser.parse_args(given)


def _write(model_directory: Path, prompts: Sequence[Prompt], temperature: float, top_p: float) -> list[Sample]:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(model_directory)
    model = AutoModelForCausalLM.from_pretrained(model_directory, dtype=torch.float32)
    model.train(False)
    made: list[Sample] = []
    for at in range(0, len(prompts), _BATCH):
        texts = [prompt.text for prompt in prompts[at : at + _BATCH]]
        seeds = range(at, at + len(texts))
        made += sample(model, tokenizer, texts, seeds, temperature=temperature, top_p=top_p, max_tokens=MAX_TOKENS)
    return made


def main(given: Sequence[str] | None = None) -> int:
    """Run the evaluation and print its table; 0 when every bar is met, 1 otherwise."""
    options = _arguments(given)
    started = time.monotonic()
    prompts = [held_out.prompt_of(seed) for seed in range(options.seeds)]
    made = _write(options.model, prompts, options.temperature, options.top_p)
    shares = overlap.largest_shares([one.text for one in made], training_texts(options.model))
    judged = [judge(*one) for one in zip(prompts, made, shares, strict=True)]
    for number, one in enumerate(judged):
        failed = options.failures and not (one.sample.ended and one.names_right)
        if number < options.show or failed:
            reasons = [] if one.sample.ended else ["did not end"]
            reasons += [] if one.keeps_hero else [f"lost {one.prompt.hero}"]
            reasons += [f"not introduced: {', '.join(one.strangers)}"] if one.strangers else []
            sys.stdout.write(
                f"[{number}] {one.prompt.text} >>>{one.sample.text}\n    {'; '.join(reasons) or 'right'}\n\n"
            )
    sys.stdout.write(
        f"{options.seeds} stories, temperature {options.temperature}, top-p {options.top_p}, prompts held out of "
        f"training, {time.monotonic() - started:.0f} s\n{table(judged)}\n"
        "An 8-gram is eight words in a row. Each story is compared with every training story by itself; its share is "
        "the largest one found.\n"
    )
    return 0 if all(bar.met for bar in bars(judged)) else 1


if __name__ == "__main__":
    sys.exit(main())
