from __future__ import annotations

import re

from balancer.wire.limits import LINE_MAX_BYTES
from client.conversation import HISTORY_MAX_BYTES
from frontend.app import STATIC
from frontend.limits import QUESTION_MAX_CHARS, Limits


def test_what_the_page_sends_fits_into_a_message():
    script = (STATIC / "app.js").read_text()
    kib = re.search(r"HISTORY_MAX_BYTES = (\d+) \* 1024", script)
    assert kib is not None
    turns_bytes = int(kib[1]) * 1024
    assert turns_bytes + 4 * QUESTION_MAX_CHARS < Limits().message_max_bytes
    assert turns_bytes >= HISTORY_MAX_BYTES  # so that the bridge, which can tell the person, is the one to drop


def test_a_message_that_fits_here_fits_into_a_line_of_the_wire():
    assert Limits().message_max_bytes < LINE_MAX_BYTES


def test_the_box_takes_as_long_a_question_as_the_bridge():
    html = (STATIC / "index.html").read_text()
    assert f'maxlength="{QUESTION_MAX_CHARS}"' in html
