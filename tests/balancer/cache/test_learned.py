from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from balancer.cache.learned import BadVerdictFile, LearnedVerdict
from tests.balancer.cache.verdicts import DIMENSION, file, read

SHIPPED = Path(__file__).parents[3] / "balancer" / "cache" / "verdict.npz"


def test_what_the_score_trusts_and_no_gate_refuses_is_served() -> None:
    verdict = LearnedVerdict(file(bias=3.0))
    found = verdict.judge(read(verdict, "Who is Ann?"), read(verdict, "Who's Ann?"), 0.9)
    assert (found.serve, found.reason) == (True, "allowed")
    assert found.probability == pytest.approx(0.9526, abs=1e-3)


def test_what_the_score_does_not_trust_is_not() -> None:
    verdict = LearnedVerdict(file(bias=0.0))
    found = verdict.judge(read(verdict, "Who is Ann?"), read(verdict, "Who's Ann?"), 0.9)
    assert (found.serve, found.reason, found.probability) == (False, "probability", 0.5)


def test_no_score_outvotes_a_gate() -> None:
    verdict = LearnedVerdict(file(bias=9.0))
    pair = read(verdict, "What is 17 times 23?"), read(verdict, "What is 17 times 24?")
    assert verdict.judge(*pair, 0.99) == (False, "numbers", None)
    ranked = verdict.judge(*pair, 0.99, rank=True)
    assert (ranked.serve, ranked.reason) == (False, "numbers")
    assert ranked.probability == pytest.approx(1 / (1 + np.exp(-8.0)), abs=1e-3), "one point less than the score"


def test_a_caller_may_only_be_stricter() -> None:
    verdict = LearnedVerdict(file(bias=3.0))
    one, other = read(verdict, "Who is Ann?"), read(verdict, "Who's Ann?")
    assert not verdict.judge(one, other, 0.9, least=0.96).serve
    weak = LearnedVerdict(file(bias=0.0))
    assert not weak.judge(read(weak, "Who is Ann?"), read(weak, "Who's Ann?"), 0.9, least=0.1).serve


@pytest.mark.parametrize("similarity", [float("nan"), float("inf"), -2.0])
def test_an_impossible_similarity_is_refused(similarity: float) -> None:
    verdict = LearnedVerdict(file(bias=9.0))
    assert verdict.judge(read(verdict, "a"), read(verdict, "a"), similarity).reason == "similarity"


@pytest.mark.parametrize(("share", "threshold"), [(0.02, 0.7), (0.05, 0.7), (0.1, 0.4), (0.5, 0.4), (0.01, 0.9)])
def test_what_a_wrong_answer_may_cost_becomes_a_threshold(share: float, threshold: float) -> None:
    assert LearnedVerdict(file(), share).threshold == threshold


def test_a_share_that_was_never_reached_serves_nothing() -> None:
    verdict = LearnedVerdict(file(bias=60.0), 0.001)
    assert not verdict.judge(read(verdict, "a b"), read(verdict, "a b"), 1.0).serve


def test_vectors_of_another_model_are_not_read() -> None:
    verdict = LearnedVerdict(file())
    unit, rows = np.full(DIMENSION, DIMENSION**-0.5, np.float32), np.ones((3, 2 * DIMENSION), np.int8)
    assert verdict.read("a", unit[:4], rows) is None
    assert verdict.read("a", unit, rows[:, :4]) is None
    assert verdict.read("a", unit, rows[:0]) is None
    assert verdict.read("a", unit * np.float32("nan"), rows) is None


@pytest.mark.parametrize("data", [b"", b"PK", b"no zip", file(format=99), file(curve=[]), file(calibration="x")])
def test_another_file_is_refused(data: bytes) -> None:
    with pytest.raises(BadVerdictFile):
        LearnedVerdict(data)


def test_damaged_bytes_are_refused_wherever_they_are() -> None:
    shipped = SHIPPED.read_bytes()
    for at in range(60_000, len(shipped), 60_000):  # the network and the words, each compressed
        with pytest.raises(BadVerdictFile):
            LearnedVerdict(shipped[:at] + bytes(byte ^ 0xFF for byte in shipped[at : at + 64]) + shipped[at + 64 :])


def test_the_shipped_file_tells_how_it_was_made() -> None:
    verdict = LearnedVerdict(SHIPPED.read_bytes())
    assert SHIPPED.stat().st_size < 1 << 20
    assert verdict.embedder_id.startswith("all-MiniLM-L6-v2@")
    assert 0 < verdict.threshold < 1
    assert {"trained_on", "measured"} <= verdict.meta.keys()


@pytest.mark.torch
def test_the_shipped_verdict_knows_the_same_question_from_another() -> None:
    pytest.importorskip("sentence_transformers")
    from balancer.adapters.embedder.model import EmbeddingModel

    model = EmbeddingModel(None)
    verdict = LearnedVerdict(SHIPPED.read_bytes())
    assert verdict.embedder_id == model.id

    def served(one: str, other: str) -> bool:
        vectors, tokens = model.read([one, other])
        new, old = (verdict.read(*part) for part in zip((one, other), vectors, tokens, strict=True))  # type: ignore[arg-type]
        assert new is not None and old is not None and vectors[0] is not None and vectors[1] is not None
        return verdict.judge(new, old, float(vectors[0] @ vectors[1])).serve

    assert served("How do I reset my password?", "How can I reset my password?")
    assert served("What is the capital of France?", "what's the capital of france")
    assert not served("Is ibuprofen safe during pregnancy?", "Is ibuprofen not safe during pregnancy?")
    assert not served("Is ibuprofen safe during pregnancy?", "Is aspirin safe during pregnancy?")
    assert not served("What is 17 times 23?", "What is 17 times 24?")
    assert not served("How do I install Python?", "How do I uninstall Python?")
    assert not served("How do I reset my password?", "Why is the sea salty?")
