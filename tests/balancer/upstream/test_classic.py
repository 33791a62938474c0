from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
import struct

import pytest

from balancer.pool.backend import State
from balancer.upstream import classic as upstream_classic
from balancer.wire import classic
from tests.balancer.pool.specs import a_spec
from tests.balancer.upstream.classic_servers import Asked, Behaviour, Server, closes, keeps, reads_once, text
from tests.balancer.upstream.descriptors import none_left
from tests.balancer.upstream.engine import a_closed_port


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(classic, "ANSWER_GAP_S", 0.05)
    monkeypatch.setattr(upstream_classic, "REDIAL_S", 0.02)


@pytest.mark.parametrize(("behaviour", "connections"), [(keeps, 1), (closes, 3)])
async def test_prompts_are_answered_one_by_one(behaviour: Behaviour, connections: int) -> None:
    async with Server(behaviour).running() as server:
        asked = Asked(server.port)
        for prompt in ("one", "two", "three"):
            listener = await asked.ask(prompt)
            assert listener.ended
            assert text(listener) == f"{prompt} {prompt}"
        assert server.connections == connections
        assert [message[36:37] for message in server.read] == [b"|"] * 3
        asked.upstream.close()


async def test_a_server_that_reads_once_and_stays_open_is_asked_on_a_new_connection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(upstream_classic, "PATIENCE_S", 0.05)
    async with Server(reads_once).running() as server:
        asked = Asked(server.port)
        for prompt in ("one", "two", "three", "four"):
            assert text(await asked.ask(prompt)) == f"{prompt} {prompt}"
        assert server.connections == 4
        assert asked.upstream.habit(asked.spec.instance) is False
        assert len(server.read) == 4, "once its habit is known no prompt is sent in vain"


async def test_a_kept_connection_that_died_is_replaced_without_a_word() -> None:
    async with Server(keeps).running() as server:
        asked = Asked(server.port)
        await asked.ask("one")
        for writer in server._writers:
            writer.transport.abort()
        assert text(await asked.ask("two")) == "two two"


async def test_an_answer_ends_after_a_pause_and_not_before() -> None:
    async def dribbles(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, server: Server) -> None:
        head = (await reader.read(1024)).partition(b"|")[0]
        for piece in (head + b"|", b"Once ", b"upon ", b"a time"):
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0.01)
        await reader.read()

    async with Server(dribbles).running() as server:
        assert text(await Asked(server.port).ask()) == "Once upon a time"


async def test_the_end_of_the_connection_ends_an_answer_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(classic, "ANSWER_GAP_S", 60.0)
    async with Server(closes).running() as server:
        assert text(await Asked(server.port).ask("x")) == "x x"


async def test_a_conversation_is_sent_as_its_contents() -> None:
    async with Server(closes).running() as server:
        body = {"messages": [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Hi"}]}
        listener = await Asked(server.port).ask(body=body, endpoint="chat")
        assert server.read[0][37:] == b"Be kind.\n\nHi"
        assert listener.ended


async def test_what_is_no_text_is_refused() -> None:
    async with Server(keeps).running() as server:
        failure = (await Asked(server.port).ask([1, 2, 3])).failure
        assert failure is not None
        assert (failure.code, failure.status, failure.retryable) == ("invalid_prompt", 400, False)
        assert server.connections == 0


async def test_a_server_may_register_before_it_listens() -> None:
    port = await a_closed_port()
    asked = Asked(port)
    listener, _ = asked.start("hi")
    await asyncio.sleep(0.1)
    assert not listener.over.is_set()
    async with Server(keeps).running(port), asyncio.timeout(10):
        await listener.over.wait()
    assert text(listener) == "hi hi"


async def test_after_its_grace_a_refused_dial_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(classic, "LISTEN_GRACE_S", 0.1)
    asked = Asked(await a_closed_port())
    failure = (await asked.ask()).failure
    assert failure is not None
    assert failure.code == "backend_unreachable"


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (b"", "closed without an answer"),
        (b"01234567-89ab-cdef-0123-456789abcdef|another's", "answered another request"),
    ],
)
async def test_no_answer_and_anothers_answer_are_failures(reply: bytes, said: str) -> None:
    async def wrong(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, server: Server) -> None:
        await reader.read(1024)
        writer.write(reply)
        writer.close()

    async with Server(wrong).running() as server:
        failure = (await Asked(server.port).ask()).failure
    assert failure is not None
    assert failure.code == "backend_failed"
    assert said in failure.message


