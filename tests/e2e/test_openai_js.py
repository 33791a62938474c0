"""OpenAI's own JavaScript client, where node finds it (``npm install openai`` and NODE_PATH): nothing is fetched."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.e2e.pool import pool
from tests.e2e.programs import started

SCRIPT = Path(__file__).with_name("openai_sdk.cjs")


def installed() -> bool:
    node = shutil.which("node")
    return node is not None and subprocess.run([node, "-e", "require('openai')"], capture_output=True).returncode == 0


async def test_the_javascript_client() -> None:
    if not installed():
        pytest.skip("node does not find the package openai")
    async with pool(backends=[["--echo-delay-ms", "10"]]) as (front, (program,)):
        node_path = os.environ.get("NODE_PATH", "")
        async with started("node", ["node", str(SCRIPT), str(front.port)], NODE_PATH=node_path) as node:
            await node.wrote("now kill it", 60.0)
            await program.kill()
            await node.until_ready()
            seen = node.ready
        await front.until_idle()
    said = {"text": "one two three", "ids": 1}
    assert seen["chat"] == seen["gathered"] == "one two three"
    assert seen["stream"] == {**said, "usages": 0} and seen["usage"] == {**said, "usages": 1}
    assert seen["unknown"] == {"name": "NotFoundError", "status": 404, "code": "model_not_found"}
    assert (seen["bad"]["name"], seen["bad"]["code"]) == ("BadRequestError", "invalid_messages")
    assert seen["timeout"]["name"] == "APIConnectionTimeoutError"
    assert seen["broken"]["name"] == "APIError" and seen["broken"]["code"] in ("backend_failed", "backend_lost")
