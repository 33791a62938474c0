"""What is counted and written down of requests, with real processes: the access log and ``/metrics``.

Faults 56 (neither tells what was asked, answered, or with which key) and 57 (whatever is asked for, the series are
bounded).
"""

from __future__ import annotations

import json
import stat
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest
import pytest_asyncio
from prometheus_client import parser

from tests.e2e.fake_engine import Wire, engine
from tests.e2e.pool import Balancer, HttpAnswer, backend, balancer, http, until
from tests.e2e.programs import output_of, python
from tests.e2e.raw_agent import registered
from tests.e2e.talk import ask, ask_line, endless, talk

pytestmark = pytest.mark.asyncio(loop_scope="module")

Line = dict[str, Any]
FAILING: Final = "failing"
ERROR: Final = b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n"
CANARY: Final = "canary-5b9e"
RANDOM: Final = 300


class House(NamedTuple):
    """A balancer with keys, a cache and an access log, an echo backend, and one that always fails."""

    balancer: Balancer
    path: Path
    key: str
    """Alice's."""

    @property
    def port(self) -> int:
        return self.balancer.port

    async def lines(self) -> list[Line]:
        text = self.path.read_text() if self.path.exists() else ""
        return [json.loads(line) for line in text.split("\n")[:-1]]  # behind the last one, half a line may stand

    async def line(self, **fields: Any) -> Line:
        """The last line with these fields, awaited if need be."""
        found = await until(self.lines, lambda lines: [line for line in lines if fields.items() <= line.items()])
        return next(line for line in reversed(found) if fields.items() <= line.items())

    async def series(self) -> dict[str, float]:
        """By name and labels, as they stand in the text."""
        answer = await http(self.balancer.admin_port, "GET", "/metrics")
        assert (answer.status, answer.headers["content-type"][:10]) == (200, "text/plain")
        return {
            sample.name.removeprefix("llm_balancer_") + json.dumps(sample.labels): sample.value
            for family in parser.text_string_to_metric_families(answer.body.decode())
            for sample in family.samples
        }


def series(name: str, **labels: str) -> str:
    return name + json.dumps(labels)


async def fails(body: dict[str, Any], wire: Wire) -> None:
    await wire.send(ERROR)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    folder = tmp_path_factory.mktemp("metrics")
    keys, log = str(folder / "keys"), folder / "access.log"
    status, key, err = await output_of(python("balancer", "key", "add", "alice", "--keys", keys))
    assert status == 0, err
    async with (
        balancer("--keys", keys, "--access-log", str(log), "--queue-timeout", "1", cache=True) as front,
        backend(front.port, "--echo-delay-ms", "5", "--slots", "4") as echo,
        engine(fails) as broken,
        registered(front.port, broken.url, name=FAILING, models=[{"name": FAILING}], endpoints=["completions"]),
    ):
        await front.until_alive(echo)
        await front.until(lambda status: status.state(FAILING) == "alive")
        yield House(front, log, key.strip())


async def post(house: House, id: str, *headers: str, **fields: Any) -> HttpAnswer:
    body = json.dumps({"model": "echo", "prompt": "one two three", **fields}).encode()
    return await http(house.port, "POST", "/v1/completions", f"x-request-id: {id}", *headers, body=body)


async def test_a_completed_answer_has_its_line(house: House) -> None:
    answer = await post(house, "req-1", f"Authorization: Bearer {house.key}", temperature=0.9)
    assert answer.status == 200
    line = await house.line(id="req-1")
    assert line.items() >= {
        "tenant": "alice", "model": "echo", "outcome": "completed", "status": 200, "attempts": 1, "resumed": 0,
        "cache": answer.headers["x-balancer-cache"].partition(";")[0], "backend": answer.headers["x-balancer-backend"],
    }.items()  # fmt: skip
    assert line["tokens_in"] > 0 and line["tokens_out"] == 3
    assert 0 <= line["queue_ms"] <= line["ttft_ms"] <= line["total_ms"] < 30_000
    assert stat.S_IMODE(house.path.stat().st_mode) & ~0o640 == 0


