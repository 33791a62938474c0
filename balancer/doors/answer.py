"""What the HTTP doors answer: at once, or by and by."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from balancer.wire import openai


class Answer(NamedTuple):
    """A whole answer; JSON."""

    status: int
    body: bytes
    headers: tuple[tuple[str, str], ...] = ()


def error_answer(status: int, message: str, code: str, headers: tuple[tuple[str, str], ...] = ()) -> Answer:
    """An error in OpenAI's shape."""
    kind = "server_error" if status >= 500 else "not_found_error" if status == 404 else "invalid_request_error"
    return Answer(status, openai.error_body(message, kind, code), headers)


class Pending(Protocol):
    """An answer that is still being made; it writes to its connection and says when it is over."""

    def pause(self) -> None: ...

    def resume(self) -> None: ...

    def cancel(self) -> None:
        """The client has left."""

    def keep_alive(self) -> None:
        """Called twice a second."""
