"""The bounded storm of scripts/chaos: no client may notice, nothing may leak."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any, Final

import pytest

from tests.e2e.programs import ROOT, environment

SECONDS: Final = 60
LIMIT_S: Final = 200
CHAOS: Final = [sys.executable, "-m", "scripts.chaos"]


def run(*options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*CHAOS, *options], cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=LIMIT_S, check=False
    )


@pytest.mark.timeout(LIMIT_S + 30)
def test_no_client_notices_a_minute_of_trouble() -> None:
    """Longer by hand: ``scripts/chaos --seconds 600``."""
    ended = run("--seconds", str(SECONDS), "--seed", "11", "--json")
    found: dict[str, Any] = json.loads(ended.stdout)
    assert ended.returncode == 0 and found["good"], f"{json.dumps(found, indent=1)}\n{ended.stderr}"
    assert (found["failed"], found["wrong"], found["told"]) == (0, 0, [])
    assert found["events"] == {"killed": 10, "frozen": 5, "slowed and restarted": 5}
    assert found["left"] == {"in_flight": 0, "waiting": 0, "exchanges": 0, "running": 0}
    assert found["counts"]["requests"] == found["counts"]["completed"] == found["requests"]
    assert found["resumed_answers"] >= 10 and len(found["kinds"]) == 7


def test_its_help_shows_how_it_is_used() -> None:
    ended = run("--help")
    assert ended.returncode == 0
    assert "scripts/chaos --seconds 600 --seed 7" in ended.stdout
