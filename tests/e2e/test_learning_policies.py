"""The policies that learn from what becomes of their choices, asked through the door."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.e2e.pool import pool
from tests.e2e.talk import ask

LONG = "once upon a time there was a balancer of loads " * 40


@pytest.mark.parametrize("policy", ["least-tokens", "prefix-affinity", "session", "least-latency", "adaptive"])
async def test_everybody_is_asked_and_nothing_stays_behind(policy: str) -> None:
    async with pool("--policy", policy, backends=[["--name", name, "--slots", "4"] for name in "ab"]) as (front, _):
        given = Counter([(await ask(front.port, f"question {n}")).backend for n in range(24)])
        assert set(given) == {"a", "b"}
        await front.until_idle()


async def test_a_prompt_that_goes_on_from_another_goes_where_that_went() -> None:
    backends = [["--name", name, "--slots", "4"] for name in "abc"]
    async with pool("--policy", "prefix-affinity", backends=backends) as (front, _):
        homes = [(await ask(front.port, f"{n} {LONG}")).backend for n in range(6)]
        assert len(set(homes)) == 3
        assert [(await ask(front.port, f"{n} {LONG} and then?")).backend for n in range(6)] == homes


async def test_a_user_stays_with_a_backend() -> None:
    backends = [["--name", name, "--slots", "4"] for name in "abc"]
    async with pool("--policy", "session", backends=backends) as (front, _):
        homes = {user: (await ask(front.port, "hello", user=user)).backend for user in ("ann", "bob", "eve", "dan")}
        for user, home in homes.items():
            assert {(await ask(front.port, f"{n}", user=user)).backend for n in range(4)} == {home}
