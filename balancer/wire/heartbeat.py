"""Heartbeat datagrams: a fixed little-endian layout, a keyed MAC, room to grow.

    beat  "LB" version kind | lease u64 | sequence u64 | load | (unknown trailing fields) | MAC 16 bytes
    ack   "LB" version kind | lease u64 | sequence u64 |        (unknown trailing fields) | MAC 16 bytes

The MAC is the first 16 bytes of HMAC-SHA256 (RFC 2104) under the lease key over all that stands before it. Only
increasing sequence numbers count: the receiver keeps the highest one, so a captured beat is worth nothing.
Reading has two steps, since the key depends on the lease: `peek` says whose datagram this is, `open_beat` and
`open_ack` check the MAC and read the rest. ``None`` means "drop and count"; a datagram is never answered by an error.
"""

from __future__ import annotations

import hmac
import struct
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from typing import Any, Final

from balancer.wire.limits import DATAGRAM_MAX_BYTES

VERSION: Final = 1
KIND_BEAT: Final = 1
KIND_ACK: Final = 2
MAC_BYTES: Final = 16

_HEAD = struct.Struct("<2sBBQQ")
_BEAT = struct.Struct("<4sQQIIIIIQQfIB")
_HEAD_MIN_BYTES: Final = _HEAD.size + MAC_BYTES
_BEAT_MIN_BYTES: Final = _BEAT.size + MAC_BYTES
_MAGIC: Final = b"LB"
_BEAT_MARK: Final = _MAGIC + bytes((VERSION, KIND_BEAT))
_FLAG_READY: Final = 1
_FLAG_DRAINING: Final = 2
_U32_MAX: Final = (1 << 32) - 1
_U64_MAX: Final = (1 << 64) - 1
_RATE_MAX: Final = 1e9
_BLOCK_BYTES: Final = 64
"""Of SHA-256."""
_INNER: Final = bytes(byte ^ 0x36 for byte in range(256))
_OUTER: Final = bytes(byte ^ 0x5C for byte in range(256))
_KEYS_KNOWN_MAX: Final = 4096
"""As many as there may be backends; of more, some are keyed anew each time."""


@dataclass(init=False, slots=True)
class Beat:
    """What an engine says of its load. Counts are requests or tokens at the moment of sending."""

    sequence: int
    running: int
    waiting: int
    slots: int
    prefill_tokens_running: int
    prefill_tokens_waiting: int
    kv_tokens_used: int
    kv_tokens_total: int
    tokens_per_s: float
    ms_since_step: int
    """Milliseconds since the engine last stepped; 0 while it has nothing to do."""
    ready: bool
    draining: bool

    def __init__(
        self,
        sequence: int,
        running: int = 0,
        waiting: int = 0,
        slots: int = 0,
        prefill_tokens_running: int = 0,
        prefill_tokens_waiting: int = 0,
        kv_tokens_used: int = 0,
        kv_tokens_total: int = 0,
        tokens_per_s: float = 0.0,
        ms_since_step: int = 0,
        ready: bool = True,
        draining: bool = False,
    ) -> None:
        self.sequence = sequence
        self.running = running
        self.waiting = waiting
        self.slots = slots
        self.prefill_tokens_running = prefill_tokens_running
        self.prefill_tokens_waiting = prefill_tokens_waiting
        self.kv_tokens_used = kv_tokens_used
        self.kv_tokens_total = kv_tokens_total
        self.tokens_per_s = tokens_per_s
        self.ms_since_step = ms_since_step
        self.ready = ready
        self.draining = draining


@dataclass(init=False, slots=True)
class Head:
    """Whose datagram this claims to be; not yet proven."""

    kind: int
    lease_id: int
    sequence: int

    def __init__(
        self,
        kind: int,
        lease_id: int,
        sequence: int,
    ) -> None:
        self.kind = kind
        self.lease_id = lease_id
        self.sequence = sequence


