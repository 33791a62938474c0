"""What a request costs inside: all rooms, no sockets: ``scripts/bench_inside [--profile]``.

For whoever makes it cheaper: a figure of one's own change in ten seconds, and where the time goes. Each request is
timed by itself and the lower quintile is shown, which a busy machine hardly moves. What ``scripts/bench_proxy`` shows
has the system calls on top, about as much as HAProxy takes for all.
"""

from __future__ import annotations

import argparse
import gc
import signal
import time
from collections import Counter
from types import FrameType

import uvloop

from balancer.compiled import check_sources
from scripts.bench.inside import Inside
from scripts.bench.load import HttpClient, NativeClient, Shape, Tally
from scripts.bench.mock_engine import ANSWER, END, HEAD, TOKEN_EVENT

REQUESTS = 6000
TOKENS = 64
PROFILED = 40_000
SHOWN = 50


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--profile", action="store_true", help="where whole answers' time goes, by function")
    options = parser.parse_args()
    check_sources()
    gc.freeze()
    uvloop.run(profile() if options.profile else measure())


async def measure() -> None:
    """The table."""
    print("microseconds                          asked   answered     a token")
    for native in (False, True):
        for cache in (False, True):
            kind = ("native" if native else "HTTP") + (", cache" if cache else "")
            if not native:
                asked, answered, _ = _run(Shape(), cache=cache, native=native)
                print(f"{kind + ', whole':32} {asked:10.1f} {answered:10.1f}")
            asked, answered, token = _run(Shape(TOKENS), cache=cache, native=native)
            print(f"{kind + f', {TOKENS} tokens':32} {asked:10.1f} {answered:10.1f} {token:11.2f}")


def _run(shape: Shape, *, cache: bool, native: bool) -> tuple[float, float, float]:
    """Of asking, of all that comes back but the tokens, of one token."""
    inside = Inside(cache=cache, native=native)
    client = (NativeClient if native else HttpClient)(shape, Tally(), lambda: False, 0.0)
    times: list[tuple[float, ...]] = []
    now = time.perf_counter
    for number in range(REQUESTS // 10 if shape.tokens else REQUESTS):
        content = client.request(number)
        begin = now()
        inside.client.data_received(content)
        asked = now()
        engine = inside.asked
        assert engine is not None
        if shape.tokens:
            engine.data_received(HEAD)
            first = now()
            for _ in range(shape.tokens):
                engine.data_received(TOKEN_EVENT)
            last = now()
            engine.data_received(END)
        else:
            first = last = now()
            engine.data_received(ANSWER)
        times.append((asked - begin, now() - asked - (last - first), (last - first) / max(1, shape.tokens)))
    asked_us, answered_us, token_us = (1e6 * sorted(column)[len(times) // 5] for column in zip(*times, strict=True))
    return asked_us, answered_us, token_us


async def profile() -> None:
    """By samples each millisecond of CPU time: a profiler that counts calls shows mostly what it costs itself."""
    inside, alone, within = Inside(cache=True, native=False), Counter[str](), Counter[str]()
    client = HttpClient(Shape(), Tally(), lambda: False, 0.0)

    def sample(_: int, frame: FrameType | None) -> None:
        if frame is not None:
            alone[frame.f_code.co_qualname] += 1
        names = set()
        while frame is not None:
            names.add(frame.f_code.co_qualname)
            frame = frame.f_back
        within.update(names)

    signal.signal(signal.SIGPROF, sample)
    signal.setitimer(signal.ITIMER_PROF, 0.001, 0.001)
    begin = time.process_time()
    for number in range(PROFILED):
        inside.client.data_received(client.request(number))
        assert inside.asked is not None
        inside.asked.data_received(ANSWER)
    total_us = 1e6 * (time.process_time() - begin) / PROFILED
    signal.setitimer(signal.ITIMER_PROF, 0)
    scale = total_us / max(1, alone.total())
    print(f"{total_us:.1f} us a request\n\n  within   alone")
    for name, count in within.most_common(SHOWN):
        print(f"{count * scale:8.2f} {alone[name] * scale:7.2f}  {name}")


if __name__ == "__main__":
    main()
