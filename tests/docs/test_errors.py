"""docs/protocol.md tells every code that a client can get from the balancer itself."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from balancer.doors.asking import NUMBERS_MAX
from balancer.meters import OUTCOMES

ROOT: Final = Path(__file__).resolve().parents[2]
PAGE: Final = ROOT / "docs/protocol.md"
FIRST: Final = ("BadLine", "RemoteProtocolError", "Failure", "refuse")
"""Calls whose first argument is a code; of these it is another."""
PLACE: Final = {**dict.fromkeys(FIRST, 0), "bad_request": 1, "error_answer": 2}
OF_PEERS: Final = frozenset(
    {
        # What an engine does wrong: its client is told `backend_failed`.
        "no_upgrade", "unasked_answer", "answer_too_large", "event_too_long", "wrong_answer",
        # What a balancer does wrong, as our client, agent and classic peers see it.
        "bad_reply", "invalid_register", "invalid_heartbeat",
        # What an agent does wrong: the connection closes, and the log says why.
        "unexpected_message", "invalid_beat",
    }
)  # fmt: skip
MADE_OF_NAMES: Final = {"invalid_resume", "invalid_fallback", "invalid_explain", *(f"invalid_{n}" for n in NUMBERS_MAX)}
"""Those that are put together from a field's name."""


def codes_in(tree: ast.AST) -> Iterator[str]:
    for call in ast.walk(tree):
        if isinstance(call, ast.Call):
            place = PLACE.get(ast.unparse(call.func).rpartition(".")[2].lstrip("_"))
            found = call.args[place] if place is not None and len(call.args) > place else None
            if isinstance(found, ast.Constant) and isinstance(found.value, str):
                yield found.value


def test_every_code_stands_there() -> None:
    files = [path for part in ("doors", "wire") for path in (ROOT / "balancer" / part).rglob("*.py")]
    made = {
        code
        for path in [ROOT / "balancer/errors.py", *files]
        for code in codes_in(ast.parse(path.read_text(encoding="utf-8")))
    }
    assert {"not_json", "invalid_timeout", "not_found", "queue_full", "body_too_large"} <= made
    text = PAGE.read_text(encoding="utf-8")
    every = (made | MADE_OF_NAMES | OUTCOMES) - OF_PEERS - {"completed"}
    assert not sorted(code for code in every if f"`{code}`" not in text)


def test_codes_are_found_where_they_are_made() -> None:
    text = "refuse('a_b', 1)\nself._refuse('c_d')\nbad_request('said', 'e_f')\nother('g_h')\nBadLine(error.code, 'i')"
    assert list(codes_in(ast.parse(text))) == ["a_b", "c_d", "e_f"]
