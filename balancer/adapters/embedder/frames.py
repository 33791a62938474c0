"""What goes over the pipes between the daemon and the embedding child. Sans-I/O; little-endian.

A frame is its length (u32, without itself), a kind (u8) and a payload:

- ``EMBED``, to the child: batch number u32, then each text as length u32 and UTF-8.
- ``READY``, to the daemon: a JSON object, see `Ready`.
- ``VECTORS``, to the daemon: batch number u32, dimension u32, texts u32, one byte each for whether it has a vector,
  then the vectors there are, float32.
- ``FAILED``, to the daemon: UTF-8, why the child cannot work here, and a new one could not either.
- ``ENCODE``, to the child: as ``EMBED``; of a text longer than the model reads its beginning is embedded.
- ``ENCODED``, to the daemon: as ``VECTORS``, then for each text how many tokens were read, u32.
- ``READINGS``, to the daemon, in place of ``VECTORS`` where the model tells its tokens: length u32 of what ``VECTORS``
  would hold, that, the tokens' width u32, for each text how many rows of it there are, u16, then the rows, int8.
"""

from __future__ import annotations

import json
import struct
from dataclasses import asdict, dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

EMBED: Final = 1
READY: Final = 2
VECTORS: Final = 3
FAILED: Final = 4
ENCODE: Final = 5
ENCODED: Final = 6
READINGS: Final = 7

FRAME_MAX_BYTES: Final = 16 << 20
TEXT_MAX_BYTES: Final = 16 << 10
BATCH_TEXTS_MAX: Final = 16
"""Texts in one frame: 40 ms of work for short questions on one core."""

_HEAD: Final = struct.Struct("<IB")
_U32: Final = struct.Struct("<I")
_BATCH: Final = struct.Struct("<III")

Vector = NDArray[np.float32]
TokenVectors = NDArray[np.int8]
"""One row a token; each row's scale is lost."""


class FrameError(Exception):
    """The other side did not send what this file describes."""


@dataclass(frozen=True, slots=True)
class Ready:
    """The child can embed."""

    id: str
    """Name and fingerprint of the model: vectors of different ids must not be compared."""
    dimension: int
    tokens_max: int | None
    """Longer texts get no vector."""
    single_s: float
    """Measured time of one short text."""
    full_s: float
    """Measured time of ``BATCH_TEXTS_MAX`` short texts."""


