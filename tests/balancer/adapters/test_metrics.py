from __future__ import annotations

from collections import Counter

import pytest
from prometheus_client import parser
from prometheus_client.openmetrics import parser as openmetrics

from balancer import errors
from balancer.adapters.metrics import Exposition, Sources
from balancer.cache.bound import Bound
from balancer.cache.judge_error import BY_WORDS
from balancer.cache.observations import RIGHT, WRONG
from balancer.exchange.trials import Trials
from balancer.meters import Meters
from tests.balancer.records import a_record, refused
from tests.fakes import Hall

Series = dict[tuple[str, tuple[tuple[str, str], ...]], float]


class Board:
    """Everything that is read, and what a scraper makes of it."""

    def __init__(self, *, cache: bool = True) -> None:
        self.hall = Hall(cache=cache)
        self.meters = Meters(lambda model: model == "m", lambda backend: True)
        self.agents: Counter[str] = Counter()
        self.exposition = Exposition(
            Sources(self.hall.dispatcher, self.meters, self.agents, lambda: 3, lambda: 4, "1.2.3")
        )

    def scrape(self) -> Series:
        """Our own series."""
        text, content_type = self.exposition.text("text/html, */*")
        assert content_type.startswith("text/plain; version=0.0.4")
        return {
            (sample.name, tuple(sorted(sample.labels.items()))): sample.value
            for family in parser.text_string_to_metric_families(text.decode())
            for sample in family.samples
            if sample.name.startswith("llm_balancer_")
        }

    def value(self, name: str, **labels: str) -> float | None:
        return self.scrape().get(("llm_balancer_" + name, tuple(sorted(labels.items()))))


def test_requests_and_tokens_are_told_by_model() -> None:
    board = Board()
    board.meters.observe(a_record())
    board.meters.observe(a_record(outcome="cancelled"))
    assert board.value("requests_total", model="m", outcome="completed") == 1
    assert board.value("requests_total", model="m", outcome="cancelled") == 1
    assert board.value("tokens_in_total", model="m") == 34
    assert board.value("tokens_out_total", model="m") == 84


def test_attempts_and_retries_are_told() -> None:
    board = Board()
    board.meters.attempt_failed("a", errors.backend_lost("a"))
    board.meters.observe(a_record())
    board.hall.dispatcher.counts["resumed"] = 5
    assert board.value("attempts_total", backend="a", outcome="failed") == 1
    assert board.value("attempts_total", backend="a", outcome="completed") == 1
    assert board.value("resumed_total") == 5
    assert board.value("retries_total") == 0


def test_histograms_have_cumulative_buckets_a_sum_and_a_count() -> None:
    board = Board()
    board.meters.observe(a_record(ttft_s=0.03))
    board.meters.observe(a_record(ttft_s=500.0))
    name, source = "time_to_first_token_seconds", "backend"
    assert board.value(name + "_bucket", source=source, le="0.025") == 0
    assert board.value(name + "_bucket", source=source, le="0.05") == 1
    assert board.value(name + "_bucket", source=source, le="+Inf") == 2
    assert board.value(name + "_count", source=source) == 2
    assert board.value(name + "_sum", source=source) == pytest.approx(500.03)
    assert board.value("queue_wait_seconds_count") == 2
    assert board.value("event_loop_lag_seconds_count") == 0


def test_each_backend_is_in_one_state() -> None:
    board = Board()
    board.hall.join("a", slots=2)
    board.hall.join("b", alive=False)
    board.hall.ask("one")
    states = [dict(labels) for name, labels in board.scrape() if name == "llm_balancer_backend_state"]
    assert states == [{"backend": "a", "state": "alive"}, {"backend": "b", "state": "joining"}]
    assert board.value("backend_in_flight", backend="a") == 1
    assert board.value("backend_slots", backend="a") == 2
    assert board.value("backend_breaker", backend="a", state="closed") == 1
    assert board.value("exchanges", state="asking") == 1


