from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from balancer.wire import native
from balancer.wire.errors import RemoteProtocolError
from balancer.wire.limits import ID_MAX_BYTES
from balancer.wire.native import Ask, BadLine, Cancel, Control, parse_line, parse_reply

ids = st.none() | st.integers(min_value=-(1 << 63), max_value=(1 << 63) - 1) | st.text(max_size=ID_MAX_BYTES // 4)


def line(**fields: Any) -> bytes:
    return json.dumps(fields).encode()


def test_a_prompt_is_a_request() -> None:
    parsed = parse_line(b'{"id":7,"prompt":"Once","max_tokens":5,"shiny":{"new":true}}')
    assert parsed == Ask(7, {"prompt": "Once", "max_tokens": 5, "shiny": {"new": True}})


def test_our_own_fields_do_not_reach_the_backend() -> None:
    messages = [{"role": "user", "content": "Hi"}]
    parsed = parse_line(line(id="a", messages=messages, key="k", cache="only", deadline_s=2, model="m"))
    assert parsed == Ask("a", {"messages": messages, "model": "m"}, "k", "only", 2.0)


@pytest.mark.parametrize("blank", [b"", b" ", b"\t \r"])
def test_a_blank_line_says_nothing(blank: bytes) -> None:
    assert parse_line(blank) is None
    assert parse_reply(blank) is None


@pytest.mark.parametrize("id", [7, "seven", -1, 0, "", "\U0001f600" * 16, (1 << 63) - 1, -(1 << 63)])
def test_a_cancel_names_a_request(id: int | str) -> None:
    assert parse_line(line(cancel=id)) == Cancel(id)


@pytest.mark.parametrize("kind", ["register", "prove", "beat", "drain", "leave"])
def test_an_agents_lines_are_kept_as_they_came(kind: str) -> None:
    sent = line(**{kind: {"a": 1}})
    assert parse_line(sent) == Control(kind, {"a": 1}, sent)


BAD: list[tuple[bytes, str, int | str | None]] = [
    (b"hello", "not_json", None),
    (b"[1]", "not_json", None),
    (b'"prompt"', "not_json", None),
    (b'{"prompt":"a"', "not_json", None),
    (b'{"prompt":"\xff"}', "not_json", None),
    (b'{"prompt":"\\ud800"}', "not_json", None),
    (b'{"prompt":NaN}', "not_json", None),
    (b'{"prompt":"a","x":' + b"[" * 100_000, "not_json", None),
    (b'{"prompt":"a","x":' + b"[" * 500 + b"]" * 500 + b"}", "not_json", None),
    (b'{"prompt":"a","seed":' + b"9" * 5000 + b"}", "not_json", None),
    (b"{}", "unknown_message", None),
    (b'{"id":7,"hello":1}', "unknown_message", None),
    (b'{"id":true,"prompt":"a"}', "invalid_id", None),
    (b'{"id":7.0,"prompt":"a"}', "invalid_id", None),
    (b'{"id":[7],"prompt":"a"}', "invalid_id", None),
    (b'{"id":9223372036854775808,"prompt":"a"}', "invalid_id", None),
    (b'{"id":' + b"9" * 4000 + b',"prompt":"a"}', "invalid_id", None),
    (line(id="a" * 65, prompt="a"), "invalid_id", None),
    (line(id="\U0001f600" * 17, prompt="a"), "invalid_id", None),
    (b'{"cancel":{}}', "invalid_id", None),
    (b'{"cancel":false}', "invalid_id", None),
    (b'{"id":7,"prompt":"a","messages":[]}', "prompt_and_messages", 7),
    (b'{"id":7,"prompt":""}', "empty_prompt", 7),
    (b'{"id":7,"prompt":" \\n"}', "empty_prompt", 7),
    (b'{"id":7,"prompt":[]}', "empty_prompt", 7),
    (b'{"id":7,"prompt":null}', "invalid_prompt", 7),
    (b'{"id":7,"prompt":{"a":1}}', "invalid_prompt", 7),
    (b'{"id":7,"prompt":5}', "invalid_prompt", 7),
    (b'{"id":7,"messages":[]}', "empty_prompt", 7),
    (b'{"id":7,"messages":"hi"}', "invalid_messages", 7),
    (b'{"id":7,"messages":["hi"]}', "invalid_messages", 7),
    (b'{"id":7,"messages":null}', "invalid_messages", 7),
    (b'{"id":7,"prompt":"a","key":5}', "invalid_key", 7),
    (b'{"id":7,"prompt":"a","cache":"always"}', "invalid_cache", 7),
    (b'{"id":7,"prompt":"a","cache":["only"]}', "invalid_cache", 7),
    (b'{"id":7,"prompt":"a","cache":null}', "invalid_cache", 7),
    (b'{"id":7,"prompt":"a","deadline_s":0}', "invalid_deadline", 7),
    (b'{"id":7,"prompt":"a","deadline_s":-1}', "invalid_deadline", 7),
    (b'{"id":7,"prompt":"a","deadline_s":true}', "invalid_deadline", 7),
    (b'{"id":7,"prompt":"a","deadline_s":"1"}', "invalid_deadline", 7),
    (b'{"id":7,"prompt":"a","first_token_s":0}', "invalid_deadline", 7),
    (b'{"id":7,"prompt":"a","between_tokens_s":[]}', "invalid_deadline", 7),
    (b'{"id":7,"prompt":"a","resume":"no"}', "invalid_resume", 7),
]


@pytest.mark.parametrize(("bad", "code", "id"), BAD, ids=[f"{bad[:40]!r}" for bad, _, _ in BAD])
def test_a_bad_line_is_an_error_to_its_sender(bad: bytes, code: str, id: int | str | None) -> None:
    with pytest.raises(BadLine) as raised:
        parse_line(bad)
    assert (raised.value.code, raised.value.id) == (code, id)
    said = parse_reply(native.error_line(id, type="invalid_request_error", code=code, message=raised.value.message))
    assert said is not None
    assert said.error is not None
    assert said.id == id


@given(st.binary(max_size=200) | st.binary(max_size=100).map(lambda junk: b'{"id":1,"prompt":' + junk + b"}"))
def test_no_line_at_random_does_more_than_be_refused(data: bytes) -> None:
    try:
        parsed = parse_line(data)
    except BadLine:
        return
    assert parsed is None or isinstance(parsed, Ask | Cancel | Control)


@given(
    st.dictionaries(
        st.sampled_from(["id", "prompt", "messages", "cancel", "key", "cache", "deadline_s", "register", "model"]),
        st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.lists(st.integers()),
    )
)
def test_whatever_is_accepted_can_be_answered_and_sent_on(fields: dict[str, Any]) -> None:
    try:
        parsed = parse_line(msgspec.json.encode(fields))
    except BadLine:
        return
    if isinstance(parsed, Ask):
        assert parsed.deadline_s is None or 0 < parsed.deadline_s <= native.DEADLINE_MAX_S
        assert parse_line(native.ask_line(parsed.id, parsed.body)) == Ask(parsed.id, parsed.body)
        assert parse_reply(native.done_line(parsed.id, {})) is not None


@pytest.mark.parametrize("deadline", ["1e300", "9" * 400, "3600"])
def test_a_deadline_beyond_the_bound_is_the_bound(deadline: str) -> None:
    parsed = parse_line(b'{"prompt":"a","deadline_s":' + deadline.encode() + b"}")
    assert isinstance(parsed, Ask)
    assert parsed.deadline_s == native.DEADLINE_MAX_S


def test_of_a_field_that_comes_twice_the_last_counts() -> None:
    assert parse_line(b'{"id":1,"id":2,"prompt":"a","prompt":"b"}') == Ask(2, {"prompt": "b"})


@given(ids, st.text())
def test_text_comes_back_with_its_id_on_one_line(id: native.RequestId, text: str) -> None:
    sent = native.text_line(native.text_head(id), text)
    assert sent.count(b"\n") == 1
    reply = parse_reply(sent)
    assert reply is not None
    assert (reply.id, reply.text) == (id, text)


@given(ids)
def test_every_kind_of_reply_comes_back_with_its_id(id: native.RequestId) -> None:
    chunk = parse_reply(native.chunk_line(id, b'{"choices":[]}'))
    queued = parse_reply(native.queued_line(id, 3))
    resumed = parse_reply(native.resumed_line(id, {"backend": "b"}))
    done = parse_reply(native.done_line(id, {"finish_reason": "stop"}))
    error = parse_reply(native.error_line(id, type="t", code="c", message="m", retry_after_s=2.5))
    assert chunk is not None
    assert queued is not None
    assert resumed is not None
    assert done is not None
    assert error is not None
    assert chunk.chunk is not None
    assert bytes(chunk.chunk) == b'{"choices":[]}'
    assert queued.queued == {"position": 3}
    assert resumed.resumed == {"backend": "b"}
    assert done.done == {"finish_reason": "stop"}
    assert error.error == {"type": "t", "code": "c", "message": "m", "retry_after_s": 2.5}
    assert {reply.id for reply in (chunk, queued, resumed, done, error)} == {id}


@given(ids)
def test_a_clients_lines_are_read_as_they_were_meant(id: native.RequestId) -> None:
    asked = native.ask_line(id, {"prompt": "Once"}, key="k", cache=None, deadline_s=1.5)
    assert parse_line(asked) == Ask(id, {"prompt": "Once"}, "k", "default", 1.5)
    assert parse_line(native.cancel_line(id)) == Cancel(id)


@pytest.mark.parametrize(
    "reply", [b"hello", b"[]", b'{"text":5}', b'{"text":"\xff"}', b'{"id":[]}', b'{"done":' + b"[" * 100_000]
)
def test_what_is_no_reply_is_an_error(reply: bytes) -> None:
    with pytest.raises(RemoteProtocolError) as raised:
        parse_reply(reply)
    assert raised.value.code == "bad_reply"


def test_a_reply_of_a_kind_we_do_not_know_sets_nothing() -> None:
    assert parse_reply(b'{"id":7,"weather":"fine"}') == native.Reply(7)


@given(st.binary(max_size=200))
def test_replies_at_random_are_read_or_refused(data: bytes) -> None:
    try:
        reply = parse_reply(data)
    except RemoteProtocolError:
        return
    assert reply is None or isinstance(reply, native.Reply)


def test_what_concerns_only_the_balancer_is_no_part_of_the_body() -> None:
    parsed = parse_line(b'{"prompt":"a","first_token_s":2,"between_tokens_s":0.5,"resume":false,"deadline_s":null}')
    assert isinstance(parsed, Ask)
    assert (parsed.first_token_s, parsed.between_tokens_s, parsed.resume, parsed.deadline_s) == (2.0, 0.5, False, None)
    assert parsed.body == {"prompt": "a"}


def test_a_chunk_that_came_on_several_lines_is_one_line() -> None:
    line = native.chunk_line(7, b'{"choices":[\n{"id":8,"done":{}}\n]}')
    assert line.count(b"\n") == 1 and line.endswith(b"\n")
    reply = parse_reply(line)
    assert reply is not None and reply.id == 7 and reply.done is None


@pytest.mark.parametrize(("line", "hinted"), [(b"hello", True), (b"[1]", True), (b' {"prompt":"a"', False)])
def test_a_line_of_no_known_protocol_is_told_which_there_are(line: bytes, hinted: bool) -> None:
    with pytest.raises(BadLine) as caught:
        parse_line(line)
    assert caught.value.message.endswith("; expected a JSON object, HTTP, CLIENT| or REGISTER|") is hinted


def test_an_entry_can_be_called_wrong() -> None:
    assert native.parse_line(native.wrong_line("5f0c")) == native.Wrong("5f0c")
    assert native.parse_line(native.wrong_line("5f0c", "k")) == native.Wrong("5f0c", "k")
    assert json.loads(native.wronged_line("5f0c", True)) == {"wrong": {"entry": "5f0c", "forgotten": True}}
    for line in (b'{"wrong":7}', b'{"wrong":"5f0c","key":7}'):
        with pytest.raises(native.BadLine, match="entry"):
            native.parse_line(line)
