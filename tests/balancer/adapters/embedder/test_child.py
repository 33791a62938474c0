from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path

import pytest

from balancer.adapters.embedder import frames
from balancer.adapters.embedder.child import Child

WORKER = [sys.executable, str(Path(__file__).with_name("scripted_worker.py"))]


class Watch:
    """Frames and the end of one child, awaitable."""

    def __init__(self) -> None:
        self.received: asyncio.Queue[tuple[int, bytes]] = asyncio.Queue()
        self.ended = asyncio.Event()

    def frame(self, child: Child, kind: int, payload: bytes) -> None:
        if kind == frames.FAILED:
            raise frames.FrameError("not this one")
        self.received.put_nowait((kind, payload))

    def exit(self, child: Child) -> None:
        self.ended.set()

    async def start(self, *options: str) -> Child:
        return await Child.start([*WORKER, *options], self.frame, self.exit)


async def test_frames_go_in_and_come_out() -> None:
    watch = Watch()
    child = await watch.start()
    kind, _ = await watch.received.get()
    assert kind == frames.READY
    child.send(frames.embed_frame(7, [b"banana"]))
    kind, payload = await watch.received.get()
    number, (vector,) = frames.parse_vectors(payload)
    assert (kind, number) == (frames.VECTORS, 7)
    assert vector is not None
    assert vector.tolist() == [6, 3]
    await child.end(10)
    assert watch.ended.is_set()
    assert child.exit_status == 0


async def test_its_last_words_and_status_are_known() -> None:
    watch = Watch()
    child = await watch.start("--die")
    await watch.ended.wait()
    assert child.exit_status == 1
    while not child.last_words:  # its end may be known before its words
        await asyncio.sleep(0.01)
    assert child.last_words == "cannot live here"
    await child.end(1)


@pytest.mark.parametrize("options", [["--fail"], []], ids=["a refused frame", "garbage"])
async def test_a_child_that_breaks_the_protocol_is_killed(options: list[str]) -> None:
    watch = Watch()
    child = await watch.start(*options)
    if not options:
        await watch.received.get()
        child.send(frames.embed_frame(1, [b"garbage"]))
    await watch.ended.wait()
    assert child.exit_status == -signal.SIGKILL
    child.kill()
    await child.end(1)


async def test_a_stopped_child_is_ended_by_force() -> None:
    watch = Watch()
    child = await watch.start()
    await watch.received.get()
    child._transport.send_signal(signal.SIGSTOP)
    await child.end(0.2)
    assert child.exit_status == -signal.SIGKILL


async def test_a_command_that_does_not_exist_is_an_os_error() -> None:
    watch = Watch()
    with pytest.raises(OSError):
        await Child.start(["/no/such/program"], watch.frame, watch.exit)
