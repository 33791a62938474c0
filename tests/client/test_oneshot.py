from __future__ import annotations

import asyncio
import io
import json

import pytest

from client.oneshot import FAILED, NO_CONNECTION, OK, Options, ask_once, read_prompt
from client.terminal import Terminal
from tests.client.fake_balancer import FakeExchange, echo, in_thread


def run(port: int, prompt: str = "one two", *, as_json: bool = False, verbose: bool = False) -> tuple[int, str, str]:
    out, err = io.StringIO(), io.StringIO()
    options = Options("127.0.0.1", port, fields={"max_tokens": 9, "model": None})
    code = ask_once(
        prompt,
        options,
        out=Terminal(out, environment={}),
        err=Terminal(err, environment={}),
        as_json=as_json,
        verbose=verbose,
    )
    return code, out.getvalue(), err.getvalue()


def test_the_answer_and_nothing_else_is_written():
    with in_thread() as fake:
        assert run(fake.port) == (OK, "one two\n", "")
        assert fake.asks[0].body == {"messages": [{"role": "user", "content": "one two"}], "max_tokens": 9}


def test_verbose_tells_the_rest_on_the_other_stream():
    with in_thread() as fake:
        code, out, err = run(fake.port, verbose=True)
    assert (code, out) == (OK, "one two\n")
    assert err.startswith("b1 · miss · 2 tokens")


def test_json_is_one_object():
    with in_thread() as fake:
        code, out, _ = run(fake.port, as_json=True)
    found = json.loads(out)
    assert code == OK
    assert (found["text"], found["backend"], found["cache"], found["timing"]["tokens"]) == ("one two", "b1", "miss", 2)


@pytest.mark.parametrize("as_json", [False, True])
def test_an_error_of_the_balancer_is_1(as_json):
    async def script(x: FakeExchange) -> None:
        await x.text("half")
        await x.error("queue_full", "every backend is busy", retry_after_s=3.0)

    with in_thread(script) as fake:
        code, out, err = run(fake.port, as_json=as_json)
    assert code == FAILED
    if as_json:
        assert json.loads(out) == {
            "text": "half",
            "error": {"code": "queue_full", "message": "every backend is busy", "retry_after_s": 3.0},
        }
    else:
        assert (out, err) == ("half\n", "error: every backend is busy (again in 3 s)\n")


def test_a_lost_connection_is_3():
    async def script(x: FakeExchange) -> None:
        await x.text("half")
        await x.cut()

    with in_thread(script) as fake:
        code, out, err = run(fake.port)
        port = fake.port
    assert (code, out) == (NO_CONNECTION, "half\n")
    assert "closed the connection" in err
    code, _, err = run(port)
    assert code == NO_CONNECTION
    assert "no balancer at" in err


def test_a_prompt_from_a_pipe_is_bounded():
    assert read_prompt(io.StringIO("two\nlines\n"), 100) == "two\nlines"
    with pytest.raises(ValueError, match="longer than 5"):
        read_prompt(io.StringIO("x" * 6), 5)


def test_interrupting_cancels(monkeypatch):
    class Interrupting(io.StringIO):
        def write(self, text: str) -> int:
            raise KeyboardInterrupt

    async def endless(x: FakeExchange) -> None:
        await x.text("tick")
        await asyncio.sleep(60)

    with in_thread(endless) as fake:
        out = Terminal(Interrupting(), environment={})
        code = ask_once("go", Options("127.0.0.1", fake.port), out=out, err=out, as_json=False, verbose=False)
        assert code == 130
        assert fake.cancels == [1]
        fake.script = echo
