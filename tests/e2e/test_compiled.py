"""What ``scripts/compile`` made, where it is there: that it runs, and that an old one does not.

To make it takes minutes, so no test does. ``E2E_COMPILED=1`` runs all end-to-end tests with it.
"""

from __future__ import annotations

import asyncio
import json
import shutil
from pathlib import Path

import pytest

from balancer.compiled import SOURCES_FILE
from scripts.compiled_copy import COMPILED, PACKAGE, ROOT, environment, is_fresh
from tests.e2e.pool import backend, balancer, http
from tests.e2e.programs import output_of, python
from tests.e2e.talk import ask

QUESTION = {"model": "echo", "messages": [{"role": "user", "content": "to be or not"}]}


@pytest.fixture(autouse=True)
def _fresh() -> None:
    """Asked when a test begins: by then, somebody may have edited a source."""
    if not is_fresh():
        pytest.skip("there is no compiled copy of the sources as they are (scripts/compile makes one)")


async def test_a_compiled_balancer_says_so_and_answers_over_every_door() -> None:
    async with balancer("--no-embedder", cache=True, **environment()) as front:
        assert front.program.ready["compiled"] is True
        async with backend(front.port) as program:
            await front.until_alive(program)
            assert (await ask(front.port, "to be or not")).text == "to be or not"
            whole, again, stream = [
                await http(front.port, "POST", "/v1/chat/completions", body=json.dumps(body).encode())
                for body in (QUESTION, QUESTION, {**QUESTION, "stream": True, "seed": 1})
            ]
            assert whole.json()["choices"][0]["message"]["content"] == "to be or not"
            assert again.headers["x-balancer-cache"].startswith("exact")
            assert b"data: [DONE]\n\n" in stream.body
        assert (await front.status())["compiled"] is True


async def test_one_that_was_made_from_other_sources_does_not_start(tmp_path: Path) -> None:
    """Neither the daemon of an old copy, nor one whose sources were edited since."""
    copy, sources = tmp_path / "compiled", tmp_path / "sources"
    leave_out = shutil.ignore_patterns("__pycache__")
    await asyncio.to_thread(shutil.copytree, COMPILED, copy, ignore=leave_out)
    await asyncio.to_thread(shutil.copytree, ROOT / "balancer", sources / "balancer", ignore=leave_out)
    (copy / "balancer" / SOURCES_FILE).write_text(str(sources / "balancer"))
    with (sources / "balancer" / "errors.py").open("a") as file:
        file.write("# edited\n")
    path = {**environment(), "PYTHONPATH": str(copy)}
    status, out, err = await output_of(python("balancer", "--port", "0", "--admin-port", "0", "--no-cache"), **path)
    assert (status, out) == (1, "")
    assert "errors.py changed since this was compiled: run scripts/compile again" in err


async def test_its_version_tells_it_apart() -> None:
    status, out, _ = await output_of([str(PACKAGE.parent / "llm-balancer"), "--version"])
    assert status == 0
    assert out.strip().endswith("(compiled)")
