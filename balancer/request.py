"""One request, as all rooms see it: made once by a door, frozen, read by cache, admission, routing and upstream."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple


class Wishes(NamedTuple):
    """What only few requests ask for."""

    model: str | None = None
    """The one that shall answer, of those that the named one may mean."""
    fallback: bool = True
    """Another model may answer where this one cannot and the operator has said so."""
    explain: bool = False
    """Tell why it went where it went; whoever may not ask for that has asked in vain."""


@dataclass(init=False, slots=True)
class Request:
    """``body`` is the request in the OpenAI dialect, without what concerns only the balancer.

    Nobody changes it. Like all that is made once a request it has an ``__init__`` of its own: what `dataclass` and
    `NamedTuple` write is made by `exec` and stays interpreted where the module is compiled, at six times the price.
    """

    id: str
    """Names the request in logs and in the ids of answers we write ourselves."""
    tenant: str
    """Whose request it is; caches and limits never cross it."""
    endpoint: str
    """``chat``, ``completions``, ``embeddings`` or ``responses``: the form of ``body``, and of what answers it."""
    body: dict[str, Any]
    prompt_bytes: int
    """Size of what the backend must read, in bytes."""
    model: str | None
    """As named by the client; ``None`` takes the default."""
    stream: bool
    """The client takes the answer in pieces; else it is relayed in one."""
    raw: bytes
    """``body`` as it came, where it came as a body of its own: it can go on untouched."""
    cache: str
    """default | bypass | only | refresh"""
    deadline_s: float | None
    """The client's own limit on the whole exchange; ``None`` takes the configured one."""
    resumable: bool
    """If its backend breaks, another one may go on with the answer; ``False``: the client said no."""
    first_token_s: float | None
    """The client's own limit on the wait for the first token, within the configured one."""
    between_tokens_s: float | None
    """And on the wait between two."""
    wishes: Wishes | None
    """``None``: nothing special."""

    def __init__(
        self,
        id: str,
        tenant: str,
        endpoint: str,
        body: dict[str, Any],
        prompt_bytes: int,
        model: str | None = None,
        stream: bool = True,
        raw: bytes = b"",
        cache: str = "default",
        deadline_s: float | None = None,
        resumable: bool = True,
        first_token_s: float | None = None,
        between_tokens_s: float | None = None,
        wishes: Wishes | None = None,
    ) -> None:
        self.id = id
        self.tenant = tenant
        self.endpoint = endpoint
        self.body = body
        self.prompt_bytes = prompt_bytes
        self.model = model
        self.stream = stream
        self.raw = raw
        self.cache = cache
        self.deadline_s = deadline_s
        self.resumable = resumable
        self.first_token_s = first_token_s
        self.between_tokens_s = between_tokens_s
        self.wishes = wishes
