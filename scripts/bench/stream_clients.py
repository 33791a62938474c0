"""A process that holds streams open: it opens them one after the other, tells what has come so far, and tells all.

    python -m scripts.bench.stream_clients PORT COUNT GAP_MS OPEN_S LAST_S

COUNT streams are opened within OPEN_S seconds; each asks for as many tokens as fill the time until LAST_S seconds from
the start, so that all of them end at about the same time. A line of input is answered by one of JSON (`Told`), and so
is the end of the last stream.
"""

from __future__ import annotations

import asyncio
import math
import sys
import time
from collections.abc import Callable

import msgspec
import uvloop

from scripts.bench.load import HttpClient, Shape, Tally

LATE_S = 60.0
"""After LAST_S: what has not ended by then has failed."""


class Told(msgspec.Struct, frozen=True):
    """What came of the streams so far."""

    opened: int
    """Asked for."""
    streaming: int
    """Have had a token and have not ended."""
    asked_tokens: int
    tokens: int
    failed: int


class StreamClient(HttpClient):
    """One stream, and then it leaves."""

    def __init__(self, shape: Shape, tally: Tally) -> None:
        super().__init__(shape, tally, _once(), 0.0)
        self.asked_tokens = shape.tokens

    @property
    def tokens(self) -> int:
        """Those that have come."""
        return self._tokens

    @property
    def streaming(self) -> bool:
        return bool(self._tokens) and not self.ended.done()


def _once() -> Callable[[], bool]:
    left = iter((True,))
    return lambda: next(left, False)


class Streams:
    """All streams of this process."""

    def __init__(self, port: int, gap_ms: int) -> None:
        self._port = port
        self._gap_ms = gap_ms
        self._tally = Tally()
        self._clients: list[StreamClient] = []
        self._refused = 0

    async def hold(self, count: int, open_s: float, last_s: float) -> None:
        """Until the last has ended."""
        begin = time.monotonic()
        for number in range(count):
            await asyncio.sleep(max(0.0, begin + open_s * number / count - time.monotonic()))
            await self._open(begin + last_s - time.monotonic())
        ends = [client.ended for client in self._clients]
        if ends:
            await asyncio.wait(ends, timeout=begin + last_s + LATE_S - time.monotonic())

    async def _open(self, seconds: float) -> None:
        tokens = max(1, math.ceil(1000 * seconds / self._gap_ms))
        shape = Shape(tokens, self._gap_ms)
        try:
            _, client = await asyncio.get_running_loop().create_connection(
                lambda: StreamClient(shape, self._tally), "127.0.0.1", self._port
            )
        except OSError:
            self._refused += 1
        else:
            self._clients.append(client)

    def told(self, *, over: bool = False) -> Told:
        """What came so far; when it is ``over``, what has not ended counts as failed."""
        clients = self._clients
        unended = sum(not client.ended.done() for client in clients) if over else 0
        return Told(
            opened=len(clients),
            streaming=sum(client.streaming for client in clients),
            asked_tokens=sum(client.asked_tokens for client in clients),
            tokens=sum(client.tokens for client in clients),
            failed=self._tally.failed + self._refused + unended,
        )


async def main(port: int, count: int, gap_ms: int, open_s: float, last_s: float) -> None:
    """Hold the streams; answer each line of input."""
    streams = Streams(port, gap_ms)
    asyncio.get_running_loop().add_reader(sys.stdin.fileno(), _answer, streams)
    await streams.hold(count, open_s, last_s)
    asyncio.get_running_loop().remove_reader(sys.stdin.fileno())
    _tell(streams.told(over=True))


def _answer(streams: Streams) -> None:
    line = sys.stdin.readline()
    if line:
        _tell(streams.told())
    else:
        sys.exit(1)  # who asked for the streams is gone


def _tell(told: Told) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(told) + b"\n")
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    port, count, gap_ms = map(int, sys.argv[1:4])
    uvloop.run(main(port, count, gap_ms, float(sys.argv[4]), float(sys.argv[5])))
