"""The program as a person starts it: real processes, pipes and a pseudo-terminal."""

from __future__ import annotations

import asyncio
import codecs
import json
import os
import pty
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from client.cli import main
from tests.client.fake_balancer import FakeExchange, echo, in_thread

PROGRAM = [sys.executable, "-m", "client"]


def run(*arguments: object, stdin: str | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*PROGRAM, *map(str, arguments)],
        input=stdin,
        stdin=subprocess.DEVNULL if stdin is None else None,
        capture_output=True,
        text=True,
        timeout=30,
        env={**os.environ, **environment},
    )


async def endless(x: FakeExchange) -> None:
    while True:
        await x.text("tick ")
        await asyncio.sleep(0.01)


class Person:
    """Someone at a pseudo-terminal."""

    def __init__(self, *arguments: object) -> None:
        self.seen = ""
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self.pid, self._fd = pty.fork()
        if self.pid == 0:
            os.environ["TERM"] = "xterm"
            os.environ.pop("NO_COLOR", None)
            os.execv(sys.executable, [*PROGRAM, *map(str, arguments)])

    def types(self, text: str) -> None:
        os.write(self._fd, text.encode())

    def sees(self, text: str, timeout_s: float = 30.0) -> str:
        """Wait until the screen has shown it; what came up to there."""
        deadline = time.monotonic() + timeout_s
        while text not in self.seen:
            ready, _, _ = select.select([self._fd], [], [], max(0.0, deadline - time.monotonic()))
            if not ready:
                raise AssertionError(f"{text!r} never came; the screen shows {self.seen!r}")
            try:
                self.seen += self._decoder.decode(os.read(self._fd, 65536))
            except OSError:
                raise AssertionError(f"the program ended before {text!r}: {self.seen!r}") from None
        before, _, self.seen = self.seen.partition(text)
        return before

    def is_asked(self, timeout_s: float = 30.0) -> None:
        """The prompt is there, and the program sleeps until a key comes: before that, readline loses an interrupt."""
        self.sees("› ")
        deadline = time.monotonic() + timeout_s
        while not asleep(self.pid):
            assert time.monotonic() < deadline, "it never waited for a key"
            time.sleep(0.01)

    def leaves(self) -> int:
        """Wait for the end; the exit code."""
        while True:
            try:
                if not os.read(self._fd, 65536):
                    break
            except OSError:
                break
        pid, self.pid = self.pid, 0
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

    def __enter__(self) -> Person:
        return self

    def __exit__(self, *_: object) -> None:
        if self.pid:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        os.close(self._fd)


def asleep(pid: int) -> bool:
    """Whether a process waits for something; where nobody tells, it is believed."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return True
    return stat.rpartition(")")[2].split()[0] == "S"


def test_one_answer_from_an_option_and_from_a_pipe():
    with in_thread() as fake:
        plain = run("127.0.0.1", fake.port, "-p", "one two", "--model", "m", "--max-tokens", 5, "--no-cache")
        piped = run("127.0.0.1", fake.port, stdin="from a\npipe\n", LLM_BALANCER_KEY="secret")
        asks = fake.asks
        assert (plain.returncode, plain.stdout, plain.stderr) == (0, "one two\n", "")
        assert (piped.returncode, piped.stdout) == (0, "from a\npipe\n")
    assert (asks[0].body["model"], asks[0].body["max_tokens"], asks[0].cache) == ("m", 5, "bypass")
    assert (asks[0].key, asks[1].key) == (None, "secret")


def test_json_for_programs():
    with in_thread() as fake:
        found = run("127.0.0.1", fake.port, "-p", "-", "--json", stdin="hi there")
    assert found.returncode == 0
    assert json.loads(found.stdout)["text"] == "hi there"


def test_a_chat_without_a_terminal():
    with in_thread() as fake:
        found = run("127.0.0.1", fake.port, "--chat", stdin="hello\n/new\nworld\n.\nnever\n")
        assert [a.body["messages"][-1]["content"] for a in fake.asks] == ["hello", "world"]
    assert found.returncode == 0
    assert "\x1b" not in found.stdout


def test_nobody_there_is_3():
    with in_thread() as fake:
        port = fake.port
    found = run("127.0.0.1", port, "-p", "x")
    assert (found.returncode, found.stdout) == (3, "")
    assert "no balancer at 127.0.0.1" in found.stderr


def test_an_interrupt_is_130():
    with in_thread(endless) as fake:
        process = subprocess.Popen([*PROGRAM, "127.0.0.1", str(fake.port), "-p", "go"], stdout=subprocess.PIPE)
        assert process.stdout is not None
        assert process.stdout.read(5) == b"tick "
        process.send_signal(signal.SIGINT)
        process.stdout.read()
        process.stdout.close()
        assert process.wait(30) == 130
        assert fake.cancel_heard.wait(10) and fake.cancels == [1]


def test_a_reader_that_has_enough_ends_it_quietly():
    with in_thread(endless) as fake:
        process = subprocess.Popen(
            [*PROGRAM, "127.0.0.1", str(fake.port), "-p", "go"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.read(5)
        process.stdout.close()
        assert process.wait(30) == 0
        assert process.stderr.read() == b""
        process.stderr.close()


@pytest.mark.parametrize(
    "arguments",
    [
        ["-p", " "],
        ["-p", "x", "--cache", "refresh", "--no-cache"],
        ["--chat", "-p", "x"],
        ["127.0.0.1", "70000"],
        ["-p", "x", "--max-tokens", "0"],
    ],
)
def test_wrong_usage_is_2(arguments):
    assert CliRunner().invoke(main, arguments).exit_code == 2


def test_help_shows_examples_and_exit_codes():
    shown = CliRunner().invoke(main, ["--help"]).output
    assert "llm-client -p" in shown
    assert "130  interrupted" in shown


def test_ctrl_c_stops_the_answer_and_not_the_program():
    async def script(x: FakeExchange) -> None:
        await (endless(x) if x.last_user_text == "go" else echo(x))

    with in_thread(script) as fake, Person("127.0.0.1", fake.port) as person:
        person.sees("› ")
        person.types("go\r")
        person.sees("tick tick")
        person.types("\x03")
        person.sees("stopped")
        person.sees("› ")
        person.types("still there?\r")
        person.sees("\rstill there?\r\n")
        person.sees("b1 · miss")
        person.sees("› ")
        person.types(".\r")
        assert person.leaves() == 0
        assert fake.cancels == [1]


def test_ctrl_d_leaves():
    with in_thread() as fake, Person("127.0.0.1", fake.port) as person:
        person.sees("› ")
        person.types("\x04")
        assert person.leaves() == 0


def test_ctrl_c_twice_at_the_prompt_leaves():
    with in_thread() as fake, Person("127.0.0.1", fake.port) as person:
        person.is_asked()
        person.types("\x03")
        person.sees("Ctrl-C again")
        person.is_asked()
        person.types("\x03")
        assert person.leaves() == 130


def test_what_a_model_says_never_controls_the_terminal():
    async def script(x: FakeExchange) -> None:
        await x.text("\x1b]0;owned\x07", "\x9b2J", "END")
        await x.done(backend="b\x1b[31m1")

    with in_thread(script) as fake, Person("127.0.0.1", fake.port) as person:
        person.sees("› ")
        person.types("go\r")
        answer = person.sees("END")
        assert "␛]0;owned␇" in answer
        assert "\x1b]0" not in answer
        assert "\x9b" not in answer
        assert "\x1b[31m" not in person.sees("miss")
        person.sees("› ")
        person.types("\x04")
        assert person.leaves() == 0
