from __future__ import annotations

import io

import pytest

from client.events import Done, Timing
from client.terminal import Terminal, quiet_line, seconds, summary


class Tty(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_gets_inert_text_and_colours():
    out = Tty()
    terminal = Terminal(out, environment={})
    terminal.write("a\x1b[2J")
    terminal.line("quiet\x07\nline", "dim")
    assert out.getvalue() == "a␛[2J\n\x1b[2mquiet␇ line\x1b[0m\n"


@pytest.mark.parametrize("environment", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_no_colour_where_none_is_wanted(environment):
    out = Tty()
    terminal = Terminal(out, environment=environment)
    terminal.line("quiet", "dim")
    assert out.getvalue() == "quiet\n"
    assert terminal.prompt("> ") == "> "


def test_a_pipe_gets_the_text_as_it_is():
    out = io.StringIO()
    terminal = Terminal(out, environment={})
    terminal.write("a\x1b[2J\r\n")
    terminal.write("lone \ud800")
    terminal.line("end", "red")
    assert out.getvalue() == "a\x1b[2J\r\nlone ?\nend\n"


def test_readline_is_told_which_characters_have_no_width():
    assert Terminal(Tty(), environment={}).prompt("> ") == "\x01\x1b[36m\x02> \x01\x1b[0m\x02"


def test_the_quiet_line_names_backend_cache_and_speed():
    timing = Timing(ttft_s=0.25, total_s=2.25, tokens=41)
    assert (
        quiet_line(Done("stop", backend="b1", cache="miss"), timing)
        == "b1 · miss · 41 tokens · 20 tok/s · first after 250 ms"
    )
    cached = quiet_line(Done("stop", backend="b1", cache="semantic", similarity=0.9712), timing)
    assert cached == "b1 · semantic 0.97 · 41 tokens · first after 250 ms"
    assert quiet_line(Done("cancelled", backend="b1"), Timing(None, 1.0, 0), resumed=1) == (
        "b1 · taken over by another backend · stopped"
    )
    assert quiet_line(Done("length"), Timing(1.5, 2.0, 1)) == "1 token · first after 1.5 s · ended by length"


def test_short_times_are_in_milliseconds():
    assert [seconds(s) for s in (0.0004, 0.25, 0.9996, 12.34)] == ["0 ms", "250 ms", "1.0 s", "12.3 s"]


def test_the_summary_holds_all_that_the_balancer_said():
    done = Done("stop", fields={"finish_reason": "stop", "backend": "b1", "new": [1]})
    assert summary("hi", done, Timing(0.12345, 1.0, 3)) == {
        "text": "hi",
        "finish_reason": "stop",
        "backend": "b1",
        "new": [1],
        "timing": {"ttft_s": 0.1235, "total_s": 1.0, "tokens": 3, "tokens_per_s": 2.2817},
    }
