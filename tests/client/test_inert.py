from __future__ import annotations

import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from client.inert import inert, inert_line


def test_escape_sequences_are_shown_and_not_obeyed():
    assert inert("\x1b]0;owned\x07\x1b[2Jhi") == "␛]0;owned␇␛[2Jhi"
    assert inert("\x9b31m") == "\N{REPLACEMENT CHARACTER}31m"
    assert inert("safe\rEVIL") == "safeEVIL"
    assert inert("a\x7fb\x00") == "a␡b␀"


def test_text_that_only_looks_like_another_is_marked():
    assert inert("\u202etxt.exe\u202c") == "\ufffdtxt.exe\ufffd"


def test_ordinary_text_stays_as_it_is():
    text = "Grüße, 東京 🐙\n\tindented — “quoted”, مرحبا"
    assert inert(text) == text


@given(st.text(), st.integers(0, 50))
def test_no_control_character_is_left_and_any_split_gives_the_same(text, cut):
    shown = inert(text)
    assert not [c for c in shown if unicodedata.category(c) in ("Cc", "Cs") and c not in "\n\t"]
    assert inert(text[:cut]) + inert(text[cut:]) == shown
    shown.encode()


def test_names_stay_on_one_line():
    assert inert_line("b1\nb2\x1b[0m  x") == "b1 b2␛[0m x"
