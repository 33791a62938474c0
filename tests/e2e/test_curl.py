"""curl against the running daemon: errors, options in headers, bodies announced first or in chunks."""

from __future__ import annotations

import json
import shutil
from collections.abc import AsyncIterator
from typing import Any, NamedTuple

import pytest
import pytest_asyncio

from tests.e2e.pool import FREED_S, Pool, pool
from tests.e2e.programs import output_of

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(shutil.which("curl") is None, reason="no curl here"),
]

COMPLETIONS = "/v1/completions"
SLOW: dict[str, Any] = {"prompt": "one two", "max_tokens": 5000, "ignore_eos": True}


class Curled(NamedTuple):
    exit_status: int
    status: int
    head: str
    body: str

    @property
    def code(self) -> Any:
        return json.loads(self.body)["error"]["code"]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running() -> AsyncIterator[Pool]:
    """Two slots, fifty tokens a second; nothing is cached."""
    async with pool(backends=[["--slots", "2", "--echo-delay-ms", "20"]]) as found:
        yield found


async def curl(running: Pool, path: str, body: Any, *arguments: str) -> Curled:
    """POST; the last head and body that came."""
    url = f"http://127.0.0.1:{running.port}{path}"
    given = ["-sS", "-N", "-i", "-m", "30", "-H", "content-type: application/json", "--data-binary", "@-", *arguments]
    exit_status, out, _ = await output_of(["curl", *given, url], json.dumps(body).encode())
    head, _, rest = out.partition("\r\n\r\n") if "\r\n\r\n" in out else out.partition("\n\n")
    while head.startswith("HTTP/1.1 100"):
        head, _, rest = rest.partition("\r\n\r\n") if "\r\n\r\n" in rest else rest.partition("\n\n")
    return Curled(exit_status, int(head.split()[1]), head.lower(), rest)


async def test_an_error_is_a_status_for_scripts_and_an_object_for_people(running: Pool) -> None:
    found = await curl(running, COMPLETIONS, {"prompt": "x", "temperature": -1}, "--fail-with-body")
    assert (found.exit_status, found.status) == (22, 400)
    assert json.loads(found.body)["error"]["type"] == "invalid_request_error"
    assert (await curl(running, COMPLETIONS, [])).code == "not_json"
    assert (await curl(running, COMPLETIONS, {"prompt": "x", "stream": "yes"})).code == "invalid_stream"


@pytest.mark.parametrize("stream", [False, True])
async def test_a_deadline_of_the_clients_own(running: Pool, stream: bool) -> None:
    found = await curl(running, COMPLETIONS, {**SLOW, "stream": stream}, "-H", "x-balancer-timeout: 1.5")
    if stream:
        assert found.status == 200 and found.body.rstrip().endswith("}}")
        assert json.loads(found.body.rstrip().rpartition("data: ")[2])["error"]["code"] == "deadline_passed"
        assert "[DONE]" not in found.body
    else:
        assert (found.status, found.code) == (504, "deadline_passed")
    await running.balancer.until_idle()


@pytest.mark.parametrize(
    ("header", "code"),
    [
        ("x-balancer-timeout: soon", "invalid_timeout"),
        ("x-balancer-first-token-timeout: 0", "invalid_timeout"),
        ("x-balancer-token-timeout: -1", "invalid_timeout"),
        ("x-balancer-resume: perhaps", "invalid_resume"),
    ],
)
async def test_an_option_that_is_none_is_refused(running: Pool, header: str, code: str) -> None:
    found = await curl(running, COMPLETIONS, {"prompt": "x"}, "-H", header)
    assert (found.status, found.code) == (400, code)


async def test_a_body_that_is_announced_first_or_comes_in_chunks(running: Pool) -> None:
    """``Expect: 100-continue`` as curl sends it with large bodies, and a body of unknown length."""
    body = {"prompt": "one two", "user": "x" * (1 << 20), "stream": True}
    for header in ("Expect: 100-continue", "Transfer-Encoding: chunked"):
        found = await curl(running, COMPLETIONS, body, "-H", header)
        assert found.status == 200 and found.body.rstrip().endswith("data: [DONE]"), found.head


async def test_what_nobody_offers_is_said_in_words(running: Pool) -> None:
    for path in ("/v1/embeddings", "/v1/responses"):
        found = await curl(running, path, {"model": "echo", "input": "x"})
        assert (found.status, found.code) == (400, "wrong_endpoint")
    found = await curl(running, "/v1/responses/resp_1", None, "-X", "DELETE")
    assert (found.status, found.code) == (501, "not_implemented")


async def test_who_stops_curl_frees_the_slot(running: Pool) -> None:
    """Fault 29."""
    found = await curl(running, COMPLETIONS, {**SLOW, "stream": True}, "-m", "2")
    assert found.exit_status == 28
    await running.balancer.until(lambda status: status.idle, FREED_S)
    assert 0 < found.body.count("data: ") < SLOW["max_tokens"]
