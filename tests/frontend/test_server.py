from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import urllib.request

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from frontend.server import listen
from tests.client.fake_balancer import FakeExchange, in_thread
from tests.frontend.served import process

CANARY = "canary-7f3a"


def test_sigterm_ends_it_with_0_while_an_answer_runs():
    async def endless(x: FakeExchange) -> None:
        while True:
            await x.text("tick ")
            await asyncio.sleep(0.01)

    with in_thread(endless) as fake, process(fake.port) as (page, running), connect(page.ws) as ws:
        ws.send('{"id":1,"question":"hi"}')
        ws.recv(10)
        running.send_signal(signal.SIGTERM)
        assert running.wait(20) == 0
        with contextlib.suppress(ConnectionClosed):
            while True:
                ws.recv(10)
        assert ws.close_code == 1012
        assert fake.cancel_heard.wait(10) and fake.cancels == [1]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_once_it_says_that_it_is_ready_a_signal_ends_it_with_0(number):
    with process(9) as (_, running):
        running.send_signal(number)
        assert running.wait(20) == 0


def test_prompts_and_answers_are_never_logged(tmp_path):
    log = tmp_path / "log"
    with in_thread() as fake, process(fake.port, log=str(log)) as (page, running):
        with connect(page.ws) as ws:
            ws.send(json.dumps({"id": 1, "question": CANARY, "turns": [{"question": CANARY, "answer": CANARY}]}))
            assert CANARY in str(ws.recv(10))
            ws.recv(10)
            ws.send(json.dumps({"id": 2, "question": [CANARY]}))
            ws.recv(10)
        urllib.request.urlopen(f"{page.url}/healthz?q={CANARY}", timeout=10).close()
        with connect(page.ws) as ws:
            ws.send(b'"\xff%s"' % CANARY.encode(), text=True)
        running.terminate()
        assert running.wait(20) == 0
        assert running.stdout is not None
        shown = running.stdout.read()
    assert CANARY not in log.read_text() + shown


def test_a_taken_port_is_an_error():
    with listen("127.0.0.1", 0) as taken, pytest.raises(OSError):
        listen("127.0.0.1", taken.getsockname()[1])
