"""What stands in front of the engines, one after the other: ours in both ways of knowing engines, sglang's router."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from scripts.bench.targets import Target, ours, python_router
from scripts.simulate_parts.engine import SLOTS

OURS = "ours"
"""The row that the simulator foretells: engines whose agents beat."""
OURS_UPSTREAM = "ours, upstreams"
CACHE_AWARE, ROUND_ROBIN = "sglang cache_aware", "sglang round_robin"
SGLANG_POLICIES = ("cache_aware", "power_of_two", "round_robin")
NAMES = (OURS, OURS_UPSTREAM, *(f"sglang {policy}" for policy in SGLANG_POLICIES))
_NO_LIMITS = ("--queue-timeout", "600", "--first-token-timeout", "600", "--token-timeout", "600")
"""Who is slow is to be seen as slow, and not to be cut off: the others wait as long."""


@dataclass(frozen=True)
class Contestant:
    """``engines_beat``: to the target's port."""

    target: Target
    engines_beat: bool = False


def contestant(name: str, engines: Sequence[int], policy: str) -> Contestant:
    """``policy`` is ours. Ports are drawn anew."""
    urls = [f"http://127.0.0.1:{port}" for port in engines]
    common = ("--policy", policy, "--no-cache", "--no-embedder", *_NO_LIMITS)
    if name == OURS:
        return Contestant(ours(name, [], *common), engines_beat=True)
    if name == OURS_UPSTREAM:
        return Contestant(ours(name, [f"{url};slots={SLOTS}" for url in urls], *common))
    return Contestant(python_router(name, "sglang-router", urls, "--policy", name.removeprefix("sglang ")))
