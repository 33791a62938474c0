"""The embedding child: texts on standard input, vectors on standard output, see :mod:`~.frames`.

``python -m balancer.adapters.embedder.worker [--model NAME_OR_PATH] [--nice N]``. It ends when its input ends, even
while it loads, so it never outlives the daemon; Ctrl-C in the terminal is the daemon's affair.
"""

from __future__ import annotations

import argparse
import logging
import os
import queue
import signal
import sys
import threading
import time
from typing import Final

from balancer.adapters.embedder import frames
from balancer.adapters.embedder.model import EmbedderUnavailable, EmbeddingModel

_READ_BYTES: Final = 1 << 16
_FAILED_LINGER_S: Final = 10.0
_BATCHES_MAX: Final = 4  # the daemon sends one at a time
_WARM_UP_ROUNDS: Final = 3
_WARM_UP_TEXT: Final = "How many legs does a spider have, and why?"

log = logging.getLogger(__name__)


def main() -> int:
    """Serve until the input ends."""
    parser = argparse.ArgumentParser(prog="python -m balancer.adapters.embedder.worker", description=__doc__)
    parser.add_argument("--model", help="name or path; default: the packaged all-MiniLM-L6-v2")
    parser.add_argument("--nice", type=int, default=0, help="how much lower than the daemon's to set the priority")
    options = parser.parse_args()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    output = _own_output()
    batches: queue.Queue[tuple[int, bytes]] = queue.Queue(_BATCHES_MAX)
    threading.Thread(target=_read, args=(batches,), daemon=True).start()
    os.nice(options.nice)
    try:
        model = EmbeddingModel(options.model)
    except EmbedderUnavailable as error:
        _write(output, frames.failed_frame(str(error)))
        time.sleep(_FAILED_LINGER_S)  # until the daemon has read it and closes our input
        return 1
    _write(output, frames.ready_frame(_warm_up(model)))
    while True:
        kind, payload = batches.get()
        batch, texts = frames.parse_embed(payload)
        if kind == frames.ENCODE:
            _write(output, frames.encoded_frame(batch, model.dimension, *_encode(model, texts)))
        else:
            _write(output, frames.readings_frame(batch, model.dimension, *_read_texts(model, texts)))


def _own_output() -> int:
    """Keep standard output for frames; what libraries print goes to standard error."""
    output = os.dup(sys.stdout.fileno())
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    return output


def _read(batches: queue.Queue[tuple[int, bytes]]) -> None:
    reader = frames.FrameReader()
    while data := os.read(sys.stdin.fileno(), _READ_BYTES):
        for kind, payload in reader.receive(data):
            if kind in (frames.EMBED, frames.ENCODE):
                batches.put((kind, payload))
    os._exit(0)  # the daemon is gone or wants us gone; nothing here needs to be saved


def _warm_up(model: EmbeddingModel) -> frames.Ready:
    """The first calls are slow; the last ones tell how long a batch takes."""
    single_s = full_s = 0.0
    for _ in range(_WARM_UP_ROUNDS):
        single_s = _timed(model, 1)
        full_s = _timed(model, frames.BATCH_TEXTS_MAX)
    return frames.Ready(model.id, model.dimension, model.tokens_max, single_s, full_s)


def _timed(model: EmbeddingModel, texts: int) -> float:
    started = time.perf_counter()
    model.read([f"{number} {_WARM_UP_TEXT}" for number in range(texts)])
    return time.perf_counter() - started


def _read_texts(
    model: EmbeddingModel, texts: list[str]
) -> tuple[list[frames.Vector | None], list[frames.TokenVectors | None]]:
    try:
        return model.read(texts)
    except Exception:  # a text that the model chokes on must not cost a restart, which takes seconds
        log.exception("embedding failed")
        return [None] * len(texts), [None] * len(texts)


def _encode(model: EmbeddingModel, texts: list[str]) -> tuple[list[frames.Vector | None], list[int]]:
    try:
        return model.encode(texts)
    except Exception:
        log.exception("embedding failed")
        return [None] * len(texts), [0] * len(texts)


def _write(output: int, frame: bytes) -> None:
    rest = memoryview(frame)
    while rest:
        rest = rest[os.write(output, rest) :]


if __name__ == "__main__":
    raise SystemExit(main())
