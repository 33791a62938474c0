"""A backend that beats and does not answer: with ``--hedge`` its requests are answered by another one, soon."""

from __future__ import annotations

import asyncio

from balancer.exchange.first_tokens import LEAST
from tests.e2e.broken import never_answers, well
from tests.e2e.fake_engine import engine
from tests.e2e.pool import balancer, http
from tests.e2e.talk import talk

REQUESTS = 6
SOON_S = 10.0
"""Of 120 s until the first token is too late."""


async def test_requests_of_a_backend_that_does_not_answer_are_answered_by_another() -> None:
    async with (
        engine(well) as one,
        engine(well) as two,
        balancer("-r", "--hedge", "--upstream", f"{one.url};name=one", "--upstream", f"{two.url};name=two") as front,
        talk(front.port) as connection,
    ):
        await front.until(lambda status: len(status.alive) == 2)
        fast = [connection.ask("hi", number) for number in range(LEAST)]
        await connection.ended(*fast)
        assert {answer.backend for answer in fast} == {"one", "two"}
        one.script = never_answers
        slow = [connection.ask("hi", LEAST + number) for number in range(REQUESTS)]
        await connection.ended(*slow, within_s=SOON_S)
        assert {answer.text for answer in slow} == {"all is well"} and {answer.backend for answer in slow} == {"two"}
        assert sum(answer.done["attempts"] == 2 for answer in slow if answer.done is not None) >= REQUESTS // 2
        async with asyncio.timeout(SOON_S):
            await one.cancelled.wait()
        status = await front.until_idle()
        counts = status["counts"]
        assert counts["hedges"] >= counts["hedges_won"] == REQUESTS // 2
        assert counts.get("attempts_failed", 0) == 0
        assert b"llm_balancer_hedges_won_total 3.0" in (await http(front.admin_port, "GET", "/metrics")).body
