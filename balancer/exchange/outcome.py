"""What is told of an exchange: at the door when its answer begins and ends, and to those who keep count.

Each writes its own ``__init__``: `balancer.request` says why.
"""

from __future__ import annotations

from dataclasses import dataclass

from balancer.request import Request


@dataclass(init=False, slots=True)
class Outcome:
    """How a complete answer came about. Times in seconds."""

    model: str
    backend: str
    """The backend that made the answer, also where the cache gave it."""
    cache: str
    """miss | exact | semantic | joined | shadow | bypass | off"""
    attempts: int
    queue_s: float
    ttft_s: float
    total_s: float
    similarity: float | None
    age_s: float | None
    entry: str | None
    """The cache entry that answered."""
    resumed: int
    """How often another backend went on with it."""
    probability: float | None
    """That a semantic answer is right, where the learned verdict judged."""

    def __init__(
        self,
        model: str,
        backend: str,
        cache: str,
        attempts: int,
        queue_s: float,
        ttft_s: float,
        total_s: float,
        similarity: float | None = None,
        age_s: float | None = None,
        entry: str | None = None,
        resumed: int = 0,
        probability: float | None = None,
    ) -> None:
        self.model = model
        self.backend = backend
        self.cache = cache
        self.attempts = attempts
        self.queue_s = queue_s
        self.ttft_s = ttft_s
        self.total_s = total_s
        self.similarity = similarity
        self.age_s = age_s
        self.entry = entry
        self.resumed = resumed
        self.probability = probability


@dataclass(init=False, slots=True)
class Record:
    """What became of one request, for those who keep count. Times in seconds."""

    request: Request
    model: str
    backend: str
    """Who answered, or was asked last; empty if nobody was."""
    outcome: str
    """completed | cancelled | the code of a failure"""
    status: int
    """In HTTP's terms."""
    cache: str
    attempts: int
    resumed: int
    queue_s: float
    ttft_s: float | None
    total_s: float
    prompt_tokens: int | None
    completion_tokens: int | None

    def __init__(
        self,
        request: Request,
        model: str,
        backend: str,
        outcome: str,
        status: int,
        cache: str,
        attempts: int,
        resumed: int,
        queue_s: float,
        ttft_s: float | None,
        total_s: float,
        prompt_tokens: int | None,
        completion_tokens: int | None,
    ) -> None:
        self.request = request
        self.model = model
        self.backend = backend
        self.outcome = outcome
        self.status = status
        self.cache = cache
        self.attempts = attempts
        self.resumed = resumed
        self.queue_s = queue_s
        self.ttft_s = ttft_s
        self.total_s = total_s
        self.prompt_tokens = prompt_tokens
        self.completion_tokens = completion_tokens


@dataclass(init=False, slots=True)
class Opening:
    """Who answers, known when the answer begins."""

    backend: str
    cache: str
    attempts: int
    similarity: float | None
    age_s: float | None
    resumed: int
    """How often another backend went on with it."""
    probability: float | None
    entry: str | None
    """The cache entry that answers."""
    model: str
    """Who of several answers, where the request's name may mean several; else empty."""
    explanation: str
    """Why this backend, as ASCII JSON; empty where nobody may know."""

    def __init__(
        self,
        backend: str,
        cache: str,
        attempts: int,
        similarity: float | None = None,
        age_s: float | None = None,
        resumed: int = 0,
        probability: float | None = None,
        entry: str | None = None,
        model: str = "",
        explanation: str = "",
    ) -> None:
        self.backend = backend
        self.cache = cache
        self.attempts = attempts
        self.similarity = similarity
        self.age_s = age_s
        self.resumed = resumed
        self.probability = probability
        self.entry = entry
        self.model = model
        self.explanation = explanation
