"""Ask a balancer from Python, or from a terminal with ``python -m client HOST PORT``.

    async with client.connect("127.0.0.1", 1234) as c:
        async for piece in c.ask("Once upon a time"):
            print(piece, end="")

    with client.connect_sync("127.0.0.1", 1234) as c:
        for piece in c.ask("Once upon a time"):
            print(piece, end="")

The map, from the inside out (nothing above a line knows what stands below it):

* ``errors``        what can go wrong, one class a cause; the balancer's error codes are mapped here, once
* ``events``        what an answer consists of
* ``exchange``      one request and its answer as far as it has arrived: pure, bounded
* ``session``       all exchanges of one connection: bytes in, changed exchanges out, bytes to send: pure
* ``answer``        an answer that is awaited piece by piece
* ``connection``    asyncio: one connection, many answers at once
* ``blocking``      the same without asyncio, on a plain socket
* ``conversation``  the turns of a chat, and which to drop when they outgrow the model's context: pure
* ``inert``, ``terminal``  text that is safe to show, and how the terminal looks
* ``oneshot``, ``chat``, ``cli``  the program ``llm-client``; ``address``, ``version``: where it asks, what it is
"""

from client.answer import Answer
from client.blocking import BlockingAnswer, BlockingClient, connect_sync
from client.connection import Client, connect
from client.conversation import Conversation
from client.errors import (
    AccessDenied,
    AnswerTooLong,
    BackendFailed,
    BadReply,
    BadRequest,
    Busy,
    CacheMiss,
    CannotConnect,
    ClientError,
    ConnectionLost,
    ContextTooLong,
    Refused,
    SlowReader,
    Timeout,
    TooManyInFlight,
    UnknownModel,
)
from client.events import Chunk, Done, Event, Queued, Resumed, Text, Timing

__all__ = [
    "AccessDenied",
    "Answer",
    "AnswerTooLong",
    "BackendFailed",
    "BadReply",
    "BadRequest",
    "BlockingAnswer",
    "BlockingClient",
    "Busy",
    "CacheMiss",
    "CannotConnect",
    "Chunk",
    "Client",
    "ClientError",
    "ConnectionLost",
    "ContextTooLong",
    "Conversation",
    "Done",
    "Event",
    "Queued",
    "Refused",
    "Resumed",
    "SlowReader",
    "Text",
    "Timeout",
    "Timing",
    "TooManyInFlight",
    "UnknownModel",
    "connect",
    "connect_sync",
]