async def test_every_door_has_its_lines(house: House) -> None:
    answer = await ask(house.port, "said on the native door", model="echo", temperature=0.9)
    assert (await house.line(tenant="local", outcome="completed"))["tokens_out"] == 5, answer
    await post(house, "streamed", stream=True, temperature=0.9)
    assert (await house.line(id="streamed"))["outcome"] == "completed"
    async with talk(house.port) as classic:
        classic.write(b"CLIENT|ADD")
        classic.write(b"said on the classic door")
        assert await classic.reader.read(100)
    assert (await house.line(tenant="classic"))["outcome"] in ("completed", "model_required")


async def test_a_cache_hit_asks_no_backend(house: House) -> None:
    for id in ("first", "again"):
        await post(house, id, prompt="what was asked before")
    first, again = await house.line(id="first"), await house.line(id="again")
    assert (first["cache"], first["attempts"]) == ("miss", 1)
    assert (again["cache"], again["attempts"], again["outcome"]) == ("exact", 0, "completed")
    assert (await house.series())[series("cache_requests_total", result="exact")] >= 1


@pytest.mark.parametrize(
    ("model", "codes", "backend_name"),
    [("nobody's", ("model_not_found", "no_backend"), None), (FAILING, ("backend_failed",), FAILING)],
)
async def test_what_came_to_nothing_has_its_line(
    house: House, model: str, codes: tuple[str, ...], backend_name: str | None
) -> None:
    answer = await post(house, f"to-{model[:6]}", model=model)
    line = await house.line(id=f"to-{model[:6]}")
    assert line["outcome"] in codes and line["model"] == model and line["backend"] == backend_name
    assert line["status"] == answer.status
    counted = series("requests_total", model=FAILING if backend_name else "other", outcome=line["outcome"])
    assert (await house.series())[counted] >= 1


@pytest.mark.parametrize(
    ("key", "body", "outcome", "status", "tenant"),
    [
        (CANARY, b"{}", "invalid_api_key", 401, None),
        (None, CANARY.encode(), "not_json", 400, "local"),
        (None, b"{}", "invalid_request", 400, "local"),
    ],
)
async def test_what_never_became_a_request_has_its_line(
    house: House, key: str | None, body: bytes, outcome: str, status: int, tenant: str | None
) -> None:
    headers = [f"x-request-id: never-{outcome}", *([f"Authorization: Bearer {key}"] if key else [])]
    assert (await http(house.port, "POST", "/v1/completions", *headers, body=body)).status == status
    line = await house.line(id=f"never-{outcome}")
    assert (line["outcome"], line["status"], line["tenant"], line["model"]) == (outcome, status, tenant, None)
    assert (await house.series())[series("requests_total", model="other", outcome=outcome)] >= 1


async def test_a_client_that_leaves_has_its_line(house: House) -> None:
    async with talk(house.port) as connection:
        stream = connection.ask("over and over", 1, model="echo", key=house.key, **endless(4000))
        await connection.begun(stream)
        connection.cancel(1)
        await connection.ended(stream)
    line = await house.line(outcome="cancelled")
    assert (line["tenant"], line["model"], line["status"], line["attempts"]) == ("alice", "echo", 499, 1)
    assert (await house.series())[series("requests_total", model="echo", outcome="cancelled")] == 1


