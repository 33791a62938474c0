from __future__ import annotations

import random
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.storyteller import names, plots, words
from backend.storyteller.plot import Plot
from backend.storyteller.stories import Topic, count_stories, pick_kind, sequel, tell

seeds = st.integers(min_value=0, max_value=10**9)


@given(seeds)
def test_the_same_seed_tells_the_same_story(seed: int) -> None:
    assert tell(random.Random(seed)) == tell(random.Random(seed))


def test_the_grammar_can_tell_a_thousand_million_stories_and_many_more() -> None:
    assert count_stories() >= 10**9


def test_a_thousand_seeds_tell_a_thousand_stories() -> None:
    assert len({tell(random.Random(seed)).text for seed in range(1000)}) == 1000


@given(seeds)
def test_a_story_is_whole(seed: int) -> None:
    story = tell(random.Random(seed))
    assert not set(story.text) & set("{}[]|")
    assert "  " not in story.text
    assert story.text[0].isupper() or story.text[0] == '"'
    assert story.text[-1] in '.!?"'
    assert 60 <= len(story.text.split()) <= 260
    assert story.text.count('"') % 2 == 0


@given(seeds)
def test_the_hero_stays_and_nobody_comes_unintroduced(seed: int) -> None:
    story = tell(random.Random(seed))
    assert story.slots["N"] in story.parts[0]
    assert names.strangers("", story.text, story.slots["N"]) == []
    assert story.slots["H"] != story.slots["N"]


@given(seeds)
def test_before_anybody_else_comes_in_the_pronouns_are_the_heros(seed: int) -> None:
    story = tell(random.Random(seed))
    others = {"she": {"he", "his", "him"}, "he": {"she", "her"}}[story.slots["they"]]
    for part in story.parts[1:4]:
        if story.slots["H"] in part:
            break
        assert not others & set(re.findall(r"[a-z]+", part.lower())), part


@given(seeds)
def test_articles_fit(seed: int) -> None:
    text = tell(random.Random(seed)).text
    assert not re.search(r"\b[Aa]n (?![aeiouAEIOU])", text), text
    assert not re.search(r"\b[Aa] (?=[aei])", text), text


@given(seeds)
def test_what_is_asked_for_is_told(seed: int) -> None:
    topic = Topic(name="Fintan", kind="otter", hers=False, place="Galway", wish=("skill", "skill", "paint a whale"))
    story = tell(random.Random(seed), topic)
    assert story.plot == "skill"
    for word in ("Fintan", "otter", "Galway", "paint a whale"):
        assert word in story.text


@pytest.mark.parametrize("plot", plots.PLOTS, ids=lambda plot: plot.name)
def test_every_plot_can_be_asked_for(plot: Plot) -> None:
    slot, values = next(iter(plot.themes.items()))
    assert tell(random.Random(1), Topic(wish=(plot.name, slot, values[0]))).plot == plot.name


@given(seeds)
def test_a_sequel_keeps_hero_and_helper(seed: int) -> None:
    rng = random.Random(seed)
    story = tell(rng)
    more = sequel(rng, story)
    assert (more.slots["N"], more.slots["H"]) == (story.slots["N"], story.slots["H"])
    assert more.text != story.text


def test_a_kind_fits_the_gender() -> None:
    rng = random.Random(2)
    assert not {pick_kind(rng, hers=False) for _ in range(1500)} & set(words.HER_KINDS)
    assert not {pick_kind(rng, hers=True) for _ in range(1500)} & set(words.HIS_KINDS)
