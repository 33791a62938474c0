"""Train the cache's verdict: ``scripts/train_verdict --questions FILE --negations FILE``.

Files are tab-separated with columns a, b, duplicate (or negated), perhaps gzipped. Pairs that differ in a number, a
name, the polarity or the order are made from the questions, prompts from templates. A ninth is kept aside to find
thresholds, another one for the figures in the file's metadata (`scripts/train_verdict_parts/splitting.py`). Texts are
embedded once, into ``--work`` (10 KB a text). On one core: some 5 minutes for 170,000 texts, 2 minutes an epoch and 4
for the thresholds. The same files, the same seed and an empty ``--work`` give the same bytes on the same machine.
"""

from __future__ import annotations

import argparse
import io
import json
import math
import random
from collections import Counter
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from balancer.adapters.embedder.model import EmbeddingModel
from balancer.cache.features import features
from balancer.cache.gates import refusal
from balancer.cache.learned import FORMAT, GATED_PENALTY
from balancer.cache.lexicon import BUCKETS, Lexis, bucket, lexis
from scripts.evaluate_cache_parts.stream import Shape
from scripts.labelled_pairs import Pair
from scripts.train_verdict_parts.collecting import Labelled, collect
from scripts.train_verdict_parts.embedded import Embedded
from scripts.train_verdict_parts.fitting import Example, fit, logits, weights_of
from scripts.train_verdict_parts.measuring import fitted, measured, thresholds
from scripts.train_verdict_parts.traffic import wrong_at_most

OUT: Final = Path(__file__).resolve().parent.parent / "balancer" / "cache" / "verdict.npz"
WORK: Final = Path(__file__).resolve().parent.parent / "build" / "verdict-embedded"


def main() -> None:
    """Collect, embed, fit, calibrate, write."""
    parser = argparse.ArgumentParser(prog="scripts/train_verdict", description=__doc__)
    parser.add_argument("--questions", type=Path, action="append", default=[], required=True, metavar="FILE")
    parser.add_argument("--negations", type=Path, action="append", default=[], metavar="FILE")
    parser.add_argument("--work", type=Path, default=WORK, help="folder for the embedded texts (default: %(default)s)")
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--limit", type=int, help="at most so many pairs of each kind, for a quick try")
    parser.add_argument("--recalibrate", type=Path, metavar="FILE.npz", help="keep this file's network, do not train")
    options = parser.parse_args()
    pairs = collect(options.questions, options.negations, options.limit, options.seed)
    print("pairs:", dict(Counter((one.kind, one.part, one.duplicate) for one in pairs)))
    model = EmbeddingModel(None)
    texts = list(dict.fromkeys(text for one in pairs for text in (one.a, one.b)))
    embedded = Embedded(texts, options.work, model)
    pairs = [one for one in pairs if one.a in embedded and one.b in embedded]
    words = word_weights(one for pair in pairs if pair.kind == "questions" and pair.part == "train" for one in pair[:2])
    read = {text: _lexis(text, words) for text in texts if text in embedded}
    if options.recalibrate is not None:
        with np.load(options.recalibrate, allow_pickle=False) as arrays:
            weights = {name: arrays[name] for name in arrays if name.startswith("net.")}
    else:
        examples = [_example(one, read, embedded) for one in pairs if one.part == "train"]
        random.Random(options.seed).shuffle(examples)
        weights = weights_of(fit(examples, embedded, options.epochs, options.seed))
    parts = {part: [one for one in pairs if one.part == part] for part in ("calibration", "aside")}
    passed = {
        part: np.array([refusal(read[one.a], read[one.b]) is None for one in found]) for part, found in parts.items()
    }
    scores = {
        part: logits(weights, [_example(one, read, embedded) for one in found], embedded)
        - GATED_PENALTY * ~passed[part]
        for part, found in parts.items()
    }
    slope, offset = fitted(parts["calibration"], scores["calibration"])
    probabilities = {part: 1 / (1 + np.exp(-(slope * found + offset))) for part, found in scores.items()}
    known = {"format": FORMAT, "embedder": model.id, "calibration": [slope, offset]}
    traffic = wrong_at_most(
        packed(weights, words, known | {"curve": [[1.0, 0.5]]}),
        [Pair(one.a, one.b, one.duplicate) for one in parts["calibration"] if one.kind == "questions"],
        options.work,
        model,
        requests=options.limit or Shape().requests,
    )
    found = thresholds(parts["calibration"], probabilities["calibration"], passed["calibration"], traffic)
    meta = known | {
        "curve": found,
        "traffic": traffic,
        "measured": measured(parts["aside"], probabilities["aside"], passed["aside"], found),
        "trained_on": dict(Counter(one.kind for one in pairs if one.part == "train")),
        "epochs": options.epochs,
        "seed": options.seed,
    }
    options.out.write_bytes(packed(weights, words, meta))
    print(json.dumps(meta, indent=2))
    print(f"{options.out}: {options.out.stat().st_size} bytes")


def word_weights(texts: Any) -> NDArray[np.uint8]:
    """How much each word says: the logarithm of how rarely texts say it, 0 to 255 (words of a bucket share one)."""
    seen: Counter[str] = Counter()
    count = 0
    for text in dict.fromkeys(texts):
        count += 1
        seen.update(set(lexis(text, lambda _: 1.0).content))
    most = np.zeros(BUCKETS)
    for stem, times in seen.items():
        most[bucket(stem)] = max(most[bucket(stem)], times)
    weights = np.log((count + 1) / (most + 1)) / math.log(count + 1) if count else np.ones(BUCKETS)
    found: NDArray[np.uint8] = np.rint(np.clip(weights, 0, 1) * 255).astype(np.uint8)
    return found


def packed(weights: dict[str, NDArray[np.float16]], words: NDArray[np.uint8], meta: dict[str, Any]) -> bytes:
    """The file's bytes, as `balancer.cache.learned` reads them."""
    arrays: dict[str, Any] = {**weights, "words": words, "meta": np.frombuffer(json.dumps(meta).encode(), np.uint8)}
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    return file.getvalue()


def _lexis(text: str, words: NDArray[np.uint8]) -> Lexis:
    return lexis(text, lambda stem: float(words[bucket(stem)]) / 255)


def _example(pair: Labelled, read: dict[str, Lexis], embedded: Embedded) -> Example:
    cosine = float(embedded.vector(pair.a) @ embedded.vector(pair.b))
    return Example(pair.a, pair.b, pair.duplicate, features(read[pair.a], read[pair.b], cosine))


if __name__ == "__main__":
    main()