async def test_an_endless_answer_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upstream_classic, "EVENT_MAX_BYTES", 50_000)

    async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, server: Server) -> None:
        await reader.read(1024)
        while True:
            writer.write(b"x" * 10_000)
            await writer.drain()

    async with Server(endless).running() as server:
        failure = (await Asked(server.port).ask()).failure
    assert failure is not None
    assert "more than" in failure.message


async def test_silence_does_not_count_while_an_answer_is_awaited() -> None:
    async def thinks(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, server: Server) -> None:
        await reader.read()

    async with Server(thinks).running() as server:
        asked = Asked(server.port)
        now = asyncio.get_running_loop().time()
        _, call = asked.start()
        asked.registry.advance(now + 60.0)
        member = asked.registry.member(asked.lease_id)
        assert member is not None and member.state is State.ALIVE
        call.cancel()
        assert member.detector.deadline() < now + 20.0


async def test_a_cancelled_call_hangs_up_and_hears_nothing_more() -> None:
    gone = asyncio.Event()

    async def thinks(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, server: Server) -> None:
        server.read.append(await reader.read(1024))
        with contextlib.suppress(ConnectionError):
            await reader.read()
        gone.set()

    async with Server(thinks).running() as server:
        listener, call = Asked(server.port).start()
        async with asyncio.timeout(5):
            while not server.read:
                await asyncio.sleep(0.002)
            call.cancel()
            await gone.wait()
        assert not listener.over.is_set()


async def test_late_words_on_a_kept_connection_are_never_taken_for_the_next_answer() -> None:
    async def adds(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, server: Server) -> None:
        while await server.answer(reader, writer):
            await asyncio.sleep(0.12)  # after the gap that ends an answer
            writer.write(b" and one more thing")

    async with Server(adds).running() as server:
        asked = Asked(server.port)
        assert text(await asked.ask("one")) == "one one"
        await asyncio.sleep(0.2)
        assert text(await asked.ask("two")) == "two two"
        assert server.connections == 2


async def test_what_is_remembered_of_servers_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upstream_classic, "REMEMBERED_MAX", 3)
    async with Server(keeps).running() as server:
        asked = Asked(server.port)
        for number in range(6):
            asked.spec = a_spec("old", kind="classic", port=server.port, instance=str(number))
            await asked.ask("x")
            asked.upstream.learned(str(number), keeps=True)
        assert len(asked.upstream._kept) == 3
        assert len(asked.upstream._keeps_connections) == 3
        asked.upstream.close()


async def test_half_an_answer_that_a_reset_ends_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(classic, "ANSWER_GAP_S", 60.0)
    heard = asyncio.Event()

    async def killed(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, server: Server) -> None:
        writer.write((await reader.read(1024)).partition(b"|")[0] + b"|Once upon")
        await heard.wait()
        sock: socket.socket = writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()

    async with Server(killed).running() as server, asyncio.timeout(10):
        listener, call = Asked(server.port).start()
        while not call._answer:
            await asyncio.sleep(0.001)
        heard.set()
        await listener.over.wait()
    assert listener.raw == b"" and listener.failure is not None
    assert (listener.failure.code, listener.failure.retryable) == ("backend_failed", True)
    assert "middle of an answer" in listener.failure.message


async def test_a_dial_for_which_this_process_has_no_descriptor_is_nobodys_failure(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(classic, "LISTEN_GRACE_S", 0.0)
    async with Server(keeps).running() as server:
        asked = Asked(server.port)
        with none_left():
            failure = (await asked.ask()).failure
        assert failure is not None and failure.busy and os.strerror(errno.EMFILE) in failure.message
        assert (await asked.ask()).ended
        asked.upstream.close()
