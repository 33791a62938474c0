from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from balancer.adapters.embedder import frames
from balancer.adapters.embedder.frames import FrameError, FrameReader, Ready

texts = st.lists(st.text(st.characters(codec="utf-8"), max_size=20), max_size=5)


@given(st.lists(texts, max_size=4), st.lists(st.integers(0, 400), max_size=6))
def test_any_split_of_the_bytes_gives_the_same_frames(batches: list[list[str]], cuts: list[int]) -> None:
    data = b"".join(
        frames.embed_frame(number, [text.encode() for text in batch]) for number, batch in enumerate(batches)
    )
    edges = sorted({0, len(data), *(min(cut, len(data)) for cut in cuts)})
    reader, received = FrameReader(), []
    for start, end in itertools.pairwise(edges):
        received += reader.receive(data[start:end])
    assert [kind for kind, _ in received] == [frames.EMBED] * len(batches)
    assert [frames.parse_embed(payload) for _, payload in received] == list(enumerate(batches))


@given(st.integers(0, 2**32 - 1), st.integers(1, 5), st.lists(st.booleans(), max_size=6), st.integers(0, 99))
def test_vectors_arrive_as_they_were_sent(batch: int, dimension: int, present: list[bool], seed: int) -> None:
    rng = np.random.default_rng(seed)
    sent = [rng.standard_normal(dimension).astype(np.float32) if here else None for here in present]
    ((kind, payload),) = FrameReader().receive(frames.vectors_frame(batch, dimension, sent))
    number, received = frames.parse_vectors(payload)
    assert (kind, number, len(received)) == (frames.VECTORS, batch, len(sent))
    for one, other in zip(sent, received, strict=True):
        assert (one is None) == (other is None)
        if one is not None and other is not None:
            assert one.tolist() == other.tolist()
            assert other.dtype == np.float32


@given(st.integers(0, 2**32 - 1), st.lists(st.tuples(st.booleans(), st.integers(0, 2**32 - 1)), max_size=6))
def test_encodings_arrive_with_their_tokens(batch: int, texts: list[tuple[bool, int]]) -> None:
    sent = [np.full(3, at, np.float32) if here else None for at, (here, _) in enumerate(texts)]
    tokens = [count for _, count in texts]
    ((kind, payload),) = FrameReader().receive(frames.encoded_frame(batch, 3, sent, tokens))
    number, received, counted = frames.parse_encoded(payload)
    assert (kind, number, counted) == (frames.ENCODED, batch, tokens)
    assert [v is None for v in received] == [v is None for v in sent]
    assert all(v is None or v.tolist() == [at] * 3 for at, v in enumerate(received))


@given(
    st.integers(0, 2**32 - 1), st.lists(st.tuples(st.booleans(), st.integers(1, 32)), max_size=6), st.integers(0, 99)
)
def test_readings_arrive_as_they_were_sent(batch: int, texts: list[tuple[bool, int]], seed: int) -> None:
    rng = np.random.default_rng(seed)
    vectors = [rng.standard_normal(3).astype(np.float32) if here else None for here, _ in texts]
    tokens = [rng.integers(-127, 128, (rows, 6)).astype(np.int8) if here else None for here, rows in texts]
    ((kind, payload),) = FrameReader().receive(frames.readings_frame(batch, 3, vectors, tokens))
    number, received, read = frames.parse_readings(payload)
    assert (kind, number, len(received), len(read)) == (frames.READINGS, batch, len(texts), len(texts))
    for one, other in zip(vectors, received, strict=True):
        assert (one is None) == (other is None)
        assert one is None or other is None or one.tolist() == other.tolist()
    for sent, got in zip(tokens, read, strict=True):
        assert (sent is None) == (got is None)
        assert sent is None or got is None or sent.tolist() == got.tolist()


def test_texts_that_may_be_cut_are_asked_for_by_another_kind() -> None:
    ((kind, payload),) = FrameReader().receive(frames.embed_frame(3, [b"a", b""], cut=True))
    assert (kind, frames.parse_embed(payload)) == (frames.ENCODE, (3, ["a", ""]))


@pytest.mark.parametrize("tokens_max", [256, None])
def test_ready_arrives_as_it_was_sent(tokens_max: int | None) -> None:
    ready = Ready("model@1", 384, tokens_max, 0.008, 0.04)
    ((kind, payload),) = FrameReader().receive(frames.ready_frame(ready))
    assert (kind, frames.parse_ready(payload)) == (frames.READY, ready)


def test_a_reason_arrives_as_it_was_sent() -> None:
    ((kind, payload),) = FrameReader().receive(frames.failed_frame("nothing here: pip install 'x[y]'"))
    assert (kind, frames.parse_failed(payload)) == (frames.FAILED, "nothing here: pip install 'x[y]'")


@given(st.binary(max_size=200))
def test_any_bytes_give_frames_or_a_frame_error(data: bytes) -> None:
    reader = FrameReader()
    try:
        received = reader.receive(data)
    except FrameError:
        return
    assert sum(len(payload) for _, payload in received) <= len(data)


@given(st.binary(max_size=64))
def test_any_payload_is_parsed_or_refused(payload: bytes) -> None:
    parsers = (
        frames.parse_embed,
        frames.parse_ready,
        frames.parse_vectors,
        frames.parse_encoded,
        frames.parse_readings,
    )
    for parse in parsers:
        try:
            parse(payload)
        except FrameError:
            pass
    assert isinstance(frames.parse_failed(payload), str)


@pytest.mark.parametrize("length", [0, frames.FRAME_MAX_BYTES + 1, 2**32 - 1])
def test_an_impossible_length_is_an_error_at_once(length: int) -> None:
    with pytest.raises(FrameError):
        FrameReader().receive(length.to_bytes(4, "little") + b"\x01")
