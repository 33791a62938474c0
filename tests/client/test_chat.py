from __future__ import annotations

import asyncio
import contextlib
import io
from collections.abc import Callable, Iterable

from client.chat import Chat
from client.oneshot import Options
from client.terminal import Terminal
from tests.client.fake_balancer import FakeExchange, echo, in_thread

Step = str | Callable[[], str] | type[BaseException]


def chat(port: int, steps: Iterable[Step], **fields: object) -> tuple[int, str]:
    """Talk as a person would; a step may be a line, something to do first, or what the keyboard raises."""
    left = iter(steps)
    out = io.StringIO()

    def read(prompt: str) -> str:
        step = next(left, EOFError)
        if isinstance(step, type):
            raise step
        return step if isinstance(step, str) else step()

    code = Chat(Options("127.0.0.1", port, fields=fields), Terminal(out, environment={}), read).run()
    return code, out.getvalue()


def contents(ask) -> list[str]:
    return [message["content"] for message in ask.body["messages"]]


def test_history_goes_with_every_question():
    with in_thread() as fake:
        code, out = chat(fake.port, ["first one", "", "second", "."], temperature=0.0)
        assert [contents(a) for a in fake.asks] == [["first one"], ["first one", "first one", "second"]]
        assert fake.asks[1].body["temperature"] == 0.0
        assert fake.connections == 1
    assert code == 0
    assert "b1 · miss · 2 tokens" in out


def test_new_forgets_and_model_chooses():
    with in_thread() as fake:
        _, out = chat(fake.port, ["one", "/new", "/model llama", "two", "/model", "three", "/nonsense", "/help"])
        assert [contents(a) for a in fake.asks][1] == ["two"]
        assert [a.body.get("model") for a in fake.asks] == [None, "llama", None]
    assert "there is no /nonsense" in out
    assert "Ctrl-D" in out


def test_a_path_is_a_question_and_not_a_command():
    with in_thread() as fake:
        chat(fake.port, ["/etc/hosts is what?"])
        assert contents(fake.asks[0]) == ["/etc/hosts is what?"]


def test_an_error_is_told_and_the_chat_goes_on():
    async def script(x: FakeExchange) -> None:
        if x.last_user_text == "bad":
            await x.error("model_not_found", "no backend offers the model 'x'", "not_found_error")
        else:
            await echo(x)

    with in_thread(script) as fake:
        code, out = chat(fake.port, ["bad", "good", "."])
        assert contents(fake.asks[1]) == ["good"]
    assert code == 0
    assert "error: no backend offers the model 'x'" in out
    assert "/model NAME" in out


def test_a_lost_connection_is_told_and_made_anew():
    async def script(x: FakeExchange) -> None:
        if x.last_user_text == "break":
            await x.text("half an ans")
            await x.cut()
        else:
            await echo(x)

    with in_thread(script) as fake:
        _, out = chat(fake.port, ["break", "and now"])
        assert fake.connections == 2
    assert "half an ans\nerror: the balancer closed the connection" in out
    assert "not complete\n\nthe connection was lost; connecting again" in out
    assert "and now\nb1" in out


def test_a_balancer_that_restarted_between_questions_is_found_again():
    with contextlib.ExitStack() as stack:
        first = contextlib.ExitStack()
        port = first.enter_context(in_thread()).port

        def restart() -> str:
            first.close()
            stack.enter_context(in_thread(port=port))
            return "two"

        code, out = chat(port, ["one", restart, "three"])
    assert code == 0
    assert "the connection was lost; connecting again\ntwo\nb1" in out
    assert "three\nb1" in out


def test_nobody_there_at_the_start_is_3():
    with in_thread() as fake:
        port = fake.port
    code, out = chat(port, ["x"])
    assert code == 3
    assert "no balancer at" in out


def test_the_oldest_turns_go_when_the_context_is_full_and_it_says_so():
    async def script(x: FakeExchange) -> None:
        if len(x.ask.body["messages"]) > 3:
            await x.error("context_length_exceeded", "too long", "invalid_request_error")
        else:
            await echo(x)

    with in_thread(script) as fake:
        _, out = chat(fake.port, ["one", "two", "three", "."])
        assert contents(fake.asks[-1])[-1] == "three"
        assert len(contents(fake.asks[-1])) <= 3
    assert "no longer count" in out
    assert "three\nb1" in out


def test_a_question_that_never_fits_is_an_error():
    async def script(x: FakeExchange) -> None:
        await x.error("context_length_exceeded", "the prompt is too long", "invalid_request_error")

    with in_thread(script) as fake:
        code, out = chat(fake.port, ["one"])
        assert len(fake.asks) == 1
    assert code == 0
    assert "error: the prompt is too long" in out


def test_a_place_in_the_queue_is_shown():
    async def script(x: FakeExchange) -> None:
        await x.queued(2)
        await echo(x)

    with in_thread(script) as fake:
        _, out = chat(fake.port, ["hi"])
    assert "waiting for a backend, position 2\nhi\n" in out


def test_the_blank_start_of_an_answer_is_not_shown_and_still_kept():
    async def script(x: FakeExchange) -> None:
        await x.text("\n\n", " Once", " upon\n\na time")
        await x.done()

    with in_thread(script) as fake:
        _, out = chat(fake.port, ["begin", "go on"])
        assert contents(fake.asks[1])[1] == "\n\n Once upon\n\na time"
    assert "\n\nOnce upon\n\na time\nb1" in out


def test_ctrl_c_at_the_prompt_hints_and_twice_leaves():
    with in_thread() as fake:
        code, out = chat(fake.port, [KeyboardInterrupt, "hi", KeyboardInterrupt, KeyboardInterrupt, "never"])
        assert len(fake.asks) == 1
    assert code == 130
    assert out.count("Ctrl-C again") == 2


def test_ctrl_c_stops_the_answer_and_keeps_what_was_said():
    class Interrupted(io.StringIO):
        def write(self, text: str) -> int:
            if text == "tick ":
                raise KeyboardInterrupt
            return super().write(text)

    async def script(x: FakeExchange) -> None:
        if x.last_user_text == "go":
            while True:
                await x.text("tick ")
                await asyncio.sleep(0.005)
        await echo(x)

    with in_thread(script) as fake:
        lines = iter(["go", "next", "."])
        out = Interrupted()
        code = Chat(Options("127.0.0.1", fake.port), Terminal(out, environment={}), lambda _: next(lines)).run()
        assert fake.cancels == [1]
        assert contents(fake.asks[1])[0] == "go"
        assert contents(fake.asks[1])[1].startswith("tick ")
    assert code == 0
    assert "stopped" in out.getvalue()


def test_wrong_names_the_entry_that_answered_once():
    async def script(x: FakeExchange) -> None:
        await x.text("no")
        await x.done(**({"cache": "semantic", "entry": "5f0c"} if x.last_user_text == "near" else {}))

    with in_thread(script) as fake:
        _, out = chat(fake.port, ["/wrong", "near", "/wrong", "/wrong", "far", "/wrong", "last", "."])
        assert [each.entry for each in fake.wrongs] == ["5f0c"]
    assert out.count("did not come from the cache") == 3
    assert out.count("the cache forgets that answer") == 1
