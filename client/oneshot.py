"""One question, one answer, out: for pipes and scripts."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, TextIO

from client.blocking import BlockingAnswer, connect_sync
from client.errors import ClientError, ConnectionLost
from client.terminal import Terminal, quiet_line, summary

OK = 0
FAILED = 1
NO_CONNECTION = 3
INTERRUPTED = 130


@dataclass(frozen=True, slots=True)
class Options:
    """What goes with every question, and where it goes."""

    host: str
    port: int
    key: str | None = None
    cache: str | None = None
    connect_timeout_s: float = 5.0
    fields: dict[str, Any] = field(default_factory=dict)
    """OpenAI fields: model, max_tokens, temperature, ..."""


def ask_once(prompt: str, options: Options, *, out: Terminal, err: Terminal, as_json: bool, verbose: bool) -> int:
    """Ask, write the answer to ``out`` as it comes (or one JSON object), what went wrong to ``err``; the exit code."""
    answer: BlockingAnswer | None = None
    try:
        with connect_sync(
            options.host, options.port, key=options.key, connect_timeout_s=options.connect_timeout_s
        ) as c:
            try:
                # One message, as the chat sends it, so that both find the same cached answers.
                answer = c.ask([{"role": "user", "content": prompt}], cache=options.cache, **options.fields)
                _stream(answer, out, as_json)
            except KeyboardInterrupt:
                if answer is not None:
                    answer.cancel()
                out.end_line()
                return INTERRUPTED
    except ClientError as error:
        _tell(error, answer, out, err, as_json)
        return NO_CONNECTION if isinstance(error, ConnectionLost) else FAILED
    if answer.done is not None and as_json:
        _write_json(summary(answer.text, answer.done, answer.timing), out)
    elif answer.done is not None and verbose:
        err.line(quiet_line(answer.done, answer.timing, resumed=answer.resumed), "dim")
    return OK


def _stream(answer: BlockingAnswer, out: Terminal, as_json: bool) -> None:
    for piece in answer:
        if not as_json:
            out.write(piece)
    if not as_json:
        out.end_line()


def _tell(error: ClientError, answer: BlockingAnswer | None, out: Terminal, err: Terminal, as_json: bool) -> None:
    if as_json:
        fields = {"code": error.code, "message": error.message, "retry_after_s": error.retry_after_s}
        _write_json({"text": answer.text if answer else "", "error": fields}, out)
        return
    out.end_line()
    err.line(f"error: {words(error)}", "red")


def words(error: ClientError) -> str:
    """An error for people."""
    if error.retry_after_s is None:
        return error.message
    return f"{error.message} (again in {error.retry_after_s:.0f} s)"


def _write_json(value: dict[str, Any], out: Terminal) -> None:
    out.write(json.dumps(value, ensure_ascii=out.is_tty) + "\n")


def read_prompt(stdin: TextIO, max_bytes: int) -> str:
    """All of standard input as one prompt; more than a line of the wire holds is a `ValueError`."""
    text = stdin.read(max_bytes + 1)
    if len(text) > max_bytes:
        raise ValueError(f"the prompt is longer than {max_bytes} bytes")
    return text.strip("\n")
