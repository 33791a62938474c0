from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from balancer.wire import classic
from balancer.wire.errors import RemoteProtocolError
from balancer.wire.limits import CLASSIC_READ_BYTES
from tests.splits import cuts, pieces

UUID = "123e4567-e89b-12d3-a456-426614174000"


@pytest.mark.parametrize(
    ("segment", "rest"),
    [
        (b"CLIENT|ADD", b""),
        (b"CLIENT|ADD\n", b""),
        (b"CLIENT|ADD\r\n", b""),
        (b"CLIENT|ADDhello there", b"hello there"),
        (b"CLIENT|ADD\nhello\n", b"hello\n"),
        (b"hello", b"hello"),
    ],
)
def test_handshake_and_first_prompt_may_share_a_segment(segment: bytes, rest: bytes) -> None:
    assert classic.client_hello_rest(segment) == rest


@pytest.mark.parametrize(
    ("segment", "parsed"),
    [
        (b"REGISTER|127.0.0.1|5001", ("127.0.0.1", 5001, b"")),
        (b"REGISTER|localhost|5001\n", ("localhost", 5001, b"")),
        (b"REGISTER|::1| 80 ", ("::1", 80, b"")),
        (b"REGISTER|[::1]|65535", ("[::1]", 65535, b"")),
        (b"REGISTER|gpu-1.example|5001HEARTBEAT 1", ("gpu-1.example", 5001, b"HEARTBEAT 1")),
    ],
)
def test_a_registration_names_host_and_port(segment: bytes, parsed: tuple[str, int, bytes]) -> None:
    assert classic.parse_register(segment) == parsed


@pytest.mark.parametrize(
    "segment",
    [
        b"",
        b"REGISTER",
        b"REGISTER|127.0.0.1",
        b"REGISTER|127.0.0.1|",
        b"REGISTER|127.0.0.1|port",
        b"REGISTER||5001",
        b"REGISTER|127.0.0.1|0",
        b"REGISTER|127.0.0.1|65536",
        b"REGISTER|127.0.0.1|500123",
        b"REGISTER|127.0.0.1|-1",
        b"REGISTER|/run/engine.sock|5001",
        b"REGISTER|a b|5001",
        b"REGISTER|a\nb|5001",
        b"REGISTER|\xff\xfe|5001",
        b"REGISTER|" + b"a" * 254 + b"|5001",
        b"register|127.0.0.1|5001",
    ],
)
def test_any_other_registration_is_refused(segment: bytes) -> None:
    with pytest.raises(RemoteProtocolError) as raised:
        classic.parse_register(segment)
    assert raised.value.code == "invalid_register"


@given(st.binary(max_size=400))
def test_a_registration_at_random_is_read_or_refused(segment: bytes) -> None:
    try:
        host, port, _ = classic.parse_register(b"REGISTER|" + segment)
    except RemoteProtocolError:
        return
    assert host
    assert 0 < port < 65536


@pytest.mark.parametrize(
    ("segment", "beats"),
    [
        (b"HEARTBEAT 1", 1),
        (b"HEARTBEAT 1\n", 1),
        (b"HEARTBEAT", 1),
        (b"HEARTBEAT 1HEARTBEAT 2HEARTBEAT 3", 3),
        (b"HEARTBEAT 1\r\nHEARTBEAT 2\r\n", 2),
        (b"", 0),
        (b" \n", 0),
    ],
)
def test_several_beats_may_come_in_one_read(segment: bytes, beats: int) -> None:
    assert classic.beats_in(segment) == beats


@pytest.mark.parametrize("cut", range(1, len(b"HEARTBEAT 12\n")))
def test_a_beat_cut_in_two_is_one_beat_at_most_and_no_error(cut: int) -> None:
    beat = b"HEARTBEAT 12\n"
    assert classic.beats_in(beat[:cut]) + classic.beats_in(beat[cut:]) <= 1
    assert classic.beats_in(b"HEARTBEAT 1\n" + beat[:cut]) >= 1
    assert classic.beats_in(beat[cut:] + b"HEARTBEAT 2\n") == 1


@given(st.integers(min_value=1, max_value=30), st.sampled_from([b"", b" ", b"\n", b"\r\n"]), cuts)
def test_no_split_of_beats_is_an_error(count: int, between: bytes, places: list[int]) -> None:
    stream = b"".join(b"HEARTBEAT %d" % i + between for i in range(count))
    segments = pieces(stream, places)
    counted = sum(map(classic.beats_in, segments))
    assert count - len(segments) < counted <= count


@pytest.mark.parametrize(
    "segment", [b"hello", b"HEARTBEATS", b"HEARTBEAT x", b"\xff", b"\0" * 100, b"HEARTBEAT 1 hello", b"7EAT 1"]
)
def test_garbage_is_no_heartbeat(segment: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        classic.beats_in(segment)


@given(st.binary(max_size=300))
def test_garbage_at_random_is_an_error_or_nothing_alive(segment: bytes) -> None:
    try:
        beats = classic.beats_in(segment)
    except RemoteProtocolError:
        return
    assert beats == segment.count(b"HEARTBEAT")


def test_ten_megabytes_of_garbage_are_refused_at_once() -> None:
    with pytest.raises(RemoteProtocolError):
        classic.beats_in(b"x" * (10 << 20))


def test_the_longest_prompt_fills_one_read_exactly() -> None:
    prompt = "x" * classic.PROMPT_MAX_BYTES
    assert len(classic.prompt_message(UUID, prompt)) == CLASSIC_READ_BYTES


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (UUID.encode() + b"|an answer", "an answer"),
        (UUID.encode() + b"|one|two", "one|two"),
        (UUID.encode() + b"|", ""),
        (b"no head at all", "no head at all"),
        (b"a|b", "a|b"),
        (UUID.encode() + b"|\xff", "\ufffd"),
        (b"", ""),
    ],
)
def test_the_answer_is_what_stands_behind_the_id(data: bytes, text: str) -> None:
    assert classic.answer_text(UUID, data) == text


def test_another_requests_answer_is_an_error() -> None:
    with pytest.raises(RemoteProtocolError) as raised:
        classic.answer_text(UUID, UUID.replace("1", "2").encode() + b"|an answer")
    assert raised.value.code == "wrong_answer"


@given(st.text().filter(lambda text: "|" not in text))
def test_any_text_comes_back(text: str) -> None:
    message = classic.prompt_message(UUID, text)
    assert classic.answer_text(UUID, message) == text


@given(st.text(alphabet=st.characters(exclude_categories=[])))
def test_an_error_is_one_plain_line(message: str) -> None:
    line = classic.error_message(message)
    assert line.startswith(b"ERROR ")
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
