"""The embedding beside the library's, the learned verdict, and whole lookups, with the packaged model."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from itertools import count, cycle
from pathlib import Path
from typing import Any, Final, NamedTuple

from balancer.adapters.embedder.frames import TokenVectors
from balancer.adapters.embedder.library import Library
from balancer.adapters.embedder.model import EARLY_LAYER, EmbeddingModel, locate
from balancer.cache.learned import LearnedVerdict
from balancer.cache.reading import Reading
from balancer.cache.store import CacheLimits, CacheStore
from balancer.cache.vectors import Vector
from balancer.verdict_file import VERDICT
from scripts.bench_cache_parts.gptcache_lookup import gptcache_lookup, missing
from scripts.bench_cache_parts.questions import questions
from scripts.bench_cache_parts.room import answer, ask
from scripts.bench_cache_parts.timing import in_turns, show

ROUNDS: Final = 200
SIZES: Final = (1_000, 10_000)
_BATCH: Final = 16
_QUESTION: Final = "How do I reset my password on the website?"


def bench_learned() -> None:
    """Loads the packaged model twice: by hand and by the library."""
    model, library = EmbeddingModel(None), Library(locate(None)[1], EARLY_LAYER)
    encode = library._model.encode
    texts = questions(_BATCH)
    times = in_turns(
        {
            "ours, one short question, its tokens as well": lambda: model.read([_QUESTION]),
            "SentenceTransformer.encode": lambda: encode(_QUESTION, show_progress_bar=False),
        },
        ROUNDS,
    )
    times |= in_turns(
        {
            f"ours, {_BATCH} of them at once": lambda: model.read(texts[:_BATCH]),
            f"SentenceTransformer.encode, {_BATCH}": lambda: encode(texts[:_BATCH], show_progress_bar=False),
        },
        ROUNDS // 5,
    )
    show("embedding", times)
    ours, theirs, *_ = times.values()
    print(f"  ours over the library's: {ours.p50 / theirs.p50:.2f} (p50), {ours.cpu / theirs.cpu:.2f} (CPU)")
    _bench_verdict(model)
    _bench_lookups(model, encode)


def _bench_verdict(model: EmbeddingModel) -> None:
    verdict = LearnedVerdict(VERDICT.read_bytes())
    pairs = {
        "verdict on two short questions": ("How do I reset my password?", "How can I reset my password?"),
        "verdict, a gate refuses": ("What is 17 times 23?", "What is 17 times 24?"),
        "verdict on two of 32 tokens": (f"{_QUESTION} I have " + "tried it " * 9, f"{_QUESTION} I " + "saw that " * 9),
    }
    calls: dict[str, Any] = {}
    for name, texts in pairs.items():
        new, old = _known(model, verdict, list(texts))
        calls[name] = partial(verdict.judge, new.reading, old.reading, float(new.vector @ old.vector))
    fresh = count()
    calls["what is kept of a new question"] = lambda: verdict.read(f"{_QUESTION} {next(fresh)}", new.vector, new.tokens)
    show("learned verdict", in_turns(calls, 5 * ROUNDS), "us")


class _Known(NamedTuple):
    text: str
    vector: Vector
    tokens: TokenVectors
    reading: Reading


def _known(model: EmbeddingModel, verdict: LearnedVerdict, texts: list[str]) -> list[_Known]:
    known = []
    for at in range(0, len(texts), _BATCH):
        part = texts[at : at + _BATCH]
        for text, vector, tokens in zip(part, *model.read(part), strict=True):
            assert vector is not None and tokens is not None
            reading = verdict.read(text, vector, tokens)
            assert reading is not None
            known.append(_Known(text, vector, tokens, reading))
    return known


class _Lookups:
    """A store that holds some questions, and others that are asked of it."""

    def __init__(self, model: EmbeddingModel, verdict: LearnedVerdict, stored: list[_Known]) -> None:
        self.texts = [known.text for known in stored]
        self.store = CacheStore(CacheLimits(max_entries=len(stored), max_bytes=1 << 30), verdict)
        for known in stored:
            keys = ask(known.text)
            self.store.put(keys, answer(keys), known.vector, 0.0, known.reading)
        # Each second one is a stored question in other words, the others ask for more.
        chosen = self.texts[:: max(1, len(stored) // ROUNDS)][:ROUNDS]
        asked = [text.replace("How", "Just how", 1) if n % 2 else f"{text} And why?" for n, text in enumerate(chosen)]
        self._model, self._verdict = model, verdict
        self.asked = cycle(asked)
        self._known = cycle(_known(model, verdict, asked))

    def whole(self) -> Any:
        """The question is embedded, what is kept of it computed, the nearest found and judged."""
        text = next(self.asked)
        (vector,), (tokens,) = self._model.read([text])
        assert vector is not None and tokens is not None
        return self.store.lookup_near(ask(text), vector, 1.0, self._verdict.read(text, vector, tokens))

    def search(self) -> Any:
        """The nearest found and judged."""
        known = next(self._known)
        return self.store.lookup_near(ask(known.text), known.vector, 1.0, known.reading)


def _bench_lookups(model: EmbeddingModel, encode: Any) -> None:
    verdict = LearnedVerdict(VERDICT.read_bytes())
    stored = _known(model, verdict, questions(SIZES[-1]))
    if absent := missing():
        print(f"GPTCache is not measured: {', '.join(absent)} not installed")
    for size in SIZES:
        lookups = _Lookups(model, verdict, stored[:size])
        calls = {"ours, embedding included": lookups.whole, "  of that keys, search and verdict": lookups.search}
        if not absent:
            folder = Path(tempfile.mkdtemp())
            atexit.register(shutil.rmtree, folder, ignore_errors=True)  # GPTCache writes its files at the end
            theirs = gptcache_lookup(lookups.texts, lambda text: encode(text, show_progress_bar=False), folder)
            calls["GPTCache, embedding included"] = partial(_next, theirs, lookups.asked)
        times = in_turns(calls, ROUNDS)
        show(f"whole lookup among {size:,} entries", times)
        if not absent:
            ours, _, other = times.values()
            print(f"  ours over GPTCache's: {ours.p50 / other.p50:.2f} (p50), {ours.cpu / other.cpu:.2f} (CPU)")
        counters = lookups.store.counters
        print(f"  served {counters.hits_semantic}, refused {dict(counters.near_refusals)}")
        print(f"  bytes counted per entry: {lookups.store.size_bytes // len(lookups.store)}")


def _next(lookup: Callable[[str], Any], asked: Iterator[str]) -> Any:
    return lookup(next(asked))
