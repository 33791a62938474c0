"""Clients' keys with real processes: who is let in, whose answers are whose, and where a key never shows.

Faults 41, 48 (the plain kind), 56 and 58.
"""

from __future__ import annotations

import asyncio
import importlib.util
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import pytest_asyncio

from tests.e2e.fake_engine import HEAD, LAST_CHUNK, FakeEngine, Wire, chunk, engine, events
from tests.e2e.pool import Balancer, HttpAnswer, backend, balancer, http, pool, until
from tests.e2e.programs import Program, output_of, python, started
from tests.e2e.raw_agent import registered
from tests.e2e.talk import ask, talk

pytestmark = pytest.mark.asyncio(loop_scope="module")

RECORDER = "recorder"
ASKING = json.dumps({"model": RECORDER, "prompt": "hi"}).encode()
SQL = "' OR 1=1 --"


class House(NamedTuple):
    """A balancer with keys, an echo backend, and an engine that keeps what it was sent."""

    balancer: Balancer
    echo: Program
    recorder: FakeEngine
    keys: dict[str, str]
    """By name."""

    @property
    def port(self) -> int:
        return self.balancer.port


async def made_keys(path: Path, *names: str) -> dict[str, str]:
    """As an operator makes them."""
    found = {}
    for name in names:
        status, out, err = await output_of(python("balancer", "key", "add", name, "--keys", str(path)))
        assert status == 0, err
        found[name] = out.strip()
    return found


async def answers(body: dict[str, Any], wire: Wire) -> None:
    if body.get("stream"):
        await wire.send(HEAD + chunk(events("all", " is", " well")) + LAST_CHUNK)
        return
    choice = {"index": 0, "text": "all is well", "finish_reason": "stop", "logprobs": None}
    usage = {"prompt_tokens": 1, "completion_tokens": 3, "total_tokens": 4}
    fields = {"id": "cmpl-1", "object": "text_completion", "created": 1, "model": RECORDER}
    whole = json.dumps({**fields, "choices": [choice], "usage": usage}).encode()
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    await wire.send(head % len(whole) + whole)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    path = tmp_path_factory.mktemp("keys") / "keys.jsonl"
    keys = await made_keys(path, "alice", "bob")
    async with balancer("--keys", str(path), "--log-level", "debug") as front, engine(answers) as recorder:
        async with backend(front.port) as echo:
            fields = {"name": RECORDER, "models": [{"name": RECORDER}], "endpoints": ["completions"]}
            async with registered(front.port, recorder.url, **fields):
                await front.until_alive(echo)
                await front.until(lambda status: status.state(RECORDER) == "alive")
                yield House(front, echo, recorder, keys)


def bearer(key: str) -> str:
    return f"Authorization: Bearer {key}"


async def post(port: int, *headers: str) -> HttpAnswer:
    return await http(port, "POST", "/v1/completions", *headers, body=ASKING)


async def test_a_wrong_key_is_401_on_every_door_and_asks_no_backend(house: House) -> None:
    alice = house.keys["alice"]
    wrong = ["lb-wrong", alice[:-1], alice + "x", alice.upper(), "", SQL, "eyJhbGciOiJub25lIn0.e30.", "x" * 5000]
    before = len(house.recorder.asked)
    refused = [await post(house.port, bearer(key)) for key in wrong]
    refused += [await post(house.port, f"Authorization: {given}") for given in (alice, f"Basic {alice}", "Bearer")]
    assert {answer.status for answer in refused} == {401}
    assert {answer.headers["www-authenticate"] for answer in refused} == {"Bearer"}
    (body,) = {answer.body for answer in refused}
    assert json.loads(body)["error"]["code"] == "invalid_api_key"
    assert (await http(house.port, "GET", "/v1/models", bearer("lb-wrong"))).status == 401
    assert {(await ask(house.port, "hi", model=RECORDER, key=key)).code for key in wrong} == {"invalid_api_key"}
    assert len(house.recorder.asked) == before
    status = await house.balancer.status()
    assert status.idle and status["counts"]["unauthenticated"] >= 2 * len(wrong)


async def test_a_key_lets_in_and_on_this_machine_none_is_needed(house: House) -> None:
    for headers in ([bearer(house.keys["alice"])], [bearer(house.keys["bob"])], []):
        assert (await post(house.port, *headers)).status == 200
        assert (await http(house.port, "GET", "/v1/models", *headers)).status == 200
    assert (await ask(house.port, "hi", model="echo", key=house.keys["alice"])).text == "hi"
    assert (await ask(house.port, "hi", model="echo")).text == "hi"
    for path in ("/livez", "/readyz", "/healthz", "/health"):
        assert (await http(house.port, "GET", path, bearer("lb-wrong"))).status == 200


async def test_no_key_reaches_a_backend_a_log_or_the_status(house: House) -> None:
    alice, wrong = house.keys["alice"], "lb-canary-4c1e"
    await post(house.port, bearer(alice), f"Cookie: {alice}", f"Proxy-Authorization: {alice}")
    await ask(house.port, "hi", model=RECORDER, key=alice)
    await ask(house.port, "hi", model="echo", key=alice, max_tokens=-1)
    await ask(house.port, "hi", model="echo", key=wrong)
    await ask(house.port, "hi", model="nobody's", key=alice)
    await post(house.port, bearer(wrong))
    async with talk(house.port) as broken:
        broken.write(f'{{"key":"{alice}","prompt":\n{{"key":"{wrong}","cancel":[]}}\n'.encode())
        await broken.until(lambda: broken.answers)
    status = await house.balancer.until_idle()
    programs = (house.balancer.program, house.echo)
    seen = [*(program.log + "\n".join(program.out) for program in programs), json.dumps(status)]
    seen += [*house.recorder.heads, *map(json.dumps, house.recorder.asked)]
    for key in (*house.keys.values(), wrong):
        assert not [text for text in seen if key in text or key.lower() in text]
    assert len(house.recorder.heads) >= 2


