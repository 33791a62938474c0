"""The policies that an operator can name beside the two that have a flag of their own, each asked through the door."""

from __future__ import annotations

from collections import Counter

from tests.e2e.pool import pool
from tests.e2e.talk import Answer, ask, endless, talk


async def test_random_asks_everybody_whatever_their_load() -> None:
    backends = [["--name", name, "--slots", "8"] for name in "ab"]
    async with pool("--policy", "random", backends=backends) as (front, _):
        given = Counter([(await ask(front.port, f"q {n}")).backend for n in range(40)])
        assert set(given) == {"a", "b"} and min(given.values()) >= 5


async def test_power_of_two_asks_the_emptier_of_two() -> None:
    backends = [["--name", name, "--slots", "6", "--echo-delay-ms", "20"] for name in "ab"]
    async with pool("--policy", "power-of-two", backends=backends) as (front, _), talk(front.port) as connection:
        streams: list[Answer] = []
        for n in range(6):
            streams.append(connection.ask("a b", n, **endless(2000)))
            await connection.begun(streams[-1])
        assert [each["in_flight"] for each in (await front.status())["backends"]] == [3, 3]


async def test_priority_spills_over_to_the_dearer_only_when_the_cheaper_is_full() -> None:
    cheap = ["--name", "own", "--slots", "2", "--echo-delay-ms", "20"]
    dear = ["--name", "dear", "--slots", "4", "--echo-delay-ms", "20", "--label", "priority=1"]
    async with (
        pool("--policy", "priority", backends=[cheap, dear]) as (front, _),
        talk(front.port) as connection,
    ):
        assert {(await ask(front.port, f"q {n}")).backend for n in range(6)} == {"own"}
        streams: list[Answer] = []
        for n in range(3):
            streams.append(connection.ask("a b", n, **endless(2000)))
            await connection.begun(streams[-1])
        in_flight = {each["name"]: each["in_flight"] for each in (await front.status())["backends"]}
        assert in_flight == {"own": 2, "dear": 1}