def test_the_queue_and_what_waits_are_told() -> None:
    board = Board()
    board.hall.join("a", slots=1)
    for number in range(3):
        board.hall.ask(f"nr {number}")
    assert board.value("queue_requests") == 2
    assert board.value("queue_bytes") == 8


def test_what_is_known_of_near_answers_is_told() -> None:
    board = Board()
    lane = board.hall.dispatcher.cache
    assert lane is not None
    bound = Bound(0.02, BY_WORDS)
    lane.trials = Trials(bound, board.hall.clock)
    assert board.value("cache_wrong_share", bound="estimate") is None
    assert board.value("cache_wrong_share", bound="high") == 1
    bound.checked[RIGHT] = 99
    bound.checked[WRONG] = 1
    assert 0 <= (board.value("cache_wrong_share", bound="estimate") or 0) < 0.02
    assert board.value("cache_checks_total", found="right") == 99
    assert board.value("cache_withheld_total") == 0


def test_the_cache_is_told_if_there_is_one() -> None:
    board = Board()
    board.hall.join("a")
    board.hall.ask("hello")
    board.hall.calls[-1].answer("x")
    board.hall.ask("hello")
    assert board.value("cache_requests_total", result="exact") == 1
    assert board.value("cache_requests_total", result="miss") == 1
    assert board.value("cache_entries") == 1
    saved = [board.value(f"cache_{name}_total") for name in ("saved_tokens", "saved_seconds", "reported_wrong")]
    assert saved[1:] == [0, 0] and saved[0] is not None
    assert (board.value("cache_bytes") or 0) > 0
    assert board.value("cache_wrong_share", bound="high") is None
    assert not [name for name, _ in Board(cache=False).scrape() if "_cache_" in name]


def test_beats_registrations_and_the_process_are_told() -> None:
    board = Board()
    board.agents.update({"beats_udp": 7, "beats_dropped.wrong_mac": 2, "refused.bad_token": 1, "registrations": 3})
    assert board.value("heartbeats_total", kind="udp") == 7
    assert board.value("heartbeats_total", kind="tcp") == 0
    assert board.value("heartbeats_dropped_total", reason="wrong_mac") == 2
    assert board.value("registrations_refused_total", code="bad_token") == 1
    assert board.value("connections") == 3
    assert board.value("access_log_lines_dropped_total") == 4
    assert board.value("build_info", version="1.2.3") == 1
    assert b"process_resident_memory_bytes" in board.exposition.text("")[0]


def test_ten_thousand_random_names_make_one_series() -> None:
    board = Board()
    before = len(board.scrape())
    for n in range(10_000):
        board.meters.observe(refused(f'random "model" {n}\n'))
    assert len(board.scrape()) == before + 3  # requests and two kinds of tokens
    assert board.value("requests_total", model="other", outcome="model_not_found") == 10_000


def test_names_of_backends_are_escaped() -> None:
    board = Board()
    board.hall.join('a"b\\c')
    assert board.value("backend_in_flight", backend='a"b\\c') == 0


def test_openmetrics_is_spoken_where_it_is_accepted() -> None:
    board = Board()
    board.hall.join("a")
    board.meters.observe(a_record())
    text, content_type = board.exposition.text("application/openmetrics-text;version=nonsense,text/plain;q=0.5")
    assert content_type.startswith("application/openmetrics-text; version=1.0.0")
    parsed = openmetrics.text_string_to_metric_families(text.decode())  # type: ignore[no-untyped-call]
    families = {family.name for family in parsed}
    assert {"llm_balancer_requests", "llm_balancer_backend_state"} <= families


def test_every_name_follows_the_conventions() -> None:
    board = Board()
    board.hall.join("a")
    for family in parser.text_string_to_metric_families(board.exposition.text("")[0].decode()):
        assert family.documentation or family.name.startswith("python_")
        assert "_ms" not in family.name
        if family.type == "histogram":
            assert family.name.endswith("_seconds")
