"""The engine port: what a generation request is, what an engine yields for it, what it tells of its load.

An engine is used from the event loop's thread only. Whatever it does elsewhere, it calls a sink there, and between
`Sink.started` and the piece with a finish reason nothing else ends a generation, except one `Sink.failed`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, Protocol

from backend.errors import BackendError

FinishReason = Literal["stop", "length", "cancelled"]

TOKEN_IDS: Final = "token_ids"
"""Ability: prompts may be token ids, and `return_token_ids` is answered."""
CONTINUE_FROM: Final = "continue_from"
"""Ability: an answer that another engine began is continued where it broke off, as that engine would have."""
CONTINUE_FINAL_MESSAGE: Final = "continue_final_message"
"""Ability: a partial assistant message at the end of a conversation is continued, not answered."""

STUCK_MS: Final = 10_000
"""Work, be it running or only waiting, and no step for this long is stuck: where nothing runs, nothing holds it up."""


@dataclass(frozen=True, slots=True)
class Message:
    role: str
    content: str


@dataclass(frozen=True, slots=True)
class TextPrompt:
    """A text to go on from."""

    text: str


@dataclass(frozen=True, slots=True)
class TokensPrompt:
    """Token ids of the model's own tokenizer to go on from."""

    token_ids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ChatPrompt:
    """A conversation to answer; with ``continue_final`` its last message (a partial answer) is gone on with."""

    messages: tuple[Message, ...]
    continue_final: bool = False
    add_generation_prompt: bool = True


Prompt = TextPrompt | TokensPrompt | ChatPrompt


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """How the next token is drawn and when to stop. ``None``: the model's own default, else the OpenAI API's.

    ``max_tokens`` ``None`` means the rest of the context, and more than that is cut to it. ``temperature`` 0 takes
    the most likely token. ``top_k`` 0 means all. With a ``seed`` the same request gives the same text again.
    """

    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    seed: int | None = None
    stop: tuple[str, ...] = ()
    repetition_penalty: float | None = None
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    ignore_eos: bool = False
    """Go on to ``max_tokens`` whatever the model says: for benchmarks."""


@dataclass(frozen=True, slots=True)
class SoFar:
    """What an answer's reader has of it already: the beginning of an answer to be gone on with.

    ``token_ids`` are those that made ``text``, in this model's tokenizer; none where they are not known.
    """

    text: str = ""
    token_ids: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerationRequest:
    """``sampling.max_tokens`` counts what is still to be made, behind ``so_far``."""

    prompt: Prompt
    sampling: Sampling = Sampling()
    so_far: SoFar = SoFar()


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens read and made; the end-of-text token counts as made, and so does what was said before (`SoFar`)."""

    prompt_tokens: int
    completion_tokens: int


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of an answer. Whole characters only, and earlier text never changes.

    Text is released token by token: after every piece but the last, the text so far is exactly that of the token ids
    so far, so another engine can go on from either.
    """

    text: str
    token_ids: tuple[int, ...]
    finish_reason: FinishReason | None = None
    usage: Usage | None = None
    """Set together with ``finish_reason``."""


class Sink(Protocol):
    """Where a generation goes; called in the event loop's thread."""

    def started(self, prompt_token_ids: Sequence[int]) -> None:
        """The prompt was accepted; comes once, before the first piece."""

    def piece(self, piece: Piece) -> None: ...

    def failed(self, error: BackendError) -> None:
        """The generation is over without an answer, or without the rest of one. Nothing comes after it."""


class Generation(Protocol):
    """A submitted request."""

    def cancel(self) -> None:
        """Stop within one token. The sink still gets its last piece, with finish reason ``cancelled``."""


@dataclass(frozen=True, slots=True)
class EngineInfo:
    """What an engine says of itself, for `/v1/models` and the registration."""

    engine: str
    model: str
    max_model_len: int
    """Context in tokens, prompt and answer together."""
    abilities: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class EngineLoad:
    """An engine's load at this moment; counts are requests or tokens."""

    running: int = 0
    waiting: int = 0
    prefill_tokens_running: int = 0
    prefill_tokens_waiting: int = 0
    kv_tokens_used: int = 0
    kv_tokens_total: int = 0
    tokens_per_s: float = 0.0
    ms_since_step: int = 0
    """Since the engine last made progress; 0 while it has nothing to do."""
    ready: bool = True
    """Whether it takes work at all: a foreign engine may be gone while its agent lives."""

    @property
    def stuck(self) -> bool:
        """Beating for a stuck engine must not make it look alive: such an engine is not ready."""
        return self.running + self.waiting > 0 and self.ms_since_step >= STUCK_MS


class Engine(Protocol):
    """What generates tokens."""

    @property
    def info(self) -> EngineInfo:
        """Known once `start` has returned."""

    async def start(self) -> None:
        """Load what is needed; must not block the event loop. Raises `EngineUnavailable`."""

    def submit(self, request: GenerationRequest, sink: Sink) -> Generation:
        """Queue a request; everything about it comes through the sink, later than this call."""

    def load(self) -> EngineLoad: ...

    async def close(self) -> None:
        """Cancel what runs, tell its sinks, free what was taken."""
