"""One request, as all rooms see it: made once by a door, frozen, read by cache, admission, routing and upstream."""

from __future__ import annotations

from typing import Any, NamedTuple


class Wishes(NamedTuple):
    """What only few requests ask for."""

    model: str | None = None
    """The one that shall answer, of those that the named one may mean."""
    fallback: bool = True
    """Another model may answer where this one cannot and the operator has said so."""
    explain: bool = False
    """Tell why it went where it went; whoever may not ask for that has asked in vain."""


class Request(NamedTuple):  # made in half the time of a frozen dataclass
    """``body`` is the request in the OpenAI dialect, without what concerns only the balancer."""

    id: str
    """Names the request in logs and in the ids of answers we write ourselves."""
    tenant: str
    """Whose request it is; caches and limits never cross it."""
    endpoint: str
    """``chat``, ``completions``, ``embeddings`` or ``responses``: the form of ``body``, and of what answers it."""
    body: dict[str, Any]
    prompt_bytes: int
    """Size of what the backend must read, in bytes."""
    model: str | None = None
    """As named by the client; ``None`` takes the default."""
    stream: bool = True
    """The client takes the answer in pieces; else it is relayed in one."""
    raw: bytes = b""
    """``body`` as it came, where it came as a body of its own: it can go on untouched."""
    cache: str = "default"
    """default | bypass | only | refresh"""
    deadline_s: float | None = None
    """The client's own limit on the whole exchange; ``None`` takes the configured one."""
    resumable: bool = True
    """If its backend breaks, another one may go on with the answer; ``False``: the client said no."""
    first_token_s: float | None = None
    """The client's own limit on the wait for the first token, within the configured one."""
    between_tokens_s: float | None = None
    """And on the wait between two."""
    wishes: Wishes | None = None
    """``None``: nothing special."""
