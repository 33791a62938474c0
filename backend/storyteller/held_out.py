"""The prompts that judge the model: none of them, and no hero's name in them, occurs in training.

Three kinds in turn: a story's first line, a request, and lines in a person's own words with people, places and wishes
that the grammar does not know.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from backend.storyteller import prompts, stories, words
from backend.storyteller.grammar import expand

OWN_WORDS = (
    "There was a dog named {N} who lived in Montevideo.",
    "Once upon a time, in a land of eternal ice, lived {N}, a mapmaker's child.",
    "Tell me a story about {N}, who repairs satellites.",
    "Please write something for my daughter about a hedgehog called {N} who misses the bus.",
    "{N} had never seen a computer before.",
    "It was the last day of school, and {N} was late.",
    "Deep under the sea lived a jellyfish named {N}.",
    "My grandfather {N} built a submarine in our garage.",
    "Do you know the one about {N} and the stolen bicycle?",
    "I would love to hear how {N} the tractor learned to climb a hill.",
    "{N} stood on the roof and counted the satellites.",
    "A wizard called {N} has lost his spectacles. What happens?",
    "In the year 2300, on a space station near Saturn, lived an engineer named {N}.",
    "Short story, please: {N}, a tired barista, wants to see Patagonia.",
    "The postman brought {N} a parcel that ticked.",
    "Once there was a very small volcano whose name was {N}.",
    "Nobody had told {N} about the elevator.",
    "Tell my son a story about {N}, an accountant who wanted to be a pirate.",
    "When the electricity failed, {N} lit a match.",
    "Long ago, before there were roads, a woman called {N} tamed the first reindeer.",
)


@dataclass(frozen=True)
class Prompt:
    """What is asked, the name it gives to its hero (None when the story is free to choose), and its kind."""

    text: str
    hero: str | None
    kind: str


def prompt_of(seed: int) -> Prompt:
    """The prompt of one seed: 2 of 5 are first lines, 2 of 5 requests, 1 of 5 in somebody's own words."""
    rng = random.Random(10_000_019 + seed)
    turn = seed % 5
    if turn < 2:
        story = stories.tell(rng, unseen=True)
        return Prompt(story.parts[0], story.slots["N"], "first line")
    if turn < 4:
        topic, subject = prompts.pick_topic(rng, unseen=True)
        while topic.name is None:
            topic, subject = prompts.pick_topic(rng, unseen=True)
        return Prompt(prompts.request(rng, prompts.ASK, subject), topic.name, "request")
    name = words.pick_name(rng, hers=rng.random() < 0.5, unseen=True)
    text = OWN_WORDS[(seed // 5) % len(OWN_WORDS)]
    return Prompt(expand(text, {"N": name}, {}, rng), name, "own words")
