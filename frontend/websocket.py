"""uvicorn's WebSocket protocol with the bounds it lacks.

The library answers pings without looking at whether the peer reads, keeps any number of fragments, queues all messages
of one read, and closes a broken connection so fast that the peer sees a reset instead of the close code. Frames that
break the protocol it refuses by itself (1002), and messages over their size (1009).
"""

from __future__ import annotations

from typing import Any

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import Frame

from frontend.limits import (
    CONTROL_FRAMES_PER_S_MAX,
    FRAGMENTS_MAX,
    LINGER_S,
    QUEUED_MESSAGES_MAX,
    UNSENT_MAX_BYTES,
)

INVALID_UTF8 = 1007
POLICY = 1008
TOO_BIG = 1009


class BoundedWebSocket(WebSocketsSansIOProtocol):
    """One browser's connection."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._control_frames = 0
        self._second = 0

    def handle_cont(self, event: Frame) -> None:
        if len(self.frames) >= FRAGMENTS_MAX:
            self._refuse(TOO_BIG, "too many fragments")
            return
        super().handle_cont(event)

    def handle_ping(self) -> None:
        if self._may_control():
            super().handle_ping()

    def handle_pong(self, event: Frame) -> None:
        if self._may_control():
            super().handle_pong(event)

    def send_receive_event_to_app(self) -> None:
        if self.close_sent:
            self.frames = []
        elif self.queue.qsize() >= QUEUED_MESSAGES_MAX:
            self._refuse(POLICY, "too many messages at once")
        elif self.curr_msg_data_type == "text" and not _is_utf8(b"".join(self.frames)):
            self._refuse(INVALID_UTF8, "not UTF-8")
        else:
            super().send_receive_event_to_app()

    def handle_parser_exception(self) -> None:
        if self.close_sent:
            return
        close = self.conn.close_sent
        self.close_sent = True
        self.stop_keepalive()
        self.queue.put_nowait(
            {
                "type": "websocket.disconnect",
                "code": close.code if close else 1006,
                "reason": close.reason if close else "",
            }
        )
        self.transport.write(b"".join(self.conn.data_to_send()))
        # Closing with unread input would send a reset, and the close code with it to nowhere: read on for a while.
        if self.read_paused:
            self.read_paused = False
            self.transport.resume_reading()
        self.close_timer = self.loop.call_later(LINGER_S, self.transport.abort)

    def keepalive_timeout(self) -> None:
        super().keepalive_timeout()
        self.loop.call_later(LINGER_S, self.transport.abort)

    async def run_asgi(self) -> None:
        await super().run_asgi()
        # A peer that reads nothing would keep the closed transport, and what it holds, for ever.
        self.loop.call_later(2 * LINGER_S, self.transport.abort)

    def _refuse(self, code: int, reason: str) -> None:
        self.frames = []
        if not self.close_sent:
            self.conn.fail(code, reason)
            self.handle_parser_exception()

    def _may_control(self) -> bool:
        if self.close_sent:
            return False
        if self.transport.get_write_buffer_size() > UNSENT_MAX_BYTES:
            self.transport.abort()
            return False
        second = int(self.loop.time())
        if second != self._second:
            self._second, self._control_frames = second, 0
        self._control_frames += 1
        if self._control_frames > CONTROL_FRAMES_PER_S_MAX:
            self._refuse(POLICY, "too many control frames")
            return False
        return True


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True
