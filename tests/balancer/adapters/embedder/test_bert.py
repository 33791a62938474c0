from __future__ import annotations

import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from balancer.adapters.embedder import bert as bert_module
from balancer.adapters.embedder.bert import PACK_TOKENS_MAX, Bert
from balancer.adapters.embedder.layout import Unsuited
from balancer.adapters.embedder.library import Library
from balancer.adapters.embedder.model import EARLY_LAYER, locate
from balancer.adapters.embedder.passes import Pass

pytestmark = pytest.mark.torch
ODD = [
    "", "  ", "?", "a", "émigré Übung ñandú", "日本語の質問です", "😀 why?", "x" * 200, "Is 17*23 = 391?\n\tYes.",
    "WHY SHOUT", "e\u0301galite\u0301", "\x00 zero \x07", "don't can't", "http://a.b/c?d=e#f", "[MASK] [SEP]",
    "pirate parrot " * 30, "word " * 240, "مرحبا كيف حالك", "a\u200bb\ufeffc", "½ ² ³ ① ﬁ",
]  # fmt: skip
TEXTS = ODD + [f"What is {n} plus {n * 7} in week {n}, and why do {'very ' * n}old people ask?" for n in range(30)]
CUT = ["word " * 300, "a long text of other words " * 80]


def agree(one: Pass, other: Pass) -> None:
    assert one.vector.dtype == np.float32 and np.linalg.norm(one.vector) == pytest.approx(1, abs=1e-5)
    assert one.vector @ other.vector > 0.999999
    assert one.length == other.length and one.ids.tolist() == other.ids.tolist()
    for rows, others in ((one.early, other.early), (one.last, other.last)):
        assert rows.dtype == np.int8 and rows.shape == others.shape
        # a number in the middle between two bytes may be rounded either way
        assert not rows.size or np.abs(rows.astype(int) - others).max() <= 1
        assert (rows != others).mean() < 1e-3 if rows.size else True


@pytest.fixture(scope="module")
def by_library(library: Library) -> list[Pass]:
    return [made for text in TEXTS + CUT for made in library.passes([text])]


def test_alone_every_text_has_the_librarys_vector_and_tokens(bert: Bert, by_library: list[Pass]) -> None:
    for text, expected in zip(TEXTS + CUT, by_library, strict=True):
        agree(bert.passes([text])[0], expected)


def test_texts_computed_together_do_not_see_one_another(bert: Bert, by_library: list[Pass]) -> None:
    assert sum(map(len, bert.tokens(TEXTS))) > 2 * PACK_TOKENS_MAX, "several packs"
    for made, expected in zip(bert.passes(TEXTS + CUT), by_library, strict=True):
        agree(made, expected)


def test_it_is_the_librarys_model(bert: Bert, library: Library) -> None:
    assert (bert.dimension, bert.tokens_max, bert.reads_tokens) == (384, 256, True)
    assert (library.dimension, library.tokens_max, library.reads_tokens) == (384, 256, True)
    assert bert.fingerprint == library.fingerprint
    assert bert.tokens(TEXTS) == library.tokens(TEXTS)
    assert bert.ids_of(["the", "?", "of"]) == library.ids_of(["the", "?", "of"])
    assert bert.ids_of(["no such token at all"]) == []


def test_without_texts_there_is_nothing_to_do(bert: Bert) -> None:
    assert bert.passes([]) == []


def test_damaged_weights_are_left_to_the_library(tmp_path: Path) -> None:
    folder = shutil.copytree(locate(None)[1], tmp_path / "model", ignore=shutil.ignore_patterns("*.safetensors"))
    with pytest.raises(Unsuited, match="safetensors"):
        Bert(folder, EARLY_LAYER)
    (folder / "model.safetensors").write_bytes(b"\x08" + bytes(7) + b'{"a":1}!')
    with pytest.raises(Unsuited, match="can't be used"):
        Bert(folder, EARLY_LAYER)


def test_without_its_libraries_it_is_left_to_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(Unsuited, match="tokenizers is not installed"):
        Bert(Path(locate(None)[1]), EARLY_LAYER)


@pytest.mark.parametrize("lengths", [[], [3], [200, 56], [200, 57], [256, 1], [900, 900], [100] * 7])
def test_packs_hold_every_text_once_in_order_and_few_tokens(lengths: list[int]) -> None:
    tokens = [[number] * length for number, length in enumerate(lengths)]
    packs = list(bert_module._packs(tokens))
    assert [one for pack in packs for one in pack] == tokens
    for pack in packs:
        assert len(pack) == 1 or sum(map(len, pack)) <= PACK_TOKENS_MAX
