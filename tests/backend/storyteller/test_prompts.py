from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from backend.storyteller.prompts import conversation, first_exchange, pick_topic, pick_wish, wish_phrase

seeds = st.integers(min_value=0, max_value=10**9)


@given(seeds)
def test_a_conversation_ends_with_the_storyteller_and_nobody_is_silent(seed: int) -> None:
    turns = conversation(random.Random(seed))
    assert turns[-1].said
    assert all(turn.text.strip() == turn.text and turn.text for turn in turns)
    assert not any(set(turn.text) & set("{}[]|") for turn in turns)


@given(seeds)
def test_what_is_asked_for_stands_in_the_story(seed: int) -> None:
    topic, subject = pick_topic(random.Random(seed))
    for part in (topic.name, topic.place):
        assert part is None or part in subject


@given(seeds)
def test_a_topic_held_out_gives_a_name_held_out(seed: int) -> None:
    from backend.storyteller.words import held_out

    topic, _ = pick_topic(random.Random(seed), unseen=True)
    assert topic.name is None or held_out(topic.name)


def test_a_wish_is_a_verb_phrase() -> None:
    assert wish_phrase(("lost", "thing", "old map")) == "find the lost old map"
    assert wish_phrase(("making", "making", "umbrella")) == "build an umbrella"
    assert wish_phrase(("skill", "skill", "hug a whale")) == "hug a whale"


def test_wishes_are_many() -> None:
    rng = random.Random(1)
    assert len({wish_phrase(pick_wish(rng)) for _ in range(2000)}) > 600


def test_most_first_exchanges_are_stories_or_requests_for_one() -> None:
    rng = random.Random(8)
    lengths = [len(first_exchange(rng)[0]) for _ in range(300)]
    assert set(lengths) == {1, 2}
    assert 0.3 < lengths.count(1) / len(lengths) < 0.5
