"""What people ask is nobody's business: no prompt and no answer in any log, status or error page. Fault 56."""

from __future__ import annotations

import json

from tests.e2e.pool import http, pool
from tests.e2e.talk import ask, endless, talk

CANARY = "canary-7f3a"


async def test_no_log_holds_what_was_asked_or_answered() -> None:
    """Whatever becomes of the request, at the most talkative log level."""
    backends = [["--slots", "1", "--echo-delay-ms", "5"]] * 2
    async with pool("--log-level", "debug", "--queue-timeout", "1", "--queue-size", "1", backends=backends) as running:
        front, port = running.balancer, running.port
        fine = await ask(port, f"{CANARY} please")
        assert fine.text == f"{CANARY} please"
        for fields in (
            {"model": CANARY},
            {"temperature": CANARY},
            {"deadline_s": 0.001},
            {"cache": "only"},
            {"max_tokens": -1},
        ):
            await ask(port, f"{CANARY} please", **fields)
        async with talk(port) as broken:
            broken.write(f'{{"prompt":"{CANARY}\n'.encode() + f"{CANARY} {CANARY}\n".encode())
            await broken.until(lambda: broken.answers)
        await http(port, "GET", f"/{CANARY}?{CANARY}", f"X-{CANARY}: {CANARY}", f"Authorization: Bearer {CANARY}")
        async with talk(port) as classic:
            classic.write(f"CLIENT|ADD{CANARY}".encode())
            assert await classic.reader.read(100) == CANARY.encode()
        async with talk(port) as connection:
            streams = [connection.ask(f"{CANARY} again", n, key=CANARY, **endless(4000)) for n in range(2)]
            await connection.begun(*streams)
            queued = [connection.ask(f"{CANARY} waits", f"q{n}") for n in range(3)]
            await connection.ended(*queued)
            await running.backends[0].kill()
            await connection.until(lambda: any(stream.ended for stream in streams))
            for n in range(2):
                connection.cancel(n)
            await connection.ended(*streams)
        status = await front.until_idle()
        assert CANARY not in json.dumps(status)
        for program in (front.program, *running.backends):
            assert CANARY not in program.log and CANARY not in "\n".join(program.out)
