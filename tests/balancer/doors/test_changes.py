from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from balancer.doors.changes import upstream_in
from balancer.errors import ConfigError
from tests.balancer.doors.caller import Reply, reply
from tests.balancer.doors.lobby import Lobby


async def call(lobby: Lobby, method: str, path: str, body: object = None) -> Reply:
    content = b"" if body is None else json.dumps(body).encode()
    head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(content)}\r\n\r\n"
    return await (await reply(await lobby.visit(head.encode() + content, admin=True))).whole()


def names(lobby: Lobby) -> set[str]:
    return {member.spec.name for member in lobby.hall.registry.members()}


async def test_an_upstream_is_added_and_removed() -> None:
    async with Lobby().open() as lobby:
        added = await call(lobby, "POST", "/backends", {"upstream": "http://127.0.0.1:9;slots=3;name=gpu"})
        assert (added.status, added.json["backend"], added.json["slots"]) == (200, "gpu", 3)
        assert "until the balancer ends" in added.json["kept"]
        assert names(lobby) == {"gpu"}
        again = await call(lobby, "POST", "/backends", {"upstream": "http://127.0.0.1:8;name=gpu"})
        assert (again.status, "already" in again.body.decode()) == (409, True)
        removed = await call(lobby, "DELETE", "/backends/gpu?drain=1")
        assert (removed.status, removed.json["removed"]) == (200, True)
        assert names(lobby) == set()
        assert (await call(lobby, "DELETE", "/backends/gpu")).status == 404


async def test_a_name_with_slashes_is_one_name() -> None:
    async with Lobby().open() as lobby:
        await call(lobby, "POST", "/backends", {"url": "http://127.0.0.1:9/deep/v1", "slots": 2})
        assert names(lobby) == {"127.0.0.1:9/deep"}
        assert (await call(lobby, "DELETE", "/backends/127.0.0.1:9%2Fdeep")).status == 200


async def test_a_registered_backend_is_not_removed_but_drained() -> None:
    async with Lobby().open() as lobby:
        lobby.hall.join("gpu-1")
        found = await call(lobby, "DELETE", "/backends/gpu-1")
        assert (found.status, found.code) == (409, "registered_backend")
        assert "`llm-balancer drain gpu-1`" in found.json["error"]["message"]
        taken = await call(lobby, "POST", "/backends", {"upstream": "http://127.0.0.1:9;name=gpu-1"})
        assert taken.status == 409 and names(lobby) == {"gpu-1"}


@pytest.mark.parametrize("body", [None, [], {}, {"url": 7}, {"upstream": "http://127.0.0.1:9;slot=3"}])
async def test_what_is_no_upstream_is_refused_in_words(body: object) -> None:
    async with Lobby().open() as lobby:
        found = await call(lobby, "POST", "/backends", body)
        assert found.status == 400 and found.json["error"]["message"]
        assert names(lobby) == set()


async def test_an_address_that_is_in_the_pool_under_another_name_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    async with Lobby().open() as lobby:
        first = await call(lobby, "POST", "/backends", {"upstream": "http://127.0.0.1:9"})
        assert "warning" not in first.json and not caplog.records
        again = await call(lobby, "POST", "/backends", {"upstream": "http://127.0.0.1:9;name=again"})
        assert "'again' and '127.0.0.1:9' are both at 127.0.0.1:9" in again.json["warning"]
        assert again.json["warning"] in caplog.text
        deeper = await call(lobby, "POST", "/backends", {"upstream": "http://127.0.0.1:9/deep"})
        assert "warning" not in deeper.json


async def test_an_address_that_cannot_be_known_is_refused() -> None:
    async with Lobby().open() as lobby:
        found = await call(lobby, "POST", "/backends", {"url": "http://nowhere.invalid:9"})
        assert (found.status, found.code) == (409, "not_added")


async def test_a_reload_is_answered_with_what_it_changed() -> None:
    async def reload() -> dict[str, Any]:
        await asyncio.sleep(0)
        return {"changed": ["policy"]}

    async with Lobby(reload=reload).open() as lobby:
        found = await call(lobby, "POST", "/reload")
        assert (found.status, found.json) == (200, {"reloaded": True, "changed": ["policy"]})


async def test_a_reload_that_fails_says_why_and_that_the_old_settings_stay() -> None:
    async with Lobby().open() as lobby:
        found = await call(lobby, "POST", "/reload")
        assert (found.status, found.code) == (409, "not_reloaded")
        assert "nothing to read" in found.json["error"]["message"]
        assert "old settings stay" in found.json["error"]["message"]


async def test_a_bug_in_a_change_is_an_answer_too(caplog: pytest.LogCaptureFixture) -> None:
    async def reload() -> dict[str, Any]:
        raise RuntimeError("a bug")

    async with Lobby(reload=reload).open() as lobby:
        assert (await call(lobby, "POST", "/reload")).status == 500


async def test_an_operator_who_leaves_harms_nothing() -> None:
    gate = asyncio.Event()
    done = asyncio.Event()

    async def reload() -> dict[str, Any]:
        await gate.wait()
        done.set()
        return {}

    async with Lobby(reload=reload).open() as lobby:
        visitor = await lobby.visit(b"POST /reload HTTP/1.1\r\nHost: localhost\r\n\r\n", admin=True)
        await lobby.until(lambda: lobby.clients.connections)
        visitor.leave()
        await lobby.until(lambda: not lobby.clients.connections)
        gate.set()
        async with asyncio.timeout(10):
            await done.wait()
        assert (await call(lobby, "GET", "/status")).status == 200


def test_options_come_as_text_numbers_lists_and_labels() -> None:
    spec = upstream_in(
        {"url": "http://h:1", "slots": 8, "weight": 0.5, "model": ["a", "b"], "name": "n", "labels": {"zone": "a"}}
    )
    assert (spec.slots, spec.weight, spec.models, spec.name, spec.labels) == (8, 0.5, ("a", "b"), "n", (("zone", "a"),))


@pytest.mark.parametrize(
    "fields",
    [
        {"upstream": "http://h:1;key-env=PATH"},
        {"url": "http://h:1", "key-env": "PATH"},
        {"url": "http://h:1", "key_env": "PATH"},
        {"url": "http://h:1", "slots": True},
        {"url": "http://h:1", "labels": ["zone"]},
        {"url": "http://h:1", "color": "red"},
        {"url": "http://h:1", "upstream": "http://h:1"},
    ],
)
def test_a_wrong_option_is_named_and_a_key_is_never_taken_from_here(fields: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="upstream"):
        upstream_in(fields)