async def test_the_metrics_tell_pool_and_process(house: House) -> None:
    # Heartbeats come every second, the clock tick four times as often.
    await until(house.series, lambda found: found[series("heartbeats_total", kind="udp")] >= 1)
    found = await house.series()
    assert found[series("backend_state", backend=FAILING, state="alive")] == 1
    assert found[series("backend_in_flight", backend=FAILING)] == 0
    assert found[series("queue_requests")] == 0
    assert found[series("event_loop_lag_seconds_count")] >= 1
    assert found[series("process_resident_memory_bytes")] > 1 << 20
    assert found[series("connections")] >= 1
    answer = await http(house.balancer.admin_port, "GET", "/metrics", "Accept: application/openmetrics-text")
    assert answer.headers["content-type"].startswith("application/openmetrics-text")
    assert answer.body.endswith(b"# EOF\n")
    assert (await http(house.balancer.admin_port, "POST", "/metrics")).status == 405
    assert b"/metrics" in (await http(house.balancer.admin_port, "GET", "/")).body
    assert (await http(house.port, "GET", "/metrics")).status == 404


async def test_whatever_is_asked_for_the_series_are_bounded(house: House) -> None:
    """Random names of models and keys, and paths."""
    await ask(house.port, "hi", model="random 0")
    await ask(house.port, "hi", key="lb-random")
    before = set(await house.series())
    async with talk(house.port) as connection:
        for n in range(RANDOM):
            connection.write(ask_line("hi", f"m{n}", model=f"random {n}"))
            connection.write(ask_line("hi", f"k{n}", key=f"lb-random-{n}"))
        asked = [connection.expect(f"{kind}{n}") for n in range(RANDOM) for kind in "mk"]
        await connection.ended(*asked)
    for n in range(20):
        await http(house.port, "GET", f"/random/{n}?random={n}")
    after = await house.series()
    unknown = sum(after[name] for name in after if '"model": "other"' in name and name.startswith("requests_total"))
    assert unknown > RANDOM
    assert {name for name in set(after) - before if "outcome" not in name} == set()
    assert len(set(after) - before) <= 2  # a refusal for which it was too early before
    assert after[series("unauthenticated_total")] > RANDOM
    line = await house.line(model=f"random {RANDOM - 1}")
    assert line["backend"] is None


async def test_no_text_and_no_key_is_in_either(house: House) -> None:
    changes: list[dict[str, Any]] = [{}, {"cache": "only"}, {"max_tokens": -1}, {"user": CANARY}, {"model": FAILING}]
    for fields in changes:
        await ask(house.port, f"{CANARY} please", **{"model": "echo", "key": house.key, **fields})
    await ask(house.port, CANARY, key=CANARY)
    await post(house, "not sane " + CANARY, f"Authorization: Bearer {house.key}", prompt=[CANARY])
    await post(house, "the-last", f"Authorization: Bearer {CANARY}", f"Cookie: {CANARY}", prompt=CANARY)
    await post(house, "the-end", prompt=CANARY, stop=[CANARY])
    await house.line(id="the-end")
    metrics = await http(house.balancer.admin_port, "GET", "/metrics")
    for text in (house.path.read_text(), metrics.body.decode(), "\n".join(house.balancer.program.err)):
        assert CANARY not in text and house.key not in text


async def test_a_name_that_would_forge_a_line_does_not(house: House) -> None:
    forged = 'x"}\n{"time":"now","id":"forged"}\n'
    await ask(house.port, "hi", model=forged, key=house.key)
    line = await house.line(model=forged)
    assert line["id"] != "forged"
    assert not [line for line in await house.lines() if line["id"] == "forged"]


async def test_a_rotated_log_is_begun_anew(house: House) -> None:
    old = house.path.with_suffix(".1")
    house.path.rename(old)
    await post(house, "after-rotation", prompt="after")
    assert (await house.line(id="after-rotation"))["outcome"] == "completed"
    assert "after-rotation" not in old.read_text()


async def test_standard_output_will_do_and_the_last_line_is_written() -> None:
    async with balancer(LLM_BALANCER_ACCESS_LOG="-") as front:
        await ask(front.port, "hi", model="nobody's")
        front.program.terminate()
        assert await front.program.exited() == 0
        assert json.loads(front.program.out[-1])["outcome"] == "no_backend"
