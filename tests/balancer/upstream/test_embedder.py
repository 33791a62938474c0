from __future__ import annotations

import asyncio
import base64
import json
import struct
from typing import Any

from balancer.request import Request
from balancer.upstream.embedder import TEXTS_AHEAD, EmbedderCall, EmbedderUpstream
from balancer.wire.embeddings import TEXTS_MAX
from tests.balancer.pool.specs import a_spec
from tests.balancer.upstream.encoder import FakeEncoder
from tests.balancer.upstream.engine import Listener


def asked(encoder: FakeEncoder, **body: Any) -> tuple[EmbedderCall, Listener]:
    listener = Listener()
    request = Request("r1", "local", "embeddings", body, 10, stream=False)
    return EmbedderUpstream(encoder).ask(a_spec("embedder"), request, "mini", listener), listener


async def test_texts_in_any_order_of_arrival_become_one_answer_in_theirs() -> None:
    encoder = FakeEncoder()
    _, listener = asked(encoder, input=["one", "two words"])
    assert encoder.asked == []  # nothing is told, so nothing is asked, before the call is made
    await asyncio.sleep(0)
    encoder.asked[1].answer()
    assert listener.body is None
    encoder.asked[0].answer()
    assert listener.ended and listener.body is not None
    assert json.loads(listener.body) == {
        "object": "list",
        "model": "mini",
        "data": [
            {"object": "embedding", "index": 0, "embedding": [3.0, 0.5]},
            {"object": "embedding", "index": 1, "embedding": [9.0, 0.5]},
        ],
        "usage": {"prompt_tokens": 3, "total_tokens": 3},
    }


async def test_base64_is_little_endian_floats() -> None:
    encoder = FakeEncoder()
    _, listener = asked(encoder, input="one", encoding_format="base64")
    await asyncio.sleep(0)
    encoder.asked[0].answer()
    assert listener.body is not None
    (found,) = json.loads(listener.body)["data"]
    assert struct.unpack("<2f", base64.b64decode(found["embedding"])) == (3.0, 0.5)


async def test_without_room_it_is_busy_and_gives_back_what_it_took() -> None:
    encoder = FakeEncoder(room=2)
    _, listener = asked(encoder, input=["a", "b", "c"])
    await asyncio.sleep(0)
    assert listener.failure is not None and listener.failure.busy and listener.failure.status == 429
    assert [encoding.cancelled for encoding in encoder.asked] == [True, True]


async def test_of_many_texts_few_are_with_the_encoder_at_a_time_and_all_come_back_in_order() -> None:
    encoder = FakeEncoder(room=TEXTS_MAX)
    _, listener = asked(encoder, input=["x" * (1 + at % 7) for at in range(TEXTS_MAX)])
    await asyncio.sleep(0)
    for at in range(TEXTS_MAX):
        assert len(encoder.asked) == min(at + TEXTS_AHEAD, TEXTS_MAX)
        encoder.asked[at].answer()
    assert listener.ended and listener.body is not None
    found = json.loads(listener.body)
    assert [one["embedding"][0] for one in found["data"]] == [1.0 + at % 7 for at in range(TEXTS_MAX)]
    assert found["usage"]["prompt_tokens"] == TEXTS_MAX


async def test_the_rest_of_many_texts_is_not_asked_once_the_client_has_left() -> None:
    encoder = FakeEncoder()
    call, _ = asked(encoder, input=["x"] * 100)
    await asyncio.sleep(0)
    encoder.asked[0].answer()
    call.cancel()
    assert [encoding.cancelled for encoding in encoder.asked] == [False] + [True] * TEXTS_AHEAD


async def test_a_text_without_a_vector_fails_the_request_once() -> None:
    encoder = FakeEncoder()
    _, listener = asked(encoder, input=["a", "b"])
    await asyncio.sleep(0)
    encoder.asked[0].fail()
    encoder.asked[1].fail()
    assert listener.failure is not None and listener.failure.code == "backend_failed"


async def test_a_cancelled_request_is_not_computed_and_hears_nothing() -> None:
    for late in (False, True):
        encoder = FakeEncoder()
        call, listener = asked(encoder, input=["a", "b"])
        if late:
            await asyncio.sleep(0)
        call.pause()
        call.resume()
        call.cancel()
        await asyncio.sleep(0)
        assert all(encoding.cancelled for encoding in encoder.asked) and len(encoder.asked) == 2 * late
        for encoding in encoder.asked:
            encoding.answer()
        assert not listener.over.is_set()
