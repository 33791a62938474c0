from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from balancer.adapters.embedder import frames

ROOT = Path(__file__).parents[4]


@pytest.fixture
def worker() -> Iterator[subprocess.Popen[bytes]]:
    """The real child, by its command line, with the packaged model."""
    process = run()
    yield process
    process.kill()
    process.wait()


def run(*options: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "balancer.adapters.embedder.worker", "--nice", "1", *options]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, cwd=ROOT, bufsize=0)


def next_frame(process: subprocess.Popen[bytes], reader: frames.FrameReader) -> tuple[int, bytes]:
    assert process.stdout is not None
    while data := process.stdout.read(65536):
        for frame in reader.receive(data):
            return frame
    raise AssertionError("the child ended")


@pytest.mark.torch
def test_it_loads_embeds_and_ends_with_its_input(worker: subprocess.Popen[bytes]) -> None:
    pytest.importorskip("sentence_transformers")
    reader = frames.FrameReader()
    kind, payload = next_frame(worker, reader)
    assert kind == frames.READY
    ready = frames.parse_ready(payload)
    assert ready.id.startswith("all-MiniLM-L6-v2@")
    assert 0 < ready.single_s < ready.full_s
    assert worker.stdin is not None
    texts = [b"How do I reset my password?", b"How can I reset my password?", b"Why is the sea salty?", b"word " * 300]
    worker.stdin.write(frames.embed_frame(1, texts))
    kind, payload = next_frame(worker, reader)
    number, (asked, said_otherwise, unrelated, too_long), tokens = frames.parse_readings(payload)
    assert (kind, number, too_long) == (frames.READINGS, 1, None)
    assert [None if one is None else one.shape for one in tokens] == [(7, 768), (7, 768), (6, 768), None]
    assert asked is not None
    assert said_otherwise is not None
    assert unrelated is not None
    assert asked @ said_otherwise > 0.95 > 0.3 > asked @ unrelated
    worker.stdin.close()
    assert worker.wait(10) == 0


def test_it_ends_with_its_input_even_while_it_loads(worker: subprocess.Popen[bytes]) -> None:
    assert worker.stdin is not None
    time.sleep(0.5)  # somewhere in the middle of its imports; the assertion holds wherever that is
    worker.stdin.close()
    assert worker.wait(30) == 0


def test_a_model_that_is_not_there_is_a_clear_failure() -> None:
    process = run("--model", "/no/such/folder")
    kind, payload = next_frame(process, frames.FrameReader())
    assert kind == frames.FAILED
    assert "/no/such/folder" in frames.parse_failed(payload)
    assert process.stdin is not None
    process.stdin.close()
    assert process.wait(30) == 0