class FrameReader:
    """Bytes in any pieces to whole frames; holds one unfinished frame at most."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def receive(self, data: bytes) -> list[tuple[int, bytes]]:
        """The frames that ``data`` completes, as (kind, payload); `FrameError` for an impossible length."""
        self._buffer += data
        frames = []
        while len(self._buffer) >= _HEAD.size:
            length, kind = _HEAD.unpack_from(self._buffer)
            if not 1 <= length <= FRAME_MAX_BYTES:
                raise FrameError(f"a frame of {length} bytes")
            end = _U32.size + length
            if len(self._buffer) < end:
                break
            frames.append((kind, bytes(self._buffer[_HEAD.size : end])))
            del self._buffer[:end]
        return frames


def _frame(kind: int, payload: bytes) -> bytes:
    return _HEAD.pack(1 + len(payload), kind) + payload


def embed_frame(batch: int, texts: list[bytes], *, cut: bool = False) -> bytes:
    """A request for the vectors of texts in UTF-8. ``cut``: of long texts those of their beginning (``ENCODE``)."""
    parts = [_U32.pack(batch)]
    for text in texts:
        parts += (_U32.pack(len(text)), text)
    return _frame(ENCODE if cut else EMBED, b"".join(parts))


def parse_embed(payload: bytes) -> tuple[int, list[str]]:
    """Batch number and texts, of ``EMBED`` and ``ENCODE``."""
    try:
        (batch,) = _U32.unpack_from(payload)
        at, texts = _U32.size, []
        while at < len(payload):
            (length,) = _U32.unpack_from(payload, at)
            at += _U32.size
            if at + length > len(payload):
                raise FrameError("a text runs over the end of its frame")
            texts.append(payload[at : at + length].decode())
            at += length
    except (struct.error, UnicodeDecodeError) as error:
        raise FrameError(f"bad EMBED frame: {error}") from None
    return batch, texts


def ready_frame(ready: Ready) -> bytes:
    """The child is ready."""
    return _frame(READY, json.dumps(asdict(ready)).encode())


def parse_ready(payload: bytes) -> Ready:
    """What the child says of itself."""
    try:
        fields = json.loads(payload)
        tokens_max = fields["tokens_max"]
        return Ready(
            id=str(fields["id"]),
            dimension=int(fields["dimension"]),
            tokens_max=None if tokens_max is None else int(tokens_max),
            single_s=float(fields["single_s"]),
            full_s=float(fields["full_s"]),
        )
    except (ValueError, TypeError, KeyError) as error:
        raise FrameError(f"bad READY frame: {error!r}") from None


def vectors_frame(batch: int, dimension: int, vectors: list[Vector | None]) -> bytes:
    """The vectors of one batch, in the order of its texts; ``None`` for a text that has none."""
    present = bytes(vector is not None for vector in vectors)
    numbers = [np.ascontiguousarray(vector, dtype="<f4").tobytes() for vector in vectors if vector is not None]
    return _frame(VECTORS, _BATCH.pack(batch, dimension, len(vectors)) + present + b"".join(numbers))


def parse_vectors(payload: bytes) -> tuple[int, list[Vector | None]]:
    """Batch number and vectors; the arrays are read-only views of ``payload``."""
    try:
        batch, dimension, texts = _BATCH.unpack_from(payload)
    except struct.error as error:
        raise FrameError(f"bad VECTORS frame: {error}") from None
    present = payload[_BATCH.size : _BATCH.size + texts]
    numbers = payload[_BATCH.size + texts :]
    if len(present) != texts or dimension < 1 or len(numbers) != 4 * dimension * sum(map(bool, present)):
        raise FrameError("bad VECTORS frame: its length does not match")
    rows = iter(np.frombuffer(numbers, dtype="<f4").reshape(-1, dimension))
    return batch, [next(rows) if here else None for here in present]


def encoded_frame(batch: int, dimension: int, vectors: list[Vector | None], tokens: list[int]) -> bytes:
    """The vectors of one batch, and how many tokens of each text were read."""
    payload = vectors_frame(batch, dimension, vectors)[_HEAD.size :]
    return _frame(ENCODED, payload + struct.pack(f"<{len(tokens)}I", *tokens))


def parse_encoded(payload: bytes) -> tuple[int, list[Vector | None], list[int]]:
    """Batch number, vectors and tokens."""
    try:
        _, _, texts = _BATCH.unpack_from(payload)
        tokens = struct.unpack(f"<{texts}I", payload[len(payload) - 4 * texts :]) if texts <= len(payload) else ()
    except struct.error as error:
        raise FrameError(f"bad ENCODED frame: {error}") from None
    batch, vectors = parse_vectors(payload[: len(payload) - 4 * texts])
    return batch, vectors, list(tokens)


def readings_frame(
    batch: int, dimension: int, vectors: list[Vector | None], tokens: list[TokenVectors | None]
) -> bytes:
    """The vectors of one batch and the token vectors beside them; ``None`` for a text that has none."""
    head = vectors_frame(batch, dimension, vectors)[_HEAD.size :]
    rows = [(0 if one is None else len(one)) for one in tokens]
    width = next((one.shape[1] for one in tokens if one is not None), 0)
    counts = _U32.pack(width) + struct.pack(f"<{len(rows)}H", *rows)
    numbers = [np.ascontiguousarray(one, dtype=np.int8).tobytes() for one in tokens if one is not None]
    return _frame(READINGS, b"".join((_U32.pack(len(head)), head, counts, *numbers)))


def parse_readings(payload: bytes) -> tuple[int, list[Vector | None], list[TokenVectors | None]]:
    """Batch number, vectors and token vectors; the arrays are read-only views of ``payload``."""
    try:
        (length,) = _U32.unpack_from(payload)
        at = _U32.size + length
        batch, vectors = parse_vectors(payload[_U32.size : at])
        (width,) = _U32.unpack_from(payload, at)
        rows = struct.unpack_from(f"<{len(vectors)}H", payload, at + _U32.size)
    except struct.error as error:
        raise FrameError(f"bad READINGS frame: {error}") from None
    at += _U32.size + 2 * len(rows)
    if len(payload) - at != width * sum(rows):
        raise FrameError("bad READINGS frame: its length does not match")
    tokens: list[TokenVectors | None] = []
    for count in rows:
        part = np.frombuffer(payload, np.int8, count * width, at).reshape(count, width) if count and width else None
        tokens.append(part)
        at += count * width
    return batch, vectors, tokens


def failed_frame(reason: str) -> bytes:
    """The child gives up, and a new one would too."""
    return _frame(FAILED, reason.encode("utf-8", "replace"))


def parse_failed(payload: bytes) -> str:
    """Why."""
    return payload.decode("utf-8", "replace")
