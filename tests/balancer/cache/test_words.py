from __future__ import annotations

from balancer.cache import words


def test_number_words_have_their_values() -> None:
    assert (words.SMALL["zero"], words.SMALL["seven"], words.SMALL["nineteen"]) == (0, 7, 19)
    assert (words.TENS["twenty"], words.TENS["ninety"]) == (20, 90)
    assert (words.ORDINALS["first"], words.ORDINALS["twentieth"]) == (1, 20)
    assert (words.ROMAN["ii"], words.ROMAN["iv"], words.ROMAN["xx"]) == (2, 4, 20)


def test_single_letters_are_no_roman_numbers() -> None:
    assert not {"i", "v", "x"} & set(words.ROMAN)


def test_each_form_belongs_to_one_unit() -> None:
    forms = [form for line in words._UNIT_FORMS for form in line.split()]
    assert len(forms) == len(set(forms)) == len(words.UNITS)
    assert words.UNITS["kilometres"] == words.UNITS["kilometers"] == words.UNITS["km"] == "km"


def test_all_words_are_written_as_texts_are_compared() -> None:
    tables = (words.SMALL, words.TENS, words.SCALES, words.ORDINALS, words.QUANTITIES, words.ROMAN, words.UNITS)
    for table in (*tables, words.NEGATIONS, words.BARE_CONTRACTIONS):
        assert all(word == word.lower().strip() and "'" not in word for word in table)
