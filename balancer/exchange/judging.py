"""Who says whether a backend's answer agrees with the entry's: its words where they are few, or a model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple, Protocol

from balancer.cache.answers import (
    JUDGE_TOKENS_MAX,
    comparable,
    is_short,
    judge_prompt,
    said_yes,
    same_words,
)
from balancer.cache.observations import EQUAL, RIGHT, WRONG
from balancer.exchange.background import BackgroundRequest, has_idle_slot
from balancer.exchange.dispatcher import Dispatcher
from balancer.exchange.journal import Answer
from balancer.request import Request

UNDECIDED: Final = -1
"""What a judge has found who was asked and said nothing of use."""
JUDGING_S: Final = 30.0


class Pair(NamedTuple):
    """What is to be compared."""

    tenant: str
    question: str
    known: str
    """The entry's answer."""
    fresh: str
    """The backend's."""


class Judge(Protocol):
    """``judge`` tells EQUAL, RIGHT or WRONG of `balancer.cache.observations`, UNDECIDED, or ``None``: it could not be
    asked."""

    name: str
    free: bool
    """It asks nobody."""

    def takes(self, known: str) -> bool:
        """Whether entries with this answer can be judged at all: decided before the other answer is known."""

    def ready(self) -> bool:
        """Whether it can be asked now."""

    def judge(self, id: str, pair: Pair, callback: Callable[[int | None], None]) -> BackgroundRequest | None:
        """The callback hears once, perhaps from within; what is returned can be cancelled."""


class WordsJudge:
    """Compares short answers word by word; of others it can't say anything."""

    name = "words"
    free = True

    def takes(self, known: str) -> bool:
        return is_short(known)

    def ready(self) -> bool:
        return True

    def judge(self, id: str, pair: Pair, callback: Callable[[int | None], None]) -> BackgroundRequest | None:
        callback(RIGHT if same_words(pair.known, pair.fresh) else WRONG)
        return None


class ModelJudge:
    """Asks a model of the pool, where the words alone do not tell that both answers are the same."""

    free = False

    def __init__(self, dispatcher: Dispatcher, model: str) -> None:
        self.name = model
        self._dispatcher = dispatcher

    def takes(self, known: str) -> bool:
        return comparable("", known, "")

    def ready(self) -> bool:
        return has_idle_slot(self._dispatcher, self.name, "chat")

    def judge(self, id: str, pair: Pair, callback: Callable[[int | None], None]) -> BackgroundRequest | None:
        if same_words(pair.known, pair.fresh):
            callback(EQUAL)
            return None
        if not comparable(pair.question, pair.known, pair.fresh) or not self.ready():
            callback(None)
            return None
        prompt = judge_prompt(pair.question, pair.known, pair.fresh)
        body = {
            "model": self.name,
            "messages": [{"role": "user", "content": prompt}],
            "temperature": 0,
            "max_tokens": JUDGE_TOKENS_MAX,
        }
        size_bytes = len(prompt.encode("utf-8", "surrogatepass"))
        request = Request(
            id,
            pair.tenant,
            "chat",
            body,
            size_bytes,
            self.name,
            cache="bypass",
            deadline_s=JUDGING_S,
            resumable=False,
        )

        background = BackgroundRequest(lambda answer: callback(_found(answer)))
        background.begin(self._dispatcher, request)
        return background


def _found(answer: Answer | None) -> int | None:
    if answer is None:
        return None
    said = said_yes(answer.text)
    return UNDECIDED if said is None else RIGHT if said else WRONG
