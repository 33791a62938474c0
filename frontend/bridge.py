"""One browser's connection: a question in, the pieces of its answer out, as they come; one answer at a time.

Reading and answering run beside each other, so that a stop is heard at once and a browser that goes away ends its
answer at the backend too. What a browser doesn't take stays in the answer's bounded buffer, then in the socket, and
so slows the backend down (`client.session`); one that takes nothing for long is cut.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.websockets import WebSocket, WebSocketDisconnect

import client
from client.conversation import Turn
from frontend.limits import Limits
from frontend.messages import BadMessage, Cancel, Question, Wrong, done_fields, error_fields, parse, reply
from frontend.tasks import cancel, spawn

log = logging.getLogger(__name__)

ENTRIES_MAX = 100
IDLE_CODE = 4000
"""Close code: nothing was asked for long. The page connects again when it is used."""

Connect = Callable[[], Awaitable[client.Client]]


class Bridge:
    """Serve one accepted WebSocket until it ends. ``connect`` opens a connection to the balancer."""

    def __init__(self, socket: WebSocket, connect: Connect, limits: Limits) -> None:
        self._socket = socket
        self._connect = connect
        self._limits = limits
        self._user = f"web-{secrets.token_hex(8)}"
        self._client: client.Client | None = None
        self._talk = client.Conversation()
        self._answer: client.Answer | None = None
        self._answering: asyncio.Task[Any] | None = None
        self._answering_id: int | None = None
        self._gone = asyncio.Event()
        self._entries: deque[str] = deque(maxlen=ENTRIES_MAX)
        """Of the cache, that this browser was answered from: the only ones it may call wrong."""

    async def run(self) -> None:
        """Until the browser leaves, idles too long or stops reading."""
        reading = spawn(self._read(), name="bridge-read")
        try:
            await self._gone.wait()
        finally:
            await cancel(reading, self._answering)
            if self._client is not None:
                await self._client.aclose()

    async def _read(self) -> None:
        try:
            while (text := await self._next()) is not None:
                await self._take(text)
        except (WebSocketDisconnect, TimeoutError):
            pass  # the browser left, or takes nothing any more
        finally:
            self._gone.set()

    async def _next(self) -> str | None:
        """The browser's next message; ``None`` where none will be read any more."""
        while True:
            try:
                async with asyncio.timeout(self._limits.idle_max_s):
                    message = await self._socket.receive()
            except TimeoutError:
                if self._answering is None:
                    await self._socket.close(IDLE_CODE, "nothing was asked for long")
                    return None
                continue
            if message["type"] != "websocket.receive":
                return None
            text: str | None = message.get("text")
            if text is None:
                await self._socket.close(1003, "text messages only")
            return text

    async def _take(self, text: str) -> None:
        try:
            message = parse(text)
        except BadMessage as error:
            await self._refuse(None, "bad_message", f"This message can't be used: {error}.")
            return
        if isinstance(message, Cancel):
            if self._answering_id == message.cancel and self._answering is not None:
                await self._stop()
        elif isinstance(message, Wrong):
            if message.wrong in self._entries and self._client is not None and self._client.connected:
                self._entries.remove(message.wrong)
                self._client.wrong(message.wrong)
        elif self._answering is not None:
            await self._refuse(message.id, "busy", "One answer at a time: stop the other one first.")
        else:
            self._answering_id = message.id
            self._answering = spawn(self._serve(message), name="bridge-answer")

    async def _stop(self) -> None:
        id, task = self._answering_id, self._answering
        if self._answer is not None and task is not None:
            await self._answer.cancel()
            # Its end goes out from `_serve`; the page may have sent the next question right behind the stop.
            await asyncio.wait([task], timeout=self._limits.write_max_s)
            return
        await cancel(task)
        self._answering = self._answering_id = None
        await self._send(id, "done", {"finish_reason": "cancelled"})

    async def _serve(self, question: Question) -> None:
        """Answer one question; every way it can go ends with `done` or `error`, unless the browser is gone."""
        try:
            self._talk.resume([Turn(turn.question, turn.answer) for turn in question.turns])
            await self._tell_dropped(question.id, self._talk.ask(question.question))
            while not await self._attempt(question.id):
                pass
        except client.ClientError as error:
            self._talk.abandon()
            log.info("no answer: %s", type(error).__name__)
            await self._end(question.id, "error", error_fields(error))
        except (WebSocketDisconnect, TimeoutError):
            self._gone.set()  # the browser left, or takes nothing any more
        except Exception:
            fields = {"code": "internal", "message": "The bridge failed.", "retry": True, "retry_after_s": None}
            await self._end(question.id, "error", fields)
            raise

    async def _attempt(self, id: int) -> bool:
        """Ask once; False where the oldest turns were dropped and it should be asked again."""
        if self._client is None or not self._client.connected:
            self._client = await self._connect()
        async with self._client.ask(self._talk.messages, user=self._user) as answer:
            self._answer = answer
            try:
                async for event in answer.events():
                    await self._show(id, event)
            except client.ContextTooLong:
                dropped = self._talk.overflowed()
                if not dropped:
                    raise
                await self._tell_dropped(id, dropped)
                return False
            finally:
                self._answer = None
        if answer.done is not None:
            self._talk.answered(answer.text, answer.done)
            if answer.done.entry is not None:
                self._entries.append(answer.done.entry)
            await self._end(id, "done", done_fields(answer.done, answer.timing))
        return True

    async def _show(self, id: int, event: client.Event) -> None:
        if isinstance(event, client.Text):
            await self._send(id, "text", event.text)
        elif isinstance(event, client.Queued):
            await self._send(id, "queued", event.position)
        elif isinstance(event, client.Resumed):
            await self._send(id, "resumed", True)

    async def _tell_dropped(self, id: int, dropped: int) -> None:
        if dropped:
            await self._send(id, "dropped", dropped)

    async def _refuse(self, id: int | None, code: str, message: str) -> None:
        await self._send(id, "error", {"code": code, "message": message, "retry": False, "retry_after_s": None})

    async def _end(self, id: int, kind: str, value: Any) -> None:
        self._answering = self._answering_id = None  # first: the page may ask again the moment it reads this
        await self._send(id, kind, value)

    async def _send(self, id: int | None, kind: str, value: Any) -> None:
        async with asyncio.timeout(self._limits.write_max_s):
            await self._socket.send_text(reply(id, kind, value))
