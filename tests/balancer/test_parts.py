from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from balancer.config import Config
from balancer.errors import ConfigError
from balancer.parts import Parts, build


def built(**settings: Any) -> Parts:
    return build(Config(**settings), 1234, None, lambda config: None)


async def test_nothing_listens_and_settings_hold_from_the_start() -> None:
    parts = built(cache=False, hedge=True, explain=True, default_model="m", token=b"t")
    rooms = parts.rooms
    assert rooms.dispatcher.hedging is not None and rooms.clients.explains
    assert (rooms.dispatcher.default_model, rooms.agents.token) == ("m", b"t")
    assert not [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]


async def test_without_an_embedder_there_is_one_dispatcher_and_nobody_embeds() -> None:
    for settings in ({"cache": False}, {"embedder": False}):
        parts = built(**settings)
        assert parts.embedder is None and parts.own is None
        assert parts.dispatchers() == [parts.rooms.dispatcher]


async def test_all_with_deadlines_are_told_the_time_once(tmp_path: Path) -> None:
    parts = built()
    assert parts.own is not None and len(parts.dispatchers()) == 2
    sweeps = parts.sweeps()
    assert len(sweeps) == len(set(sweeps)) == 7
    for sweep in sweeps:
        sweep(asyncio.get_running_loop().time())
    for call in parts.every_other_tick():
        call()


async def test_the_embedder_is_named_as_clients_know_it(tmp_path: Path) -> None:
    named = {str(tmp_path): tmp_path.name, "org/model": "org/model", None: "all-MiniLM-L6-v2"}
    for name, known in named.items():
        own = built(cache_model=name).own
        assert own is not None and own.name == known


async def test_a_file_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="access-log"):
        built(cache=False, access_log=str(tmp_path / "missing" / "log"))


async def test_doors_are_those_of_the_settings() -> None:
    parts = built(cache=False)
    doors = parts.doors(Config(head_timeout_s=3.0, insecure=True))
    assert (doors.first_bytes_s, doors.plain_from_elsewhere, doors.gate) == (3.0, True, parts.gate)
    for make in (doors.native, doors.http, doors.classic):
        assert isinstance(make(), asyncio.Protocol)
