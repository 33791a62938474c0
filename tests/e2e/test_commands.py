"""The operator's commands against a running daemon, and settings that cannot be."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.e2e.pool import Pool, http, pool
from tests.e2e.programs import output_of, python
from tests.e2e.talk import ask

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running() -> AsyncIterator[Pool]:
    async with pool("-r", backends=[["--name", "gpu-1"], ["--name", "gpu-2"]]) as found:
        yield found


async def test_status_shows_the_pool_to_people_and_to_programs(running: Pool) -> None:
    where = ("--admin", running.balancer.admin)
    status, out, err = await output_of(python("balancer", "status", *where))
    assert status == 0 and "gpu-1" in out and "gpu-2" in out and "alive" in out, err
    status, out, _ = await output_of(python("balancer", "status", "--json", *where))
    found = json.loads(out)
    assert status == 0 and {each["name"] for each in found["backends"]} == {"gpu-1", "gpu-2"}
    assert found["queue"] == {"waiting": 0, "bytes": 0} and found["cache"] is None


async def test_drain_takes_a_backend_out_and_back_in(running: Pool) -> None:
    where = ("--admin", running.balancer.admin)
    assert (await output_of(python("balancer", "drain", "gpu-1", *where)))[0] == 0
    assert {(await ask(running.port, f"x {n}")).backend for n in range(4)} == {"gpu-2"}
    assert (await output_of(python("balancer", "drain", "gpu-1", "--undo", *where)))[0] == 0
    await running.balancer.until(lambda status: len(status.alive) == 2)
    assert {(await ask(running.port, f"x {n}")).backend for n in range(4)} == {"gpu-1", "gpu-2"}
    status, _, err = await output_of(python("balancer", "drain", "gpu-9", *where))
    assert status != 0 and "gpu-9" in err


async def test_purge_without_a_cache_says_so(running: Pool) -> None:
    status, _, err = await output_of(python("balancer", "purge", "--admin", running.balancer.admin))
    assert status != 0 and "cache" in err


async def test_commands_without_a_daemon_say_so() -> None:
    status, _, err = await output_of(python("balancer", "status", "--admin", "127.0.0.1:9"))
    assert status != 0 and "127.0.0.1:9" in err and "Traceback" not in err


async def test_the_admin_port_does_not_serve_web_pages_nor_the_public_port_the_operator(running: Pool) -> None:
    admin = running.balancer.admin_port
    assert (await http(admin, "GET", "/status", "Origin: http://evil.example")).status == 403
    assert (await http(admin, "GET", "/drain/gpu-1")).status == 405
    for path in ("/status", "/drain/gpu-1", "/cache/purge"):
        assert (await http(running.port, "GET", path)).status == 404


async def test_settings_come_from_flags_before_environment_before_file(tmp_path: Path) -> None:
    path, wrong = tmp_path / "balancer.yaml", tmp_path / "wrong.yaml"
    path.write_text("policy: round-robin\nqueue-size: 3\n")
    wrong.write_text("polcy: round-robin\n")
    check = python("balancer", "--config", str(path), "--check-config")
    fine, environment, flag, suggested = await asyncio.gather(
        output_of(check),
        output_of(check, LLM_BALANCER_POLICY="no-such"),
        output_of([*check, "-c"], LLM_BALANCER_POLICY="no-such"),
        output_of(python("balancer", "--config", str(wrong), "--check-config")),
    )
    assert fine[0] == 0 and flag[0] == 0, (fine, flag)
    assert environment[0] != 0 and "no-such" in environment[2]
    assert suggested[0] != 0 and "policy" in suggested[2]


SENSELESS = [
    (("--host", "0.0.0.0"), "--insecure"),
    (("-r", "-c"), "one at a time"),
    (("--token-file", "/nonexistent"), "token-file"),
]


async def test_settings_that_cannot_be_are_refused_in_words() -> None:
    commands = [python("balancer", "--check-config", *arguments) for arguments, _ in SENSELESS]
    results = await asyncio.gather(*(output_of(command) for command in commands))
    for (arguments, said), (status, _, err) in zip(SENSELESS, results, strict=True):
        assert status != 0 and said in err and "Traceback" not in err, arguments