@pytest.mark.skipif(importlib.util.find_spec("openai") is None, reason="needs the openai package")
async def test_the_official_client_says_what_is_wrong(house: House) -> None:
    import openai

    def official(key: str) -> openai.AsyncOpenAI:
        return openai.AsyncOpenAI(base_url=f"http://127.0.0.1:{house.port}/v1", api_key=key, max_retries=2)

    async with official("lb-wrong") as client:
        with pytest.raises(openai.AuthenticationError) as raised:
            await client.completions.create(model=RECORDER, prompt="hi")
        assert raised.value.status_code == 401 and raised.value.code == "invalid_api_key"
        with pytest.raises(openai.AuthenticationError):
            await client.models.list()
    async with official(house.keys["bob"]) as client:
        answer = await client.completions.create(model=RECORDER, prompt="hi")
        assert answer.choices[0].text == "all is well"
        assert {model.id async for model in client.models.list()} == {"echo", RECORDER}


async def test_the_command_line_client_sends_its_key(house: House) -> None:
    command = python("client", "127.0.0.1", str(house.port), "--model", "echo", "-p", "hi")
    right, wrong = await asyncio.gather(
        output_of(command, LLM_BALANCER_KEY=house.keys["alice"]), output_of(command, LLM_BALANCER_KEY="lb-wrong")
    )
    assert right[:2] == (0, "hi\n"), right
    assert wrong[0] == 1 and "API key" in wrong[2] and "lb-wrong" not in wrong[2]


@pytest.mark.skipif(importlib.util.find_spec("uvicorn") is None, reason="needs the web extra")
@pytest.mark.parametrize("who", ["alice", "nobody"])
async def test_the_web_bridge_sends_its_key(tmp_path: Path, who: str) -> None:
    from websockets.asyncio.client import connect

    path = tmp_path / "keys"
    keys = {**await made_keys(path, "alice"), "nobody": "lb-wrong"}
    async with pool("--keys", str(path)) as running:
        command = python("frontend", "--port", "0", "--balancer", f"127.0.0.1:{running.port}")
        async with started("frontend", command, LLM_BALANCER_KEY=keys[who]) as bridge:
            url = (await bridge.said("ready: ")).split()[1].replace("http", "ws")
            async with connect(f"{url}/ws") as browser, asyncio.timeout(30):
                await browser.send(json.dumps({"id": 1, "question": "hi there", "turns": []}))
                said: list[dict[str, Any]] = []
                while not said or not {"done", "error"} & said[-1].keys():
                    said.append(json.loads(await browser.recv()))
            assert keys[who] not in bridge.log + json.dumps(said)
    if who == "alice":
        assert "done" in said[-1], said
    else:
        assert said[-1]["error"]["code"] == "invalid_api_key"


@pytest.mark.torch
@pytest.mark.skipif(importlib.util.find_spec("sentence_transformers") is None, reason="needs sentence-transformers")
async def test_tenants_do_not_share_what_is_cached(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    keys = await made_keys(path, "alice", "bob")
    async with pool("--keys", str(path), "--cache-wait-ms", "20000", cache=True) as running:
        port = running.port
        await running.balancer.until(lambda status: status["cache"]["embedder"]["ready"], 150.0)
        question, reworded = "How do I reset my password?", "How can I reset my password?"

        async def found(text: str, **fields: Any) -> str | None:
            """What the cache has for it, without storing anything."""
            answer = await ask(port, text, cache="only", **fields)
            return answer.code or answer.cache

        assert (await ask(port, question, key=keys["alice"])).cache == "miss"
        assert await found(question, key=keys["alice"]) == "exact"
        await until(lambda: found(reworded, key=keys["alice"]), lambda seen: seen == "semantic", 60.0)
        strangers: list[dict[str, str]] = [{"key": keys["bob"]}, {}]
        for stranger in strangers:
            assert await found(question, **stranger) == "not_cached"
            assert await found(reworded, **stranger) == "not_cached"
        assert (await ask(port, question, key=keys["bob"])).cache == "miss"
        over_http = await http(
            port,
            "POST",
            "/v1/completions",
            bearer(keys["alice"]),
            body=json.dumps({"model": "echo", "prompt": question}).encode(),
        )
        assert over_http.headers["x-balancer-cache"].startswith("exact")
        status, out, err = await output_of(
            python("balancer", "purge", "--tenant", "alice", "--admin", running.balancer.admin)
        )
        assert status == 0 and "entries forgotten" in out, err
        assert await found(question, key=keys["alice"]) == "not_cached"
        assert await found(question, key=keys["bob"]) == "exact"


async def test_beyond_this_machine_both_keys_and_a_token_are_needed(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    await made_keys(path, "alice")
    check = python("balancer", "--check-config", "--host", "0.0.0.0", "--keys", str(path))
    without, fine = await asyncio.gather(output_of(check), output_of(check, LLM_BALANCER_TOKEN="secret"))
    assert without[0] != 0 and "--token-file" in without[2] and "Traceback" not in without[2]
    assert fine[0] == 0, fine
