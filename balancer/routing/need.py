"""What a request asks of a backend, as routing sees it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

_SESSION_FIELDS: Final = ("prompt_cache_key", "user")
BYTES_A_TOKEN = 4
"""Of English text. Speeds are learned in the same unit, so where it is wrong it is wrong on both sides."""


@dataclass(init=False, slots=True)
class RouteNeed:
    """What a request asks of a backend. Its own ``__init__``: see `balancer.request`."""

    model: str
    endpoint: str
    """ "chat", "completions", "embeddings" or "responses"."""
    prompt_bytes: int
    exclude: frozenset[str]
    """Processes (`BackendSpec.process`) that failed this request already."""
    named: bool
    """The client named the model; else it is the default, and a backend that cannot name its model will do."""
    resume: bool
    """An answer that another backend began is to be continued: only who can go on from a text will do."""
    session: str
    """What the requests of one conversation or user have in common; empty if nothing is known."""
    blocks: Sequence[int]
    """The prompt's chained block hashes (`blocks.py`), for a policy that `wants_blocks`."""

    def __init__(
        self,
        model: str,
        endpoint: str,
        prompt_bytes: int = 0,
        exclude: frozenset[str] = frozenset(),
        named: bool = True,
        resume: bool = False,
        session: str = "",
        blocks: Sequence[int] = (),
    ) -> None:
        self.model = model
        self.endpoint = endpoint
        self.prompt_bytes = prompt_bytes
        self.exclude = exclude
        self.named = named
        self.resume = resume
        self.session = session
        self.blocks = blocks

    @property
    def prompt_tokens(self) -> int:
        """An estimate."""
        return self.prompt_bytes // BYTES_A_TOKEN


def session_of(body: dict[str, Any]) -> str:
    """What requests of a session have in common, in the OpenAI dialect: `prompt_cache_key`, else `user`; else empty."""
    for name in _SESSION_FIELDS:
        if name in body and isinstance(value := body[name], str) and value:
            return value
    return ""
