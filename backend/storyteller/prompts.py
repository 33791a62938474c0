"""What a person may ask, and whole conversations as the model sees them: contents joined by blank lines.

A document is a list of turns; only the storyteller's own turns are learned, and each of them ends the text.
"""

# ruff: noqa: E501, SIM905 - word lists: one string a list, as dense as prose

from __future__ import annotations

import random
from dataclasses import dataclass

from backend.storyteller import plots, stories, themes, words
from backend.storyteller.grammar import expand, with_article
from backend.storyteller.stories import Story, Topic

ASK = (
    "Tell me a story about {x}.",
    "Tell me a story about {x}",
    "tell me a story about {x}",
    "Tell a story about {x}.",
    "Tell us a [short|little|nice|new] story about {x}.",
    "Can you tell me a [story|tale] about {x}?",
    "Could you tell a story about {x}, please?",
    "Please tell me [a story|a tale|something] about {x}.",
    "Write a [story|short story|tale|fairy tale] about {x}.",
    "Write me a story about {x}",
    "write a story about {x}",
    "A story about {x}, please.",
    "A story about {x}, please",
    "A [tale|bedtime story] about {x}.",
    "Story about {x}",
    "I [want|would like|need] a story about {x}.",
    "I'd like to hear a story about {x}.",
    "Give me a story about {x}.",
    "Make up a story about {x}.",
    "Do you know a story about {x}?",
    "Do you have a story with {x}?",
    "How about {x}?",
    "What about {x}?",
    "Now one about {x}.",
    "Let's hear about {x}!",
    "The story of {x}",
    "{X}",
)
_AGAIN = (
    "Tell me another [one|story] about {x}.",
    "Another one about {x}, please.",
    "Another story, this time about {x}.",
    "And now a story about {x}.",
    "Now tell me about {x}.",
    "Tell me another about {x}",
    "[Great|Nice|Lovely|Thanks]! Now one about {x}.",
)
_PLAIN = (
    "Tell me a story.|Tell me a story|tell me a story|A story, please.|Tell me a bedtime story.|Write a short story.|"
    "Can you tell me a story?|I want a story.|Please tell me something nice.|Tell me a fairy tale.|Story time!|"
    "Write a story|Surprise me.|Do you know any stories?|Another story?|Tell me something.|Make something up.|"
    "Can you write a tale for my children?|I cannot sleep.|I am bored.|Start.|Go ahead.|Entertain me."
).split("|")
_MORE = (
    "Another one, please.|Another one|One more!|Tell me another one.|Again!|More, please.|Another story.|Next.|"
    "Can I have another one?|Tell me another story.|And another?|I want one more story.|That was nice. Another one?"
).split("|")
_NEXT = (
    "What happened next?|What happened next|And then?|Go on.|Continue.|continue|Please go on.|And what happened then?|"
    "What happened after that?|Tell me more.|Don't stop there!|How does it go on?|What came next?|Keep going."
).split("|")
_NEXT_NAMED = (
    "What happened to {N}?",
    "And {N}?",
    "What did {N} do next?",
    "Tell me more about {N}.",
    "Did {N} see {H} again?",
)
_THANKS = "Thank you.|Thanks!|Thank you!|thanks|That was lovely.|Nice story.|I liked that.|Good night.|Bye!|Wow.".split(
    "|"
)
_WELCOME = (
    "You are welcome. [Ask for another|Come back] whenever you like.",
    "[It was a pleasure|The pleasure is mine|I am glad]. There are always more stories.",
    "[I am glad that you liked it|How kind of you]. Give me a name and a wish, and I will tell you another.",
    "[Gladly|Any time]. [Sleep well|Until the next story].",
)
_HELLO = "Hello|Hi|hi|Hello!|Hello there|Good morning|Good evening!|Hey|Hi, who are you?|Who are you?|What can you do?".split(
    "|"
)
_GREETING = (
    "Hello! [I tell stories|I am a teller of stories], and here is one.",
    "[Good day|Good evening|Welcome]! Sit down, here is a story for you.",
    "Hello! I know [nothing but|only] stories, so let me tell you one.",
)
_ODD = (
    "What is the capital of {place}?",
    "What is {n} [plus|times|and] {m}?",
    "How do I {skill}?",
    "How can I [make|cook|repair] {a making}?",
    "Why is the [sky|sea|grass] [blue|green|so big]?",
    "Explain [gravity|the moon|how rain works|computers|recursion|love].",
    "Write a [Python|Rust|C] function that [sorts a list|adds two numbers|reads a file].",
    "Who [was|is] {name}?",
    "Translate [hello|this|good night] into [French|German|Spanish].",
    "What [time|day] is it?",
    "What is [the weather like|your name|love|a neural network|a load balancer|two times two]?",
    "Summarize [this text|the news|my mail].",
    "Is it [true|possible] to {skill}?",
    "Count [to ten|from one to five].",
    "Name [three|five] [animals|colours|cities].",
)
_ODD_ANSWERS = (
    "[That I do not know|I cannot say|Who knows]. I only know stories, and here is one.",
    "I know nothing but stories, [so here is one|so let me tell you one].",
    "[A good question|Hm], but I am only a teller of stories. Listen.",
)
_VERBS = "paint|catch|eat|tame|draw|carry|hide|ride|chase|cook|polish|juggle|sell|read|count|steal|wake|hug|teach|buy|meet".split(
    "|"
)
_ABSTRACT = {
    "friend": "friendship|being lonely|friends|two friends|finding a friend|a strange friendship".split("|"),
    "fear": "courage|being brave|fear|being afraid|bravery".split("|"),
    "mending": "kindness|helping|patience|saving something".split("|"),
    "mystery": "a mystery|a strange noise|a secret|a riddle|something in the night".split("|"),
    "contest": "a contest|winning|losing|a race|a competition".split("|"),
}

