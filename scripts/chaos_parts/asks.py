"""What is asked: on every door, streamed or whole, long or short, and what the echo engine must say to it."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any, Final, Literal

Door = Literal["native", "http", "classic"]
Endpoint = Literal["chat", "completions"]

MODEL: Final = "echo"
_WORDS: Final = (
    "fox",
    "Grüße",
    "東京",
    "🚀",
    "well",
    "naïve",
    "line",
    "of",
    "a",
    "story",
    "Ωmega",
    "l'été",
    "to",
    "be",
)
_STREAMED_TOKENS: Final = (40, 160)
_WHOLE_TOKENS: Final = (5, 25)
"""A whole answer is nothing until it is all there: asked again, it begins anew."""
_KINDS: Final[tuple[tuple[Door, Endpoint, bool], ...]] = (
    ("native", "completions", True),
    ("native", "chat", True),
    ("http", "completions", True),
    ("http", "chat", True),
    ("http", "completions", False),
    ("http", "chat", False),
    ("classic", "completions", False),
)


@dataclass(frozen=True)
class Ask:
    """One request, and the only right answer to it."""

    number: int
    door: Door
    endpoint: Endpoint
    stream: bool
    prompt: str
    tokens: int
    """How long the answer is to be."""
    named: bool
    """It names the model."""

    @property
    def kind(self) -> str:
        whole = "" if self.stream or self.door == "classic" else " whole"
        return self.door if self.door == "classic" else f"{self.door} {self.endpoint}{whole}"

    @property
    def expected(self) -> str:
        """The echo engine says the prompt; told to ignore its end, it goes round."""
        if self.door == "classic":
            return self.prompt
        words = self.prompt.split(" ")
        return "".join(f" {words[i % len(words)]}" for i in range(self.tokens))

    @property
    def body(self) -> dict[str, Any]:
        """In the OpenAI dialect, without the fields that are a door's own."""
        if self.endpoint == "chat":
            said: dict[str, Any] = {"messages": [{"role": "user", "content": self.prompt}]}
        else:
            said = {"prompt": self.prompt}
        model = {"model": MODEL} if self.named or self.door == "http" else {}
        return {**model, **said, "max_tokens": self.tokens, "ignore_eos": True}


def make_ask(rng: random.Random, number: int) -> Ask:
    """One of all kinds; no prompt comes twice."""
    door, endpoint, stream = _KINDS[number % len(_KINDS)]
    tokens = rng.randint(*(_STREAMED_TOKENS if stream else _WHOLE_TOKENS))
    length = tokens if door == "classic" else rng.randint(5, 30)
    words = [f"n{number}", *(rng.choice(_WORDS) for _ in range(length - 1))]
    return Ask(number, door, endpoint, stream, " ".join(words), tokens, named=rng.random() < 0.5)
