from __future__ import annotations

import asyncio
import time

import pytest

from backend.engines.echo import EchoEngine
from backend.errors import BackendError, Busy
from backend.server.connection import BODY_S, HEAD_S, IDLE_S, LINGER_S, WRITE_S, Connection
from backend.server.exchange import Exchange
from balancer.wire.http1 import HttpRequest, request, response
from balancer.wire.limits import PIPELINED_MAX_BYTES
from tests.backend.fakes import ScriptedEngine, until
from tests.backend.server.http import serving

LONG = {"prompt": "a b c", "max_tokens": 5000, "ignore_eos": True, "stream": True}


class Wire(asyncio.Transport):
    """A transport in memory."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.closed = self.aborted = self.half_closed = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += data

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.aborted = True

    def write_eof(self) -> None:
        self.half_closed = True

    def is_closing(self) -> bool:
        return self.closed or self.aborted

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass


class Desk:
    """A service that answers at once, with the path; or with an error."""

    def __init__(self, error: BackendError | None = None) -> None:
        self.asked: list[HttpRequest] = []
        self.error = error

    def opened(self, connection: Connection) -> None: ...

    def closed(self, connection: Connection) -> None: ...

    def answer(self, request: HttpRequest, connection: Connection) -> Exchange | bytes:
        self.asked.append(request)
        if self.error is not None:
            raise self.error
        return response(200, request.path.encode(), keep_alive=request.keep_alive)


def connected(desk: Desk | None = None) -> tuple[Connection, Wire, Desk]:
    desk = desk or Desk()
    connection, wire = Connection(desk), Wire()
    connection.connection_made(wire)
    return connection, wire, desk


def test_pipelined_requests_are_answered_in_order() -> None:
    connection, wire, _ = connected()
    connection.data_received(b"".join(request("GET", f"/{n}", "h", b"") for n in range(3)))
    places = [wire.written.find(b"\r\n\r\n/%d" % n) for n in range(3)]
    assert -1 not in places
    assert places == sorted(places)


@pytest.mark.parametrize("size", [1, 2, 7, 1000])
def test_any_split_of_the_bytes_is_the_same_request(size: int) -> None:
    connection, _, desk = connected()
    data = request("POST", "/v1/x", "h", b'{"a":1}')
    for begin in range(0, len(data), size):
        connection.data_received(data[begin : begin + size])
    assert [(asked.method, asked.path, asked.body) for asked in desk.asked] == [("POST", "/v1/x", b'{"a":1}')]


def test_an_error_is_answered_and_the_connection_lives_on() -> None:
    connection, wire, _ = connected(Desk(Busy("all taken")))
    connection.data_received(request("POST", "/", "h", b"{}") * 2)
    assert wire.written.count(b"HTTP/1.1 429") == 2
    assert not wire.closed


def test_who_asks_to_close_is_closed() -> None:
    connection, wire, _ = connected()
    connection.data_received(b"GET / HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n")
    assert wire.closed


def test_a_client_that_asks_first_is_told_to_send_its_body() -> None:
    connection, wire, desk = connected()
    connection.data_received(b"POST / HTTP/1.1\r\nhost: h\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\r\n")
    assert wire.written == b"HTTP/1.1 100 Continue\r\n\r\n"
    connection.data_received(b"{}")
    assert desk.asked[0].body == b"{}"


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"rubbish\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 5000000\r\n\r\n", 413),
        (b"GET / HTTP/1.1\r\nx: " + b"y" * 40_000 + b"\r\n\r\n", 431),
    ],
)
def test_bytes_that_are_no_request_are_refused_in_words_and_the_rest_is_not_read(data: bytes, status: int) -> None:
    connection, wire, desk = connected()
    connection.data_received(data)
    assert wire.written.startswith(b"HTTP/1.1 %d" % status)
    assert b'"error"' in wire.written
    assert wire.half_closed
    connection.data_received(request("GET", "/", "h", b""))
    assert not desk.asked
    connection.enforce_deadlines(time.monotonic() + LINGER_S + 1)
    assert wire.aborted


def test_a_slow_head_or_body_is_refused_with_408() -> None:
    for begun, limit_s in (b"GET / HT", HEAD_S), (b"POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 9\r\n\r\n{", BODY_S):
        connection, wire, _ = connected()
        connection.data_received(begun)
        connection.enforce_deadlines(time.monotonic() + limit_s - 1)
        assert not wire.written
        connection.enforce_deadlines(time.monotonic() + limit_s + 1)
        assert wire.written.startswith(b"HTTP/1.1 408")


def test_bytes_that_trickle_in_do_not_move_the_deadline() -> None:
    connection, wire, _ = connected()
    connection.data_received(b"GET")
    began = time.monotonic()
    for byte in b" / HTTP/1.1":
        connection.data_received(bytes([byte]))
    connection.enforce_deadlines(began + HEAD_S + 0.5)
    assert wire.written.startswith(b"HTTP/1.1 408")


def test_a_connection_that_says_nothing_is_closed() -> None:
    connection, wire, _ = connected()
    connection.enforce_deadlines(time.monotonic() + HEAD_S + 1)
    assert wire.closed
    assert not wire.written


def test_between_requests_a_connection_may_rest_longer() -> None:
    connection, wire, _ = connected()
    connection.data_received(request("GET", "/", "h", b""))
    connection.enforce_deadlines(time.monotonic() + IDLE_S - 1)
    assert not wire.closed
    connection.enforce_deadlines(time.monotonic() + IDLE_S + 1)
    assert wire.closed


def test_a_client_that_does_not_read_is_cut() -> None:
    connection, wire, _ = connected()
    connection.pause_writing()
    connection.enforce_deadlines(time.monotonic() + WRITE_S - 1)
    assert not wire.aborted
    connection.enforce_deadlines(time.monotonic() + WRITE_S + 1)
    assert wire.aborted


async def test_a_client_that_closes_its_side_has_left() -> None:
    engine = ScriptedEngine()
    async with serving(engine) as site:
        talk = await site.talk()
        talk.send("/v1/completions", LONG)
        await asyncio.wait_for(engine.submitted.wait(), 10)
        talk.writer.write_eof()
        assert await talk.closed() == b""
        assert engine.generations[0].cancelled


async def test_a_client_that_leaves_in_mid_stream_frees_its_slot() -> None:
    async with serving(EchoEngine(delay_ms=5), slots=1) as site:
        talk = await site.talk()
        talk.send("/v1/completions", LONG)
        await asyncio.wait_for(talk.reader.readuntil(b"text"), 10)
        assert (await site.ask("/v1/completions", {"prompt": "x"})).status == 429
        talk.writer.close()
        await until(lambda: not site.server.running)
        assert (await site.ask("/v1/completions", {"prompt": "x"})).status == 200


async def test_a_request_behind_a_running_one_waits_its_turn_up_to_a_bound() -> None:
    async with serving(EchoEngine(delay_ms=1)) as site:
        talk = await site.talk()
        talk.send("/v1/completions", {"prompt": "first one"})
        talk.send("/v1/completions", {"prompt": "second"})
        assert (await talk.answer()).json["choices"][0]["text"] == "first one"
        assert (await talk.answer()).json["choices"][0]["text"] == "second"
        talk.send("/v1/completions", LONG)
        await asyncio.wait_for(talk.reader.readuntil(b"text"), 10)
        talk.writer.write(request("POST", "/v1/completions", "h", b"x" * PIPELINED_MAX_BYTES))
        await talk.closed()
