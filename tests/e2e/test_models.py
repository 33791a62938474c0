"""Names that mean several models, models that stand in for others, labels that are preferred, and reasons.

One balancer, and engines by hand: ``v1`` and ``v2`` behind one name, a provider's ``far`` behind them.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

from tests.e2e.broken import says_internal_error, well
from tests.e2e.fake_engine import FakeEngine, Wire, engine
from tests.e2e.pool import Balancer, HttpAnswer, balancer, http
from tests.e2e.programs import output_of, python
from tests.e2e.talk import ask

MODELS = """
  gpt-x: {v1: 50, v2: 50}
  v1: {fallback: [nobody, far]}
"""
ALIAS = "  gpt-y: v2\n"


class House(NamedTuple):
    front: Balancer
    engines: dict[str, FakeEngine]
    file: Path

    def write(self, models: str, more: str = "") -> None:
        upstreams = (
            f"  - '{found.url};model={name};name={name};label.zone=b'\n"
            for name, found in self.engines.items()
            if name != "near"
        )
        near = f"  - '{self.engines['near'].url};model=v2;name=near;label.zone=a'\n"
        self.file.write_text(f"upstream:\n{''.join(upstreams)}{near}models:{models}{more}")

    @property
    def asked(self) -> int:
        """By all of them together."""
        return sum(len(found.asked) for found in self.engines.values())

    async def post(self, *headers: str, **body: Any) -> HttpAnswer:
        content = json.dumps({"prompt": "hi", **body}).encode()
        return await http(self.front.port, "POST", "/v1/completions", *headers, body=content)

    async def run(self, *arguments: str) -> tuple[int, str, str]:
        return await output_of(python("balancer", *arguments, "--admin", self.front.admin))


async def answers_whole(body: dict[str, Any], wire: Wire) -> None:
    """As engines do; a body in one piece for who asked for no stream."""
    if body.get("stream"):
        await well(body, wire)
        return
    choice = {"index": 0, "text": "well", "finish_reason": "stop"}
    usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
    answer = {"id": "cmpl-1", "object": "text_completion", "created": 1, "model": body["model"], "choices": [choice]}
    content = json.dumps({**answer, "usage": usage}).encode()
    await wire.send(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(content))
    await wire.send(content)


@asynccontextmanager
async def house(path: Path) -> AsyncIterator[House]:
    async with AsyncExitStack() as stack:
        names = ("v1", "v2", "far", "near")
        engines = {name: await stack.enter_async_context(engine(answers_whole)) for name in names}
        found = House(None, engines, path / "balancer.yaml")  # type: ignore[arg-type]
        found.write(MODELS)
        front = await stack.enter_async_context(balancer("--config", str(found.file), "--explain"))
        await front.until(lambda status: set(status.alive) == set(names))
        yield found._replace(front=front)


async def test_names_shares_fallbacks_and_a_reload(tmp_path: Path) -> None:
    async with house(tmp_path) as found:
        engines = found.engines
        # A session keeps its model, and both models have sessions.
        models = {}
        for number in range(12):
            session = f"s{number % 6}"
            answer = await found.post(model="gpt-x", prompt_cache_key=session)
            model = answer.headers["x-balancer-model"]
            assert answer.status == 200 and answer.json()["model"] == model in ("v1", "v2")
            assert models.setdefault(session, model) == model
        assert set(models.values()) == {"v1", "v2"}
        assert {body["model"] for body in engines["v1"].asked} == {"v1"}
        # A client may name one of those, and no other.
        answer = await found.post("x-balancer-model: v2", model="gpt-x")
        assert answer.headers["x-balancer-model"] == "v2"
        for header, code in (
            ("x-balancer-model: far-off", "model_not_allowed"),
            ("x-balancer-fallback: v2", "invalid_fallback"),
        ):
            refused = await found.post(header, model="gpt-x")
            assert (refused.status, refused.json()["error"]["code"]) == (400, code)
        listed = (await http(found.front.port, "GET", "/v1/models")).json()["data"]
        assert {"gpt-x", "v1", "v2", "far"} <= {model["id"] for model in listed}
        # An engine that fails hands over to a provider's model, unless the client forbids it.
        engines["v1"].script = says_internal_error
        answer = await found.post(model="v1")
        assert (answer.status, answer.headers["x-balancer-model"], answer.json()["model"]) == (200, "far", "far")
        native = await ask(found.front.port, "hi", model="v1")
        assert native.done is not None and (native.done["model"], native.backend) == ("far", "far")
        refused = await found.post("x-balancer-fallback: none", model="v1")
        assert refused.status == 502
        assert (await ask(found.front.port, "hi", model="v1", fallback=False)).code == "backend_failed"
        assert (await found.front.status())["counts"]["fallbacks"] == 4  # `nobody` had its turn, too
        # A reload is all or nothing.
        found.write(MODELS + "  v2: gpt-x\n")
        status, _, err = await found.run("reload")
        assert status == 1 and "is no model but a name" in err
        assert (await found.post(model="gpt-y")).status in (404, 503)
        found.write(MODELS + ALIAS, "prefer: zone=a\n")
        status, out, err = await found.run("reload")
        assert status == 0 and "models, prefer" in out, out + err
        answer = await found.post(model="gpt-y")
        assert (answer.headers["x-balancer-model"], answer.headers["x-balancer-backend"]) == ("v2", "near")
        await found.front.until_idle()


async def test_every_choice_says_why_and_asking_why_sends_nothing(tmp_path: Path) -> None:
    async with house(tmp_path) as found:
        answer = await found.post("x-balancer-explain: 1", model="v2")
        told = json.loads(answer.headers["x-balancer-explain"])
        assert told["choice"] == answer.headers["x-balancer-backend"]
        assert {one["name"] for one in told["eligible"]} == {"v2", "near"}
        assert {one["name"]: one["why"] for one in told["filtered"]} == {"v1": "model", "far": "model"}
        native = await ask(found.front.port, "hi", model="v1", explain=True)
        assert native.done is not None and native.done["explain"]["choice"] == "v1"
        plain = await ask(found.front.port, "hi", model="v1")
        assert plain.done is not None and "explain" not in plain.done
        asked = found.asked
        status, out, err = await found.run("explain", "--model", "gpt-x", "--arm", "v1", "--prompt", "hi")
        assert status == 0 and "gpt-x means v1 50 %, v2 50 %: this one v1" in out and "-> v1" in out, out + err
        assert "if v1 cannot answer:" in out and "-> far" in out and "does not offer the model" in out
        status, out, _ = await found.run("explain", "--model", "v2", "--endpoint", "embeddings", "--json")
        (route,) = json.loads(out)["routes"]
        assert (
            status == 0 and not route["eligible"] and {one["why"] for one in route["filtered"]} == {"model", "endpoint"}
        )
        assert (await found.run("explain", "--model", "gpt-x", "--arm", "v9"))[0] == 1
        assert found.asked == asked
