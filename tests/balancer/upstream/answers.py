"""What an engine says and a call hears, in tests of calls over HTTP."""

from __future__ import annotations

from dataclasses import replace

from balancer.request import Request
from tests.balancer.upstream.engine import Visit, a_request
from tests.fakes import last_events, text_events

WHOLE = text_events("Once ", "upon") + last_events()
BODY = b'{ "id": "x", "model":"m",\n "choices" : [{"index":0, "text":"gr\\u00fc\xc3\x9f"}], "odd": 1.50 }\n'
"""The same kind of answer in one piece, in bytes that nobody would write twice."""


async def answers(v: Visit) -> None:
    await v.stream("Once ", "upon")


def whole_request(**body: object) -> Request:
    return replace(a_request(**body), stream=False)  # type: ignore[arg-type]
