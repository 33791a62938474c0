"""The same bytes in pieces: a stream may be cut anywhere, and no cut may change what it says."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import pairwise

from hypothesis import strategies as st

from balancer.wire.errors import RemoteProtocolError


def pieces(data: bytes, cuts: Iterable[int]) -> list[bytes]:
    """``data`` cut at the given places."""
    places = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    return [data[a:b] for a, b in pairwise(places)]


def bytewise(data: bytes) -> list[bytes]:
    return [data[i : i + 1] for i in range(len(data))]


cuts = st.lists(st.integers(min_value=0, max_value=1 << 20), max_size=12)


def drive(feed: Callable[[bytes], Iterable[object]], stream: Iterable[bytes]) -> tuple[list[object], str | None]:
    """Feed all pieces: what came out, and the code of the error that ended it."""
    out: list[object] = []
    try:
        for piece in stream:
            out.extend(feed(piece))
        out.extend(feed(b""))  # an error behind whole messages is raised by the next call
    except RemoteProtocolError as error:
        return out, error.code
    return out, None
