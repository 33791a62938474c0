"""A child that speaks the frames and needs no model: a text's vector is (its length, its number of vowels).

"slow" texts take long, "die" ends it, "long" texts have no vector, "garbage" makes it break the protocol; beside
"tokens" each text's letters are told as its tokens.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[4]))  # a script finds its own folder only

from balancer.adapters.embedder import frames


def main() -> None:
    reader = frames.FrameReader()
    if "--fail" in sys.argv:
        os.write(1, frames.failed_frame("no such thing: pip install it"))
    elif "--die" in sys.argv:
        sys.exit("cannot live here")
    elif "--mute" not in sys.argv:
        os.write(1, frames.ready_frame(frames.Ready("scripted@1", 2, None, 0.001, 0.004)))
    while data := os.read(0, 65536):
        for kind, payload in reader.receive(data):
            answer(*frames.parse_embed(payload), cut=kind == frames.ENCODE)


def answer(batch: int, texts: list[str], *, cut: bool) -> None:
    if "die" in texts:
        sys.exit("dying as told")
    if "garbage" in texts:
        os.write(1, b"\xff" * 100)
    if "slow" in texts:
        time.sleep(0.3)
    if cut:
        tokens = [len(text.split()) for text in texts]
        os.write(1, frames.encoded_frame(batch, 2, [vector_of(text) for text in texts], tokens))
        return
    vectors = [None if text == "long" else vector_of(text) for text in texts]
    if "tokens" in texts:
        letters = [np.frombuffer(text.encode(), np.int8)[:, None] for text in texts]
        os.write(1, frames.readings_frame(batch, 2, vectors, list(letters)))
        return
    os.write(1, frames.vectors_frame(batch, 2, vectors))


def vector_of(text: str) -> frames.Vector:
    return np.array([len(text), sum(letter in "aeiou" for letter in text)], np.float32)


if __name__ == "__main__":
    main()
