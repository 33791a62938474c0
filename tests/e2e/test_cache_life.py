"""The life of a cached answer: kept over a restart, purged, called wrong, warmed, forgotten. Equal questions alone."""

from __future__ import annotations

import json
import re
import signal
from pathlib import Path
from typing import Any

from tests.e2e.pool import Pool, http, pool
from tests.e2e.programs import output_of, python
from tests.e2e.talk import ask, talk

EXACT = "--no-embedder"


async def cache_command(running: Pool, *arguments: str, stdin: bytes = b"") -> Any:
    """What ``llm-balancer cache ...`` tells."""
    command = python("balancer", "cache", *arguments, "--json", "--admin", running.balancer.admin)
    status, out, err = await output_of(command, stdin)
    assert status == 0, err
    return json.loads(out)


async def change(running: Pool, path: str) -> Any:
    """What the admin port answers to a change of the cache."""
    found = await http(running.balancer.admin_port, "POST", path)
    return found.json() if found.status == 200 else found.status


async def known(running: Pool, prompt: str) -> bool:
    return (await ask(running.port, prompt, cache="only")).error is None


async def test_answers_are_known_after_a_restart_and_after_a_kill(tmp_path: Path) -> None:
    path = tmp_path / "cache.db"
    async with pool(EXACT, "--cache-file", str(path), cache=True) as running:
        first = await ask(running.port, "Why is the sky blue?")
        running.balancer.program.terminate()
        assert await running.balancer.program.exited() == 0
    assert path.stat().st_mode & 0o777 == 0o600
    async with pool(EXACT, "--cache-file", str(path), cache=True) as running:
        again = await ask(running.port, "Why is the sky blue?")
        assert (again.cache, again.text, again.backend) == ("exact", first.text, first.backend)
        await ask(running.port, "Why is the sea blue?")
        await running.balancer.until(lambda status: status["cache"]["file"]["written"] == 1)
        await running.balancer.program.kill()
    async with pool(EXACT, "--cache-file", str(path), cache=True) as running:
        assert await known(running, "Why is the sky blue?") and await known(running, "Why is the sea blue?")
        assert (await running.balancer.status())["cache"]["file"]["restored"] == 2
        assert await change(running, "/cache/purge") == {"purged": 2}
        running.balancer.program.send(signal.SIGTERM)
        assert await running.balancer.program.exited() == 0
    assert b"blue" not in path.read_bytes()


async def test_a_successor_takes_the_file_over_once_its_predecessor_has_ended(tmp_path: Path) -> None:
    options = (EXACT, "--cache-file", str(tmp_path / "cache.db"))
    async with pool(*options, cache=True) as first, pool(*options, cache=True) as second:
        await second.balancer.program.wrote("takes the file once it is free")
        await ask(first.port, "Why is the sky blue?")
        first.balancer.program.terminate()
        assert await first.balancer.program.exited() == 0
        await second.balancer.program.wrote("is ours now: 1 cached answers")
        assert (await ask(second.port, "Why is the sky blue?", cache="only")).cache == "exact"
        assert (await second.balancer.status())["cache"]["file"]["trouble"] is None


async def test_a_damaged_file_costs_what_was_in_it_and_says_so(tmp_path: Path) -> None:
    path = tmp_path / "cache.db"
    path.write_bytes(b"no database at all " * 1000)
    async with pool(EXACT, "--cache-file", str(path), cache=True) as running:
        assert "cache.db.aside" in await running.balancer.program.wrote("can't be read")
        assert (await ask(running.port, "Who?")).cache == "miss"
        assert (await ask(running.port, "Who?")).cache == "exact"


async def test_what_may_be_done_to_entries_that_live(tmp_path: Path) -> None:
    async with pool(EXACT, cache=True) as running:
        for prompt in ("How tall is it?", "How far is it?", "Who is it?", "Why is it?", "When is it?"):
            await ask(running.port, prompt)
        assert await cache_command(running, "purge", "--prefix", "How ", "--tenant", "local") == {"purged": 2}
        assert not await known(running, "How far is it?") and await known(running, "Who is it?")

        hit = await ask(running.port, "Who is it?")
        assert hit.done is not None
        entry = hit.done["entry"]
        assert await change(running, f"/cache/wrong/{entry}") == {"entry": entry, "forgotten": True}
        assert not await known(running, "Who is it?")

        async with talk(running.port) as connection:
            again = connection.ask("Why is it?")
            await connection.ended(again)
            assert again.done is not None
            connection.write(json.dumps({"wrong": again.done["entry"]}).encode() + b"\n")
            told = json.loads(await connection.reader.readline())
        assert told == {"wrong": {"entry": again.done["entry"], "forgotten": True}}
        assert not await known(running, "Why is it?")

        body = json.dumps({"model": "echo", "prompt": "When is it?"}).encode()
        seen = await http(running.port, "POST", "/v1/completions", body=body)
        found = re.search(r"entry=([0-9a-f]{32})", seen.headers["x-balancer-cache"])
        assert found is not None
        statuses = [(await http(running.port, "POST", f"/v1/cache/wrong/{found[1]}")).status for _ in range(2)]
        assert statuses == [200, 404]

        lines = [{"prompt": "What?", "answer": "That.", "model": "echo"}, {"prompt": "Which?", "answer": "This."}]
        assert await cache_command(running, "warm", "-", stdin="\n".join(map(json.dumps, lines)).encode()) == {
            "stored": 2,
            "errors": [],
        }
        assert (await ask(running.port, "What?", cache="only")).text == "That."
        assert await change(running, "/cache/forget?model=echo") == {"forgotten": "echo"}
        assert not await known(running, "What?")
        assert (await running.balancer.status())["cache"]["reported_wrong"] == 3
