"""The live routing bench: that engines in real time keep the simulator's model, and a plan is the same everywhere."""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scripts.bench.targets import ROUTER_PYTHON, python_router
from scripts.bench_routing_parts import report
from scripts.bench_routing_parts.clients import Clients
from scripts.bench_routing_parts.engines import Connection
from scripts.bench_routing_parts.live_clock import LiveClock
from scripts.bench_routing_parts.live_engine import LiveEngine, Question
from scripts.bench_routing_parts.plan import WORKLOADS, Conversation, Plan, Turn, carry_out
from scripts.bench_routing_parts.report import FORETOLD, Race, row
from scripts.bench_routing_parts.run import ENGINES, Course, Outcome, simulated
from scripts.bench_routing_parts.targets import CACHE_AWARE, NAMES, OURS, ROUND_ROBIN, contestant
from scripts.bench_routing_parts.texts import common_text, runs, text, token_count
from scripts.simulate_parts.clock import Clock
from scripts.simulate_parts.engine import PREFILL_TOKENS_PER_S, STEP_S
from scripts.simulate_parts.request import BLOCK_TOKENS


class Notes:
    """A `World` that only notes what is asked, and answers at once."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.asked: list[tuple[float, int, int]] = []

    def ask(self, conversation: Conversation, turn: int, answered: Callable[[], None]) -> None:
        self.asked.append((self.clock.now, conversation.number, turn))
        answered()


class Reading:
    """A reader of one answer."""

    def __init__(self) -> None:
        self.events: list[bytes] = []
        self.done = asyncio.Event()

    def event(self, content: bytes) -> None:
        self.events.append(content)

    def ended(self) -> None:
        self.done.set()


def question(*contents: str, tokens: int) -> Question:
    return Question([{"role": "user", "content": content} for content in contents], max_tokens=tokens)


@pytest.mark.parametrize("name", sorted(WORKLOADS))
def test_one_seed_is_one_plan(name: str) -> None:
    plans = [WORKLOADS[name].plan(random.Random(seed), 20.0, 30.0) for seed in (1, 1, 2)]
    assert plans[0] == plans[1] != plans[2]
    assert all(0.0 <= conversation.at < 30.0 and conversation.turns for conversation in plans[0])


def test_turns_of_a_conversation_come_one_after_the_other() -> None:
    notes = Notes()
    carry_out([Conversation(1.0, 7, 0, 0, [Turn(10, 10, 2.0), Turn(10, 10, 3.0), Turn(10, 10)])], notes)
    notes.clock.run(10.0)
    assert notes.asked == [(1.0, 7, 0), (3.0, 7, 1), (6.0, 7, 2)]


def test_texts_have_as_many_tokens_as_they_should() -> None:
    assert token_count(text("one", 40)) == 40 and text("one", 40) == text("one", 40) != text("other", 40)


@given(st.lists(st.integers(0, 100), max_size=8), st.integers(0, 8))
def test_conversations_share_the_blocks_of_the_messages_with_which_both_begin(lengths: list[int], common: int) -> None:
    one = [text(f"{number}", tokens) for number, tokens in enumerate(lengths)]
    other = [*one[:common], "x" + text("other", 50)]
    assert sum(run.blocks for run in runs(one)) == sum(lengths) // BLOCK_TOKENS
    assert runs(one)[:common] == runs(other)[: min(common, len(one))]
    assert not set(runs(one)[common:]) & set(runs(other))


async def test_the_clock_tells_what_is_late_when_it_should_have_been() -> None:
    clock, seen = LiveClock(), list[float]()
    clock.at(0.02, lambda: seen.append(clock.now))
    clock.at(0.01, lambda: clock.after(0.03, lambda: seen.append(clock.now)))
    await asyncio.sleep(0.15)
    clock.catch_up()
    assert seen == pytest.approx([0.02, 0.04])
    assert clock.lates_s and min(clock.lates_s) >= 0.0
    assert clock.now >= 0.15
    clock.stop()


async def test_a_slower_clock_takes_longer() -> None:
    clock = LiveClock(50.0)
    rung = asyncio.Event()
    clock.at(0.02, rung.set)
    await asyncio.sleep(0.05)
    assert not rung.is_set()
    await asyncio.wait_for(rung.wait(), 10.0)


async def test_a_live_engine_counts_what_its_cache_held_and_is_as_fast_as_the_model() -> None:
    engine = LiveEngine(LiveClock(), "engine-3")
    first, second = Reading(), Reading()
    prompt = common_text("prefix", 320)
    asked = engine.question(question(prompt, text("a", 80), tokens=4), first)
    await asyncio.wait_for(first.done.wait(), 10.0)
    assert asked.cached_tokens == 0
    assert asked.ttft_s == pytest.approx(STEP_S + 400 / PREFILL_TOKENS_PER_S)
    again = engine.question(question(prompt, text("b", 80), tokens=4), second)
    await asyncio.wait_for(second.done.wait(), 10.0)
    assert again.cached_tokens == 320
    assert again.ttft_s == pytest.approx(STEP_S + 80 / PREFILL_TOKENS_PER_S)
    assert b'"cached_tokens":320' in second.events[-1] and b"engine-3" in second.events[-1]
    assert (engine.answered, engine.prompt_tokens, engine.cached_tokens) == (2, 800, 320)
    assert b"vllm:num_requests_running" in engine.metrics()


async def test_a_reader_that_leaves_frees_its_place() -> None:
    engine, reader = LiveEngine(LiveClock(), "engine-0"), Reading()
    asked = engine.question(question(text("a", 400), tokens=100_000), reader)
    engine.drop(asked)
    other = Reading()
    engine.question(question(text("b", 400), tokens=2), other)
    await asyncio.wait_for(other.done.wait(), 10.0)
    assert engine.beat().running == 0 and not reader.events


async def test_clients_get_their_plan_answered_and_grow_their_chats() -> None:
    loop, clock = asyncio.get_running_loop(), LiveClock()
    engine = LiveEngine(clock, "engine-5")
    server = await loop.create_server(lambda: Connection(engine), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    clients = Clients(port, clock, 10.0)
    carry_out([Conversation(0.01, 1, 2, 64, [Turn(32, 32, 0.01), Turn(16, 8)])], clients)
    async with asyncio.timeout(20.0):
        while len(clients.begun) < 2 or clients.running:
            await asyncio.sleep(0.01)
    clients.close()
    server.close()
    first, second = clients.begun
    assert [asked.ask.prompt_tokens for asked in clients.begun] == [96, 144]
    assert (first.backend, second.backend) == (5, 5)
    assert (first.cached_tokens, second.cached_tokens) == (0, 128)
    assert 0 < first.ttft_s <= first.ended_at - first.at


async def test_what_fails_has_no_end() -> None:
    clients = Clients(9, LiveClock(), 10.0)
    carry_out([Conversation(0.0, 1, 0, 16, [Turn(16, 16), Turn(16, 16)])], clients)
    async with asyncio.timeout(10.0):
        while not clients.begun:
            await asyncio.sleep(0.01)
        await clients.all_ended()
    assert [asked.ended_at for asked in clients.begun] == [-1.0]


def test_the_simulator_gets_the_same_plan() -> None:
    course = Course(WORKLOADS["chats"], 10.0, 1, 12.0, 1.0)
    first, again = simulated(course, "prefix-affinity"), simulated(course, "prefix-affinity")
    assert first == again
    assert first.found.requests > 10 and first.found.unanswered == 0


@pytest.mark.parametrize("name", NAMES)
def test_contestants_that_are_installed_can_be_started(name: str) -> None:
    found = contestant(name, [1, 2], "least-tokens")
    if found.target.command is None:
        assert "sglang-router" in found.target.missing
    else:
        told = " ".join(found.target.command)
        assert found.engines_beat or "http://127.0.0.1:1 " in told.replace(";", " ") + " "


def test_a_router_that_is_not_where_it_was_said_to_be_is_missing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(ROUTER_PYTHON, str(tmp_path / "python"))
    assert python_router("r", "sglang-router", ["http://127.0.0.1:1"]).command is None


def outcome(ttft_s: float, hit: float) -> Outcome:
    course = Course(WORKLOADS["shared"], 5.0, 1, 6.0, 1.0)
    found = simulated(course, "round-robin").found
    return Outcome(found._replace(ttft_p50_s=ttft_s, ttft_p90_s=ttft_s, ttft_p99_s=ttft_s, hit=hit))


def test_the_table_says_whether_it_came_as_foretold() -> None:
    rows = {
        OURS: row([outcome(1.0, 0.9), outcome(1.2, 0.9)]),
        FORETOLD: row([outcome(1.0, 0.89)]),
        CACHE_AWARE: row([outcome(2.2, 0.8)]),
    }
    said = report.text(Race("shared", "prefixes", 5.0, [1, 2], rows))
    assert "p50 1.10 x" in said and "hit +1.0 points: as foretold" in said
    assert "p50 0.50 x" in said and "+10.0 points" in said
    turns = report.text(Race("shared", "prefixes", 5.0, [1], {**rows, ROUND_ROBIN: row([outcome(11.0, 0.1)])}))
    assert "Round robin's p90 is 10.0 x ours" in turns
    rows[FORETOLD] = row([outcome(0.9, 0.89)])
    assert "not as foretold" in report.text(Race("shared", "prefixes", 5.0, [1], rows))


def test_of_who_answered_nothing_only_that_is_told() -> None:
    silent = outcome(1.0, 0.0)
    silent = Outcome(silent.found._replace(unanswered=silent.found.requests, ttft_p50_s=math.nan), 1.5)
    said = report.text(
        Race("shared", "prefixes", 5.0, [1], {OURS: row([silent]), CACHE_AWARE: row([outcome(1.0, 0.5)])})
    )
    assert " nan" not in said and "Ours beside" not in said and "1.50" in said


def test_figures_take_the_place_of_the_last(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "routing.md"
    places = [report._BEGIN.format(name) + "\nold\n" + report._END for name in ("chats", "shared")]
    file.write_text("before\n" + "\nbetween\n".join(places) + "\nafter\n")
    monkeypatch.setattr(report, "FILE", file)
    report.write("new", "shared")
    assert (
        file.read_text()
        == "before\n" + "\nbetween\n".join(places).replace("old", "new").replace("new", "old", 1) + "\nafter\n"
    )
    with pytest.raises(RuntimeError, match="no place"):
        report.write("new", "agents")
    assert ENGINES == 8


def plan_of(name: str) -> Plan:
    return WORKLOADS[name].plan(random.Random(1), 25.0, 60.0)


def test_chats_are_under_way_from_the_beginning() -> None:
    plan = plan_of("chats")
    early = [conversation for conversation in plan if conversation.at < 6.0]
    assert len(early) > 250
    assert max(conversation.turns[0].prompt_tokens for conversation in early) > 2000
