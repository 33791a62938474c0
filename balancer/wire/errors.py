"""What is wrong with bytes that came in."""

from __future__ import annotations


class RemoteProtocolError(Exception):
    """The peer sent something that breaks the protocol.

    ``code`` is machine readable and stable, the text is for people, ``status`` is the HTTP status that says so.
    """

    def __init__(self, code: str, message: str, *, status: int = 400) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status
