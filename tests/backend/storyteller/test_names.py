from __future__ import annotations

from backend.storyteller.names import begins_with_name, keeps_hero, names, ordinary_words, strangers

STORY = (
    "Once there was a fox named Rilla. She lived in Paris. But Rilla was sad. On Monday she met an old heron named "
    'Bosto. "Fly," said Bosto. Rilla flew, and never forgot Bosto.'
)


def test_names_are_found_in_order_and_days_are_none() -> None:
    assert names(STORY) == ["Rilla", "Paris", "Bosto"]


def test_a_word_at_a_sentences_start_is_a_name_when_the_grammar_does_not_know_it() -> None:
    assert names("Zoltan ran. Once he fell. More than anything, he ran.") == ["Zoltan"]


def test_the_start_of_speech_is_no_name() -> None:
    assert names('He sighed. "Patience," said the owl. "Sit down."') in ([], ["Patience"])
    assert names('"Sit down," said the owl.') == []


def test_who_was_introduced_is_no_stranger() -> None:
    assert strangers("", STORY, "Rilla") == []


def test_a_name_out_of_nowhere_is_a_stranger() -> None:
    assert strangers("", STORY.replace("said Bosto", "said Kemp"), "Rilla") == ["Kemp"]


def test_a_name_that_drifts_is_a_stranger() -> None:
    assert strangers("", STORY.replace("Rilla flew", "Rillo flew"), "Rilla") == ["Rillo"]


def test_the_prompt_introduces() -> None:
    assert strangers("Tell me about kemp.", "Kemp was a cook. Kemp cooked.", None) == []


def test_the_hero_is_kept_when_still_named_in_the_second_half() -> None:
    assert keeps_hero(STORY, "Rilla")
    assert not keeps_hero(STORY.replace("Rilla flew", "She flew"), "Rilla")
    assert not keeps_hero("Rilla came. " + "Then it rained. " * 20, "Rilla")


def test_ordinary_words_hold_no_names() -> None:
    assert {"said", "baker", "hedgehogs"} <= ordinary_words()
    assert not {"bosto", "rilla", "london", "charlie"} & ordinary_words()


def test_a_name_at_the_start_of_a_paragraph_is_seen() -> None:
    assert begins_with_name("Rex was a dog.")
    assert begins_with_name("I only know stories, and here is one.\n\nRex was a dog.")
    assert begins_with_name('"Rexatty?" she asked.')
    assert not begins_with_name("Once there was a dog named Rex. Rex lived in Rome.")
    assert not begins_with_name("On Monday, Rex woke up.")
