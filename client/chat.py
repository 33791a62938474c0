"""The chat at a terminal: a prompt, an answer as it is made, a quiet line; and again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from client.blocking import BlockingAnswer, BlockingClient, connect_sync
from client.conversation import Conversation, told
from client.errors import BadReply, CannotConnect, ClientError, ConnectionLost, ContextTooLong, UnknownModel
from client.events import Queued, Text
from client.oneshot import INTERRUPTED, NO_CONNECTION, OK, Options, words
from client.terminal import Terminal, quiet_line

HELP = """\
  /new           start a new conversation
  /model NAME    ask this model from now on; without a name, the default again
  /wrong         the last answer came from the cache and is wrong: forget it there
  /help          this
  . or Ctrl-D    leave
  Ctrl-C         stop the answer; at the prompt, twice leaves"""


class Chat:
    """One person at one terminal. ``read`` gives the next line (as `input` does) and raises `EOFError` at the end."""

    def __init__(self, options: Options, terminal: Terminal, read: Callable[[str], str]) -> None:
        self._options = options
        self._terminal = terminal
        self._read = read
        self._talk = Conversation()
        self._client: BlockingClient | None = None
        self._entry: str | None = None
        """Of the cache, that the last answer came from."""

    def run(self) -> int:
        """Until the person leaves; returns the exit code."""
        try:
            self._connect()
        except CannotConnect as error:
            self._terminal.line(f"error: {error.message}", "red")
            return NO_CONNECTION
        where = f"{self._options.host}:{self._options.port}"
        self._terminal.line(f"connected to {where} · /help for help · . to leave", "dim")
        interrupted = False
        while True:
            try:
                self._terminal.space()
                line = self._read(self._terminal.prompt("› ")).strip()
                interrupted = False
                if line in (".", "/quit", "/exit"):
                    break
                self._take(line)
            except EOFError:
                self._terminal.line("")
                break
            except KeyboardInterrupt:
                if interrupted:
                    self._close()
                    return INTERRUPTED
                interrupted = True
                self._terminal.space()
                self._terminal.line("Ctrl-C again, . or Ctrl-D leaves", "dim")
        self._close()
        return OK

    def _take(self, line: str) -> None:
        command, _, argument = line.partition(" ")
        match command:
            case "":
                return
            case "/help" | "/?":
                for row in HELP.splitlines():
                    self._terminal.write(row + "\n")
            case "/new":
                self._talk.clear()
                self._terminal.line("a new conversation", "dim")
            case "/model":
                self._use_model(argument.strip() or None)
            case "/wrong":
                self._wrong()
            case _ if command.startswith("/") and "/" not in command[1:]:
                self._terminal.line(f"there is no {command}; /help lists what there is", "dim")
            case _:
                self._ask(line)

    def _use_model(self, model: str | None) -> None:
        self._options = replace(self._options, fields={**self._options.fields, "model": model})
        self._terminal.line(f"asking {model or 'the default model'} from now on", "dim")

    def _wrong(self) -> None:
        entry, self._entry = self._entry, None
        if entry is None:
            self._terminal.line("the last answer did not come from the cache", "dim")
            return
        try:
            self._connect().wrong(entry)
        except ClientError as error:
            self._explain(error)
        else:
            self._terminal.line("the cache forgets that answer: ask again for another", "dim")

    def _ask(self, question: str) -> None:
        self._entry = None
        dropped = self._talk.ask(question)
        if dropped:
            self._terminal.line(told(dropped), "dim")
        try:
            while not self._attempt():
                pass
        except ClientError as error:
            self._talk.abandon()
            self._explain(error)
        except KeyboardInterrupt:  # while connecting, or a second one while the first still stops the answer
            self._talk.abandon()
            self._terminal.interrupted()
            self._terminal.line("stopped", "dim")

    def _attempt(self) -> bool:
        """Ask once; False where turns were dropped and it should be asked again."""
        answer = self._connect().ask(self._talk.messages, cache=self._options.cache, **self._options.fields)
        try:
            self._show(answer)
        except KeyboardInterrupt:
            self._terminal.interrupted()
            answer.cancel()
        except ContextTooLong:
            dropped = self._talk.overflowed()
            if not dropped:
                raise
            self._terminal.line(told(dropped), "dim")
            return False
        self._finish(answer)
        return True

    def _show(self, answer: BlockingAnswer) -> None:
        started = False
        for event in answer.events():
            if isinstance(event, Text):
                # Models begin with a space or blank lines, to go on from the prompt; here they only look odd.
                text = event.text if started else event.text.lstrip()
                started = started or text != ""
                self._terminal.write(text)
            elif isinstance(event, Queued):
                self._terminal.line(f"waiting for a backend, position {event.position}", "dim")

    def _finish(self, answer: BlockingAnswer) -> None:
        if answer.error is not None:
            raise answer.error
        done, timing = answer.done, answer.timing
        if answer.text:
            self._talk.answered(answer.text, done, max_tokens=self._options.fields.get("max_tokens"))
        else:
            self._talk.abandon()
        if done is not None:
            self._entry = done.entry
            self._terminal.line(quiet_line(done, timing, resumed=answer.resumed), "dim")

    def _connect(self) -> BlockingClient:
        """The connection, made anew where it was lost."""
        if self._client is None or not self._client.connected:
            if self._client is not None:
                self._terminal.line("the connection was lost; connecting again", "dim")
            options = self._options
            self._client = connect_sync(
                options.host, options.port, key=options.key, connect_timeout_s=options.connect_timeout_s
            )
        return self._client

    def _close(self) -> None:
        if self._client is not None:
            self._client.close()

    def _explain(self, error: ClientError) -> None:
        self._terminal.line(f"error: {words(error)}", "red")
        if isinstance(error, CannotConnect | BadReply):
            self._terminal.line("the next question tries again", "dim")
        elif isinstance(error, ConnectionLost):
            self._terminal.line("the answer is not complete", "dim")
        elif isinstance(error, UnknownModel):
            self._terminal.line("/model NAME chooses one", "dim")