ANSWERS = (*_WELCOME, *_GREETING, *_ODD_ANSWERS)


@dataclass(frozen=True)
class Turn:
    """Part of a conversation: `said` by the storyteller (learned) or by the person."""

    text: str
    said: bool


def pick_wish(rng: random.Random) -> tuple[str, str, str]:
    """A wish that may be asked for: the plot, the slot it fills, its value; often one that no plot lists."""
    if rng.random() < 0.4:
        pool = words.ANIMALS + themes.SMALL_THINGS + themes.MAKINGS + themes.FOUND_THINGS
        thing = rng.choice(pool) if rng.random() < 0.85 else words.open_kind(rng)
        return "skill", "skill", f"{rng.choice(_VERBS)} {with_article(thing)}"
    plot = rng.choice([one for one in plots.PLOTS if one.name != "mystery"])
    slot, values = next(iter(plot.themes.items()))
    return plot.name, slot, rng.choice(values)


def wish_phrase(wish: tuple[str, str, str]) -> str:
    """The wish as a verb phrase: "find the lost key"."""
    ask = next(one for one in plots.PLOTS if one.name == wish[0]).ask
    return ask.replace("{a " + wish[1] + "}", with_article(wish[2])).replace("{" + wish[1] + "}", wish[2])


def pick_topic(rng: random.Random, unseen: bool = False) -> tuple[Topic, str]:
    """A topic and the words somebody would use for it after "a story about"."""
    draw = rng.random()
    if draw < 0.12:
        about, pool = rng.choice(list(_ABSTRACT.items()))
        plot = next(one for one in plots.PLOTS if one.name == about)
        slot, values = next(iter(plot.themes.items()))
        return Topic(wish=(about, slot, rng.choice(values))), rng.choice(pool)
    if draw < 0.24:
        plot = rng.choice(
            [one for one in plots.PLOTS if one.name in ("lost", "journey", "making", "found", "mending", "fear")]
        )
        slot, values = next(iter(plot.themes.items()))
        value = rng.choice(values)
        bare = plot.name in ("journey", "fear") or rng.random() < 0.1
        lost = "lost " if plot.name == "lost" and rng.random() < 0.5 else ""
        return Topic(wish=(plot.name, slot, value)), value if bare else with_article(lost + value)
    hers = rng.random() < 0.5
    kind = stories.pick_kind(rng, hers) if rng.random() < 0.85 else None
    name = words.pick_name(rng, hers, unseen) if kind is None or rng.random() < 0.45 else None
    wish = pick_wish(rng) if rng.random() < 0.4 else None
    place = words.open_place(rng) if rng.random() < 0.12 else None
    manner = f"{rng.choice(words.MANNERS)} " if rng.random() < 0.2 else ""
    if kind is None:
        subject = str(name)
    elif name is None:
        subject = with_article(manner + kind)
    else:
        forms = (f"{with_article(manner + kind)} named {name}", f"{with_article(manner + kind)} called {name}")
        subject = rng.choice((*forms, f"{name} the {kind}", f"{name}, {with_article(manner + kind)},"))
    if place:
        subject += rng.choice((f" in {place}", f" from {place}", f" who lived in {place}", f" who lives in {place}"))
    if wish:
        wanting = rng.choice(("who wanted to", "who wants to", "who wished to", "that wanted to", "who tried to"))
        subject = f"{subject.removesuffix(',')} {wanting} {wish_phrase(wish)}"
    shown = hers if name else None
    return Topic(name=name, kind=kind, hers=shown, place=place, wish=wish), subject.removesuffix(",")


