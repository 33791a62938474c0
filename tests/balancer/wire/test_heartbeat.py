from __future__ import annotations

import hmac
import math
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from balancer.wire import heartbeat
from balancer.wire.heartbeat import MAC_BYTES, Beat, Head, open_ack, open_beat, peek, seal_ack, seal_beat
from balancer.wire.limits import DATAGRAM_MAX_BYTES

KEY = b"k" * 32
u32 = st.integers(min_value=0, max_value=(1 << 32) - 1)
u64 = st.integers(min_value=0, max_value=(1 << 64) - 1)
beats = st.builds(
    Beat,
    sequence=u64,
    running=u32,
    waiting=u32,
    slots=u32,
    prefill_tokens_running=u32,
    prefill_tokens_waiting=u32,
    kv_tokens_used=u64,
    kv_tokens_total=u64,
    tokens_per_s=st.floats(min_value=0, max_value=1e9, width=32),
    ms_since_step=u32,
    ready=st.booleans(),
    draining=st.booleans(),
)
BEAT = Beat(7, running=3, waiting=2, slots=4, tokens_per_s=81.5, kv_tokens_used=10, kv_tokens_total=20, draining=True)


def resealed(content: bytes, key: bytes = KEY) -> bytes:
    """A datagram with any content and a right MAC: what a newer agent, or a faulty one, might send."""
    return content + hmac.digest(key, content, "sha256")[: heartbeat.MAC_BYTES]


@given(beats, u64)
def test_a_beat_comes_back_as_it_was(beat: Beat, lease_id: int) -> None:
    datagram = seal_beat(KEY, lease_id, beat)
    assert len(datagram) <= DATAGRAM_MAX_BYTES
    assert peek(datagram) == Head(heartbeat.KIND_BEAT, lease_id, beat.sequence)
    assert open_beat(KEY, datagram) == beat


@given(u64, u64)
def test_an_ack_comes_back_as_it_was(lease_id: int, sequence: int) -> None:
    datagram = seal_ack(KEY, lease_id, sequence)
    assert peek(datagram) == Head(heartbeat.KIND_ACK, lease_id, sequence)
    assert open_ack(KEY, datagram) == sequence


def test_a_flipped_bit_anywhere_opens_nothing() -> None:
    for datagram, unseal in ((seal_beat(KEY, 17, BEAT), open_beat), (seal_ack(KEY, 17, 7), open_ack)):
        assert unseal(KEY, datagram) is not None
        for bit in range(8 * len(datagram)):
            flipped = bytearray(datagram)
            flipped[bit // 8] ^= 1 << bit % 8
            assert unseal(KEY, bytes(flipped)) is None


def test_every_truncation_and_a_longer_tail_open_nothing() -> None:
    datagram = seal_beat(KEY, 17, BEAT)
    for length in range(len(datagram)):
        assert open_beat(KEY, datagram[:length]) is None
    assert open_beat(KEY, datagram + b"\0") is None


def test_another_key_opens_nothing() -> None:
    assert open_beat(b"x" * 32, seal_beat(KEY, 17, BEAT)) is None
    assert open_ack(b"x" * 32, seal_ack(KEY, 17, 7)) is None


def test_an_ack_is_no_beat_and_a_beat_no_ack() -> None:
    assert open_beat(KEY, seal_ack(KEY, 17, 7)) is None
    assert open_ack(KEY, seal_beat(KEY, 17, BEAT)) is None


@given(st.binary(max_size=600))
def test_bytes_at_random_are_dropped(datagram: bytes) -> None:
    assert open_beat(KEY, datagram) is None
    assert open_ack(KEY, datagram) is None


@given(st.binary(max_size=200))
def test_fields_that_a_newer_agent_adds_are_passed_over(more: bytes) -> None:
    content = seal_beat(KEY, 17, BEAT)[: -heartbeat.MAC_BYTES]
    assert open_beat(KEY, resealed(content + more)) == BEAT
    assert open_ack(KEY, resealed(seal_ack(KEY, 17, 7)[: -heartbeat.MAC_BYTES] + more)) == 7


def test_a_beat_without_its_load_is_dropped_though_its_mac_is_right() -> None:
    content = seal_beat(KEY, 17, BEAT)[: -heartbeat.MAC_BYTES]
    for length in range(len(content)):
        assert open_beat(KEY, resealed(content[:length])) is None


@pytest.mark.parametrize("at", [0, 1, 2], ids=["magic", "magic", "version"])
def test_another_magic_or_version_is_not_ours(at: int) -> None:
    content = bytearray(seal_beat(KEY, 17, BEAT)[: -heartbeat.MAC_BYTES])
    content[at] += 1
    assert peek(resealed(bytes(content))) is None
    assert open_beat(KEY, resealed(bytes(content))) is None


def test_a_datagram_above_the_bound_is_not_read() -> None:
    content = seal_beat(KEY, 17, BEAT)[: -heartbeat.MAC_BYTES]
    fits = DATAGRAM_MAX_BYTES - heartbeat.MAC_BYTES - len(content)
    assert open_beat(KEY, resealed(content + b"\0" * fits)) == BEAT
    assert peek(resealed(content + b"\0" * (fits + 1))) is None


def test_values_beyond_their_field_are_clamped() -> None:
    huge = Beat(1, running=-5, waiting=1 << 40, kv_tokens_used=-1, kv_tokens_total=1 << 80, ms_since_step=1 << 33)
    opened = open_beat(KEY, seal_beat(KEY, 17, huge))
    assert opened is not None
    assert (opened.running, opened.waiting, opened.ms_since_step) == (0, (1 << 32) - 1, (1 << 32) - 1)
    assert (opened.kv_tokens_used, opened.kv_tokens_total) == (0, (1 << 64) - 1)


@pytest.mark.parametrize(
    ("said", "heard"), [(math.nan, 0.0), (math.inf, 1e9), (-math.inf, 0.0), (-1.0, 0.0), (1e300, 1e9), (0.5, 0.5)]
)
def test_a_rate_is_always_a_number_in_range(said: float, heard: float) -> None:
    opened = open_beat(KEY, seal_beat(KEY, 17, Beat(1, tokens_per_s=said)))
    assert opened is not None
    assert opened.tokens_per_s == heard


@pytest.mark.parametrize("said", [math.nan, math.inf, -1.0])
def test_a_faulty_agents_rate_does_no_harm(said: float) -> None:
    at = struct.calcsize("<2sBBQQ") + struct.calcsize("<IIIIIQQ")
    content = bytearray(seal_beat(KEY, 17, BEAT)[: -heartbeat.MAC_BYTES])
    struct.pack_into("<f", content, at, said)
    opened = open_beat(KEY, resealed(bytes(content)))
    assert opened is not None
    assert 0.0 <= opened.tokens_per_s <= 1e9


@given(st.binary(max_size=200), st.integers(0, 2**64 - 1))
def test_the_mac_is_the_standard_librarys(key: bytes, sequence: int) -> None:
    ack = seal_ack(key, 7, sequence)
    assert ack[-MAC_BYTES:] == hmac.digest(key, ack[:-MAC_BYTES], "sha256")[:MAC_BYTES]
    assert open_ack(key, ack) == sequence
