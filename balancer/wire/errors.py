"""Errors of the wire: whose fault it was decides what happens next."""

from __future__ import annotations


class ProtocolError(Exception):
    """Root of all wire errors. ``code`` is machine readable and stable; the text is for people."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class RemoteProtocolError(ProtocolError):
    """The peer sent something that breaks the protocol. ``status`` is the HTTP status that says so."""

    def __init__(self, code: str, message: str, *, status: int = 400) -> None:
        super().__init__(code, message)
        self.status = status


class LocalProtocolError(ProtocolError):
    """Our own side asked for something that the protocol does not allow: a bug of the caller."""