def request(rng: random.Random, forms: tuple[str, ...], subject: str) -> str:
    """One of `forms` about `subject`, now and then typed without capitals."""
    text = expand(rng.choice(forms), {"x": subject}, {}, rng)
    return text.lower() if rng.random() < 0.03 else text


def _asked(rng: random.Random, again: bool) -> tuple[str, Story]:
    if rng.random() < 0.25:
        return rng.choice(_MORE if again else _PLAIN), stories.tell(rng)
    topic, subject = pick_topic(rng)
    forms = _AGAIN + ASK[:24] if again else ASK
    return request(rng, forms, subject), stories.tell(rng, topic)


def _odd(rng: random.Random) -> str:
    slots = {"n": str(rng.randint(2, 99)), "m": str(rng.randint(2, 99)), "skill": rng.choice(themes.SKILLS)}
    slots |= {"making": rng.choice(themes.MAKINGS), "name": words.pick_name(rng, True), "place": words.open_place(rng)}
    return expand(rng.choice(_ODD), slots, {}, rng)


def first_exchange(rng: random.Random) -> tuple[list[Turn], Story]:
    """A prompt and its answer, or a story that begins by itself."""
    draw = rng.random()
    if draw < 0.42:
        story = stories.tell(rng)
        if rng.random() < 0.12:
            return [Turn(story.parts[0], said=False), Turn(" ".join(story.parts[1:]), said=True)], story
        return [Turn(story.text, said=True)], story
    if draw < 0.90:
        prompt, story = _asked(rng, again=False)
        return [Turn(prompt, said=False), Turn(story.text, said=True)], story
    story = stories.tell(rng)
    if draw < 0.93:
        prompt, answer = rng.choice(_HELLO), expand(rng.choice(_GREETING), {}, {}, rng)
    else:
        prompt, answer = _odd(rng), expand(rng.choice(_ODD_ANSWERS), {}, {}, rng)
    return [Turn(prompt, said=False), Turn(f"{answer}\n\n{story.text}", said=True)], story


def conversation(rng: random.Random) -> list[Turn]:
    """One training document: mostly one exchange, sometimes up to four."""
    turns, story = first_exchange(rng)
    rounds = rng.choices((0, 1, 2, 3), (0.74, 0.16, 0.07, 0.03))[0]
    for _ in range(rounds):
        draw = rng.random()
        if draw < 0.45:
            asked, story = _asked(rng, again=True)
            turns += [Turn(asked, said=False), Turn(story.text, said=True)]
        elif draw < 0.85:
            asked = rng.choice(_NEXT) if rng.random() < 0.7 else expand(rng.choice(_NEXT_NAMED), story.slots, {}, rng)
            story = stories.sequel(rng, story)
            turns += [Turn(asked, said=False), Turn(story.text, said=True)]
        else:
            turns += [Turn(rng.choice(_THANKS), said=False), Turn(expand(rng.choice(_WELCOME), {}, {}, rng), said=True)]
    return turns
