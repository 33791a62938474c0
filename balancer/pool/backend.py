"""What a backend says about itself when it joins; it doesn't change until the backend joins anew."""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass, field
from typing import Literal

Kind = Literal["native", "upstream", "classic"]


CLASSIC_MODEL = "classic"
"""The model of backends that cannot name one: they serve requests that name none either."""


CONTINUING = frozenset({"continue_from", "continue_final_message"})
"""Abilities that let a chat answer go on where another backend left it; a prompt can simply be longer."""


class State(enum.Enum):
    """What the pool believes of a backend; one that has left the pool has no state."""

    JOINING = "joining"  # in the pool, its engine not (or no longer) ready: no new work
    ALIVE = "alive"
    SUSPECT = "suspect"  # silent for a while: new work only when no alive backend has a slot
    DEAD = "dead"
    DRAINING = "draining"  # finishes what it has, gets nothing new


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """One model a backend serves; `context_length` in tokens, None where the engine doesn't tell."""

    name: str
    context_length: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BackendSpec:
    """One backend as it registered or was configured.

    Raises:
        ValueError: `slots` is below 1, or `weight` is not a finite positive number.
    """

    name: str
    kind: Kind
    host: str
    """Resolved IP address; dialled as it stands."""
    port: int
    models: tuple[ModelInfo, ...]
    endpoints: frozenset[str]
    """Of "chat", "completions", "embeddings", "responses"."""
    slots: int
    """How many requests it takes at once."""
    tls: bool = False
    path_prefix: str = ""
    host_header: str = ""
    weight: float = 1.0
    engine: str = ""
    version: str = ""
    abilities: frozenset[str] = frozenset()
    labels: tuple[tuple[str, str], ...] = ()
    instance: str = ""
    """Drawn at random at each start of the backend's process: tells a restart from a lost connection."""
    max_prompt_bytes: int | None = None
    """Longest prompt it can read (UTF-8 bytes); None is no limit of its own."""
    authorization: str = field(default="", repr=False)
    """What it is sent as ``authorization``, to show who asks: a secret, never shown or logged."""

    def __post_init__(self) -> None:
        if self.slots < 1:
            raise ValueError(f"backend {self.name!r}: slots must be at least 1, not {self.slots}")
        if not (math.isfinite(self.weight) and self.weight > 0):
            raise ValueError(f"backend {self.name!r}: weight must be positive, not {self.weight}")

    @property
    def address(self) -> tuple[str, int]:
        return (self.host, self.port)

    @property
    def process(self) -> str:
        """Names one run of the backend: after a restart it is another."""
        return f"{self.name} {self.instance}"

    def offers(self, model: str) -> bool:
        for info in self.models:  # noqa: SIM110 - asked several times a request, `any` takes three times as long
            if info.name == model:
                return True
        return False

    def continues(self, endpoint: str) -> bool:
        """Whether it can go on with an answer of this endpoint that another backend began."""
        if self.kind == "classic" or endpoint not in ("chat", "completions"):
            return False
        if "completions" in self.endpoints and (endpoint == "completions" or "chat" not in self.endpoints):
            return True
        return "chat" in self.endpoints and not self.abilities.isdisjoint(CONTINUING)

    def serves(self, model: str) -> str:
        """The model that a request for ``model`` really gets here: one that cannot name its model is not that one."""
        return model if self.offers(model) else CLASSIC_MODEL
