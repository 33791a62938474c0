"""Registration of a backend on its control connection: challenge, proof, lease.

    agent     {"register":{"name":"gpu-1","url":"http://10.0.0.7:8000","models":[...],"nonce":"<hex>",...}}
    balancer  {"challenge":{"nonce":"<hex>"}}
    agent     {"prove":{"mac":"<hex>"}}
    balancer  {"lease":{"id":17,"beat_s":1.0,"deadline_s":3.5}}      or  {"refused":{...}}

The proof is HMAC-SHA256 (RFC 2104) under the shared token over the balancer's nonce and the register line as it was
sent, which holds the agent's nonce and every field: so nothing can be altered, and nothing captured can be used again.
The key that signs heartbeats is derived from the same inputs and never sent. Where no token is set (loopback only)
the balancer draws the key and sends it with the lease.

Afterwards the connection carries ``{"beat":"<base64 datagram>"}`` where UDP does not arrive, answered by
``{"ack":"<base64 datagram>"}``; ``{"drain":true}`` either way; ``{"leave":{}}``. Its end is a leave.
"""

from __future__ import annotations

import base64
import binascii
import hmac
from typing import Annotated, Any, TypeVar

import msgspec

from balancer.wire.errors import RemoteProtocolError
from balancer.wire.limits import BACKEND_MODELS_MAX, SLOTS_MAX

T = TypeVar("T")

NONCE_BYTES = 16
_PROOF = b"llm-balancer register 1\n"
_LEASE_KEY = b"llm-balancer lease key 1\n"

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=128, pattern=r"\A[A-Za-z0-9][A-Za-z0-9._:\-]*\Z")]
"""A backend's name: it stands in logs, headers and paths, so it holds nothing that needs escaping."""
_PRINTABLE = r"\A[^\x00-\x1f\x7f]*\Z"
Word = Annotated[str, msgspec.Meta(max_length=64, pattern=_PRINTABLE)]
ModelName = Annotated[str, msgspec.Meta(min_length=1, max_length=256, pattern=_PRINTABLE)]
Nonce = Annotated[str, msgspec.Meta(pattern=r"\A[0-9a-f]{32,64}\Z")]


class Model(msgspec.Struct, frozen=True):
    """A model that the backend offers; ``context_length`` in tokens, ``None`` if unknown."""

    name: ModelName
    context_length: Annotated[int, msgspec.Meta(ge=1)] | None = None


class Register(msgspec.Struct, frozen=True, kw_only=True):
    """What a backend says of itself. ``instance`` is drawn anew at each start of the backend's process."""

    name: Name
    url: Annotated[str, msgspec.Meta(max_length=512, pattern=_PRINTABLE)]
    models: Annotated[tuple[Model, ...], msgspec.Meta(min_length=1, max_length=BACKEND_MODELS_MAX)]
    endpoints: Annotated[tuple[Word, ...], msgspec.Meta(min_length=1, max_length=16)]
    slots: Annotated[int, msgspec.Meta(ge=1, le=SLOTS_MAX)]
    nonce: Nonce
    instance: Word
    engine: Word = ""
    version: Word = ""
    block_size: Annotated[int, msgspec.Meta(ge=1)] | None = None
    abilities: Annotated[tuple[Word, ...], msgspec.Meta(max_length=32)] = ()
    weight: Annotated[float, msgspec.Meta(gt=0, le=1000)] = 1.0
    labels: Annotated[dict[Word, Word], msgspec.Meta(max_length=32)] = {}


class Challenge(msgspec.Struct, frozen=True):
    nonce: Nonce


class Prove(msgspec.Struct, frozen=True):
    """``mac`` is the proof in hex; empty where the agent has no token."""

    mac: Annotated[str, msgspec.Meta(max_length=64)] = ""


class Lease(msgspec.Struct, frozen=True, omit_defaults=True):
    """The answer to a registration: beat every ``beat_s``; after ``deadline_s`` of silence the backend is out."""

    id: Annotated[int, msgspec.Meta(ge=0, le=(1 << 63) - 1)]
    beat_s: Annotated[float, msgspec.Meta(ge=0.01, le=3600)]
    deadline_s: Annotated[float, msgspec.Meta(ge=0.01, le=3600)]
    key: Annotated[str, msgspec.Meta(pattern=r"\A(?:[0-9a-f]{2}){16,64}\Z")] | None = None
    """The heartbeat key in hex, only where no token is set."""


class Refused(msgspec.Struct, frozen=True):
    code: str
    message: str
    retry_after_s: float | None = None


def parse_fields(fields: object, kind: type[T]) -> T:
    """Check decoded JSON against one of the messages above. Raises `RemoteProtocolError` that names the field."""
    try:
        return msgspec.convert(fields, kind)
    except msgspec.ValidationError as error:
        raise RemoteProtocolError("invalid_registration", f"{kind.__name__.lower()}: {error}") from None


def message_line(kind: str, fields: Any) -> bytes:
    """``{"kind":fields}`` as one line."""
    return msgspec.json.encode({kind: fields}) + b"\n"


def parse_message(line: bytes) -> tuple[str, Any]:
    """The agent's side: read a control line of the balancer as (kind, fields). Raises `RemoteProtocolError`."""
    try:
        message = msgspec.json.decode(line)
    except (ValueError, RecursionError) as error:
        raise RemoteProtocolError("not_json", f"the balancer sent a line that is not JSON: {error}") from None
    if not isinstance(message, dict) or not message:
        raise RemoteProtocolError("unknown_message", "the balancer sent a line that is no message")
    kind = next(iter(message))
    return kind, message[kind]


def proof(token: bytes, balancer_nonce: str, register_line: bytes) -> bytes:
    """The MAC (32 bytes) that shows knowledge of the token for exactly this registration."""
    return hmac.digest(token, _PROOF + balancer_nonce.encode() + b"\n" + register_line, "sha256")


def proof_holds(token: bytes, balancer_nonce: str, register_line: bytes, mac_hex: str) -> bool:
    """Constant-time check of a proof; anything that is not hex is simply wrong."""
    try:
        given = bytes.fromhex(mac_hex)
    except ValueError:
        given = b""
    return hmac.compare_digest(given, proof(token, balancer_nonce, register_line))


def lease_key(token: bytes, balancer_nonce: str, register_line: bytes) -> bytes:
    """The key (32 bytes) that signs this lease's heartbeats; both sides derive it, nobody sends it."""
    return hmac.digest(token, _LEASE_KEY + balancer_nonce.encode() + b"\n" + register_line, "sha256")


def datagram_text(datagram: bytes) -> str:
    """A heartbeat datagram as it travels on the control connection."""
    return base64.b64encode(datagram).decode()


def datagram_bytes(text: object) -> bytes:
    """Inverse of `datagram_text`. Raises `RemoteProtocolError`."""
    try:
        if not isinstance(text, str):
            raise TypeError
        return base64.b64decode(text, validate=True)
    except (TypeError, ValueError, binascii.Error):
        raise RemoteProtocolError("invalid_beat", "a beat on the control connection is a base64 string") from None
