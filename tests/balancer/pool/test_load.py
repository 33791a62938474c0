from __future__ import annotations

import pytest

from balancer.pool.load import Load


@pytest.mark.parametrize(
    ("load", "is_ready"),
    [
        (Load(), True),
        (Load(ready=False), False),
        (Load(running=2, ms_since_step=9_999), True),
        (Load(running=2, ms_since_step=10_000), False),
        # Nothing runs, so nothing holds up what waits: it is the engine itself that hangs.
        (Load(waiting=1, ms_since_step=10_000), False),
        # An engine with nothing to do takes no steps, and is not stuck.
        (Load(running=0, ms_since_step=3_600_000), True),
        (Load(draining=True), True),
    ],
)
def test_an_engine_is_ready_when_its_agent_says_so_and_it_is_not_stuck(load: Load, is_ready: bool) -> None:
    assert load.is_ready is is_ready
