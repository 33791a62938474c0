"""docs/operations.md tells every metric that there is, and no other."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Final

from prometheus_client.core import Metric

from balancer.adapters.metrics import PREFIX, Collector, Sources
from balancer.cache.bound import Bound
from balancer.cache.judge_error import BY_WORDS
from balancer.exchange.trials import Trials
from balancer.meters import Meters
from tests.fakes import Hall

PAGE: Final = Path(__file__).resolve().parents[2] / "docs/operations.md"
NAME: Final = re.compile(r"`([a-z_]+)`")


def test_every_metric_stands_there_and_no_other() -> None:
    table = PAGE.read_text(encoding="utf-8").partition("| metric | labels |")[2].partition("\n\n")[0]
    cells = [row.split(" | ")[0] for row in table.splitlines()[2:]]
    told = {name for cell in cells for name in NAME.findall(cell)}
    assert {name_of(metric) for metric in families()} == told


def name_of(metric: Metric) -> str:
    return metric.name.removeprefix(PREFIX) + ("_total" if metric.type == "counter" else "")


def families() -> list[Metric]:
    """Those of a daemon in which everything is on."""
    hall = Hall(cache=True)
    hall.join("a")
    assert hall.dispatcher.cache is not None
    hall.dispatcher.cache.trials = Trials(Bound(0.02, BY_WORDS), hall.clock)
    meters = Meters(lambda model: True, lambda backend: True)
    return list(Collector(Sources(hall.dispatcher, meters, Counter(), lambda: 0, lambda: 0, "1")).collect())