def seal_beat(key: bytes, lease_id: int, beat: Beat) -> bytes:
    """The datagram of a beat. Values beyond their field's range are clamped, not wrapped."""
    flags = (_FLAG_READY if beat.ready else 0) | (_FLAG_DRAINING if beat.draining else 0)
    content = _BEAT.pack(
        _BEAT_MARK,
        lease_id,
        beat.sequence,
        _u32(beat.running),
        _u32(beat.waiting),
        _u32(beat.slots),
        _u32(beat.prefill_tokens_running),
        _u32(beat.prefill_tokens_waiting),
        max(0, min(beat.kv_tokens_used, _U64_MAX)),
        max(0, min(beat.kv_tokens_total, _U64_MAX)),
        _rate(beat.tokens_per_s),
        _u32(beat.ms_since_step),
        flags,
    )
    return _seal(key, content)


def seal_ack(key: bytes, lease_id: int, sequence: int) -> bytes:
    """The datagram that tells an agent that its beat arrived."""
    return _seal(key, _HEAD.pack(_MAGIC, VERSION, KIND_ACK, lease_id, sequence))


def peek(datagram: bytes) -> Head | None:
    """Kind, lease and sequence of a well-formed datagram; the MAC is not checked."""
    if not _HEAD_MIN_BYTES <= len(datagram) <= DATAGRAM_MAX_BYTES:
        return None
    magic, version, kind, lease_id, sequence = _HEAD.unpack_from(datagram)
    if magic != _MAGIC or version != VERSION:
        return None
    return Head(kind, lease_id, sequence)


def open_beat(key: bytes, datagram: bytes) -> Beat | None:
    """The beat, if the datagram is one and its MAC is right."""
    if not _BEAT_MIN_BYTES <= len(datagram) <= DATAGRAM_MAX_BYTES or not _mac_holds(key, datagram):
        return None
    mark, _, sequence, running, waiting, slots, prefill_running, prefill_waiting, kv_used, kv_total, rate, ms, flags = (
        _BEAT.unpack_from(datagram)
    )
    if mark != _BEAT_MARK:
        return None
    return Beat(
        sequence,
        running,
        waiting,
        slots,
        prefill_running,
        prefill_waiting,
        kv_used,
        kv_total,
        _rate(rate),
        ms,
        bool(flags & _FLAG_READY),
        bool(flags & _FLAG_DRAINING),
    )


def open_ack(key: bytes, datagram: bytes) -> int | None:
    """The acknowledged sequence, if the datagram is an ack and its MAC is right."""
    head = peek(datagram)
    if head is None or head.kind != KIND_ACK or not _mac_holds(key, datagram):
        return None
    return head.sequence


def _u32(value: int) -> int:
    return max(0, min(value, _U32_MAX))


def _rate(tokens_per_s: float) -> float:
    # The comparison also refuses NaN, which would poison every average it meets.
    return min(tokens_per_s, _RATE_MAX) if tokens_per_s >= 0.0 else 0.0


def _seal(key: bytes, content: bytes) -> bytes:
    return content + _mac(key, content)


def _mac_holds(key: bytes, datagram: bytes) -> bool:
    return hmac.compare_digest(_mac(key, datagram[:-MAC_BYTES]), datagram[-MAC_BYTES:])


def _mac(key: bytes, content: bytes) -> bytes:
    """HMAC of its two hashes (RFC 2104), at 0.4 times the price of `hmac.digest`, which begins them anew each time."""
    keyed_inner, keyed_outer = _keyed(key)
    inner, outer = keyed_inner.copy(), keyed_outer.copy()
    inner.update(content)
    outer.update(inner.digest())
    digest: bytes = outer.digest()
    return digest[:MAC_BYTES]


@lru_cache(_KEYS_KNOWN_MAX)
def _keyed(key: bytes) -> tuple[Any, Any]:
    """The inner and the outer hash, each of which has read its key."""
    block = (key if len(key) <= _BLOCK_BYTES else sha256(key).digest()).ljust(_BLOCK_BYTES, b"\0")
    return sha256(block.translate(_INNER)), sha256(block.translate(_OUTER))
