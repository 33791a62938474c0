"""The whole daemon in this process, on free ports; tests/e2e runs it as a process of its own."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import os
import signal
import socket
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from typing import Any

import pytest
import uvloop

from balancer import daemon
from balancer.admission.keys import ClientKey, KeyTable, digest_of
from balancer.config import Config
from balancer.daemon import Daemon
from balancer.doors.heartbeats import free_port
from balancer.errors import ConfigError
from balancer.upstream.spec import parse_upstream
from balancer.upstream.watch import UPSTREAMS_MAX


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"uvloop": uvloop.new_event_loop}


@pytest.fixture(autouse=True)
def _thawed() -> Iterator[None]:
    yield
    gc.unfreeze()


@contextlib.asynccontextmanager
async def started(
    capsys: pytest.CaptureFixture[str], **changes: Any
) -> AsyncIterator[tuple[dict[str, Any], asyncio.Task[int]]]:
    """What it says when ready, and its exit status to come."""
    config = Config(**{"port": 0, "admin_port": 0, "cache": False, "log_json": True, "drain_timeout_s": 1.0, **changes})
    task = asyncio.ensure_future(Daemon(config).serve())
    said = ""
    async with asyncio.timeout(20):
        while "\n" not in said and not task.done():
            await asyncio.sleep(0.005)
            said += capsys.readouterr().out
    try:
        yield json.loads(said.splitlines()[0]) if said else {}, task
    finally:
        if not task.done():
            os.kill(os.getpid(), signal.SIGTERM)
        async with asyncio.timeout(20):
            await asyncio.wait([task])


async def talk(port: int, line: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(line)
    writer.write_eof()
    async with asyncio.timeout(10):
        answer = await reader.read()
    writer.close()
    return answer


async def test_it_says_one_line_when_it_is_ready_serves_every_door_and_ends_with_zero(
    capsys: pytest.CaptureFixture[str],
) -> None:
    async with started(capsys) as (ready, task):
        assert ready["event"] == "ready"
        port, admin_port = ready["port"], ready["admin_port"]
        assert b"no_backend" in await talk(port, b'{"prompt":"hi"}\n')
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /readyz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert (await reader.read()).startswith(b"HTTP/1.1 503")
        reader, writer = await asyncio.open_connection("127.0.0.1", admin_port)
        writer.write(b"GET /status HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        assert b'"backends":[]' in await reader.read()
        os.kill(os.getpid(), signal.SIGTERM)
        assert await asyncio.wait_for(task, 10) == 0
        with pytest.raises(OSError):
            await asyncio.open_connection("127.0.0.1", port)


async def test_a_taken_port_ends_it_with_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        async with started(capsys, port=taken.getsockname()[1]) as (ready, task):
            assert ready == {}
            with pytest.raises(ConfigError, match=r"port: .* is taken; choose another with --port"):
                task.result()


async def test_a_start_that_fails_late_leaves_nothing_open(capsys: pytest.CaptureFixture[str]) -> None:
    too_many = tuple(parse_upstream(f"http://127.0.0.1:{n}") for n in range(1, UPSTREAMS_MAX + 2))
    port = await free_port("127.0.0.1")
    async with started(capsys, port=port, upstream=too_many) as (ready, task):
        assert ready == {}
        with pytest.raises(ConfigError, match="expected at most"):
            task.result()
    for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
        with socket.socket(type=kind) as free:
            free.bind(("127.0.0.1", port))


async def test_with_keys_each_door_knows_them(capsys: pytest.CaptureFixture[str]) -> None:
    keys = KeyTable([ClientKey("alice", digest_of(b"lb-a"))])
    async with started(capsys, keys=keys) as (ready, _):
        assert b"invalid_api_key" in await talk(ready["port"], b'{"prompt":"hi","key":"lb-b"}\n')
        assert b"no_backend" in await talk(ready["port"], b'{"prompt":"hi","key":"lb-a"}\n')
        head = b"GET /v1/models HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer "
        assert (await _get(ready["port"], head + b"lb-b\r\n\r\n")).startswith(b"HTTP/1.1 401")
        assert (await _get(ready["port"], head + b"lb-a\r\n\r\n")).startswith(b"HTTP/1.1 200")


async def _get(port: int, request: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    async with asyncio.timeout(10):
        answer = await reader.read()
    writer.close()
    return answer


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "whoever reaches 10.0.0.5:1234 may ask and register backends"),
        ({"token": b"x"}, "whoever reaches 10.0.0.5:1234 may ask"),
        ({"keys": KeyTable()}, "whoever reaches 10.0.0.5:1234 may register backends"),
        ({"token": b"x", "keys": KeyTable()}, "it waives nothing here: there are keys and a token"),
        (
            {"token": b"x", "keys": KeyTable(), "admin_host": "10.0.0.5"},
            "whoever reaches 10.0.0.5:1230 is obeyed as the operator",
        ),
    ],
)
def test_what_insecure_waives_is_said_in_words(changes: dict[str, Any], said: str) -> None:
    config = Config(host="10.0.0.5", insecure=True, **changes)
    assert daemon._waived(config, 1234, 1230) == said


async def test_what_fails_with_every_tick_keeps_the_time_from_nobody_and_is_told_once(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(daemon, "TICK_S", 0.01)
    running = Daemon(Config())
    ticks: list[float] = []

    def fails(now: float) -> None:
        raise RuntimeError("a bug")

    running._sweeps = [fails, ticks.append]
    running._tick(asyncio.get_running_loop(), 0)
    async with asyncio.timeout(10):
        while len(ticks) < 3:
            await asyncio.sleep(0.005)
    running._sweeps = []
    assert [record.exc_info is not None for record in caplog.records if "failed" in record.message] == [True]


def test_the_ready_line_is_for_people_or_for_programs() -> None:
    ready: dict[str, object] = {"host": "127.0.0.1", "port": 1234, "admin_port": 1230}
    ready |= {"policy": "round-robin", "cache": "off", "compiled": False}
    assert daemon._ready_line(ready, as_json=False) == (
        "llm-balancer ready on 127.0.0.1:1234 (policy round-robin, cache off, admin port 1230)"
    )
    assert json.loads(daemon._ready_line(ready, as_json=True))["port"] == 1234
