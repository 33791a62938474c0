from __future__ import annotations

import asyncio

from balancer.doors.deadline import Deadline


class Late:
    """Awaits that a stage is late, and remembers which."""

    def __init__(self) -> None:
        self.stages: list[str] = []
        self.told = asyncio.Event()
        self.deadline = Deadline(self._late)

    def _late(self) -> None:
        self.stages.append(self.deadline.stage)
        self.told.set()

    async def wait(self) -> list[str]:
        await asyncio.wait_for(self.told.wait(), 10)
        return self.stages


async def test_a_stage_that_lasts_too_long_is_told_once() -> None:
    late = Late()
    late.deadline.set("head", 0.01)
    assert await late.wait() == ["head"]
    await asyncio.sleep(0.03)
    assert late.stages == ["head"]


async def test_a_shorter_stage_after_a_long_one_and_a_longer_one_after_a_short_one_have_their_own_time() -> None:
    late, loop = Late(), asyncio.get_running_loop()
    late.deadline.set("idle", 60.0)
    late.deadline.set("head", 0.01)
    began = loop.time()
    late.deadline.set("body", 0.1)
    assert await late.wait() == ["body"]
    assert loop.time() - began > 0.05


async def test_what_is_put_off_or_has_ended_is_never_late() -> None:
    put_off, ended, after = Late(), Late(), Late()
    put_off.deadline.set("head", 0.01)
    put_off.deadline.put_off()
    ended.deadline.set("head", 0.01)
    ended.deadline.end()
    after.deadline.set("head", 0.05)
    await after.wait()
    assert put_off.stages == ended.stages == []
