"""The text protocol of earlier balancers: no framing, one message per read.

A client says ``CLIENT|ADD`` once, then sends each prompt as plain text and reads the answer as plain text.
A backend says ``REGISTER|host|port``, reads ``REGISTERED``, then sends ``HEARTBEAT n`` every 5 s on that connection;
on host:port it is sent ``uuid|prompt`` and answers ``uuid|answer``. Nothing marks where a message ends, so these
functions take what one read gave and make the best of it.
"""

from __future__ import annotations

import re
from typing import Final

from balancer.wire.errors import RemoteProtocolError
from balancer.wire.limits import CLASSIC_READ_BYTES

CLIENT_HELLO: Final = b"CLIENT|ADD"
REGISTERED: Final = b"REGISTERED"
INVALID_REGISTER: Final = b"INVALID REGISTER MESSAGE"
ANSWER_GAP_S: Final = 0.2
"""An answer is over once this long passes without bytes."""
LISTEN_GRACE_S: Final = 5.0
"""A classic backend registers before it listens: until then a refused dial is tried again and blames nobody."""
UUID_HEAD_BYTES: Final = 37
PROMPT_MAX_BYTES: Final = CLASSIC_READ_BYTES - UUID_HEAD_BYTES

_BEAT = re.compile(rb"HEARTBEAT[ \t]*\d*\s*")
_BEAT_TAIL = re.compile(rb"(?:" + b"|".join(b"HEARTBEAT"[i:] for i in range(1, 9)) + rb")?[ \t]*\d*\s*")
_REGISTER = re.compile(rb"REGISTER\|([^|\r\n]*)\|\s*(\d{1,5})(?!\d)\s*")
_HOST = re.compile(r"[A-Za-z0-9.:\-\[\]]{1,253}")


def client_hello_rest(data: bytes) -> bytes:
    """What came in the same segment behind ``CLIENT|ADD``: the first prompt, if any."""
    return data[len(CLIENT_HELLO) :].lstrip(b"\r\n") if data.startswith(CLIENT_HELLO) else data


def parse_register(data: bytes) -> tuple[str, int, bytes]:
    """Read ``REGISTER|host|port``: host, port and what came behind it (early heartbeats).

    Raises `RemoteProtocolError`; the peer is then told `INVALID_REGISTER`.
    """
    match = _REGISTER.match(data)
    if match is None:
        raise RemoteProtocolError("invalid_register", "expected REGISTER|host|port")
    host = match.group(1).decode("ascii", "replace").strip()
    port = int(match.group(2))
    if not _HOST.fullmatch(host) or not 0 < port < 65536:
        raise RemoteProtocolError("invalid_register", "expected REGISTER|host|port")
    return host, port, data[match.end() :]


def beats_in(data: bytes) -> int:
    """How many heartbeats one read holds; several come at once after a generation.

    Half a beat at either end, cut in two by the network, is no error; its second half alone counts for nothing.
    Raises `RemoteProtocolError` for anything else.
    """
    if len(data) < len(b"HEARTBEAT") and data in b"HEARTBEAT":
        return 0
    count = 0
    tail = _BEAT_TAIL.match(data)
    at = tail.end() if tail is not None else 0
    while at < len(data):
        match = _BEAT.match(data, at)
        if match is None:
            if b"HEARTBEAT".startswith(data[at:]):
                break
            raise RemoteProtocolError("invalid_heartbeat", "expected HEARTBEAT n")
        count, at = count + 1, match.end()
    return count


def prompt_message(request_id: str, prompt: str) -> bytes:
    """``uuid|prompt`` for a classic backend; ``request_id`` is a UUID in its 36-character form."""
    return f"{request_id}|{prompt}".encode()


def answer_text(request_id: str, data: bytes) -> str:
    """The answer behind ``uuid|``; a backend that forgets the head is taken at its word.

    Raises `RemoteProtocolError` if another request's answer comes.
    """
    text = data.decode("utf-8", "replace")
    head, bar, rest = text.partition("|")
    if bar and head == request_id:
        return rest
    if bar and re.fullmatch(r"[0-9a-fA-F\-]{36}", head):
        raise RemoteProtocolError("wrong_answer", "a classic backend answered another request")
    return text


def error_message(message: str) -> bytes:
    """One plain line."""
    return b"ERROR " + " ".join(message.split()).encode("utf-8", "replace") + b"\n"
