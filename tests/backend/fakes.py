"""Fakes at the ports of the backend: a sink that remembers, an engine on strings, a balancer's control side."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import asyncio_dgram
import msgspec

from backend.engines.base import EngineInfo, EngineLoad, GenerationRequest, Piece, Sink
from backend.errors import BackendError
from balancer.wire import control, heartbeat


async def until(condition: Callable[[], bool], timeout_s: float = 20.0) -> None:
    """Wait for what nothing announces."""
    async with asyncio.timeout(timeout_s):
        while not condition():
            await asyncio.sleep(0.001)


class RecordingSink:
    """Keeps what an engine says; `done` is set at the end, `wait_pieces` at the n-th piece."""

    def __init__(self) -> None:
        self.prompt_token_ids: tuple[int, ...] | None = None
        self.pieces: list[Piece] = []
        self.error: BackendError | None = None
        self.done = asyncio.Event()
        self._arrived = asyncio.Event()
        self.on_piece: Callable[[], None] | None = None

    def started(self, prompt_token_ids: Sequence[int]) -> None:
        assert self.prompt_token_ids is None
        assert not self.pieces
        self.prompt_token_ids = tuple(prompt_token_ids)

    def piece(self, piece: Piece) -> None:
        assert not self.done.is_set(), "a piece after the end"
        self.pieces.append(piece)
        self._arrived.set()
        if self.on_piece is not None:
            self.on_piece()
        if piece.finish_reason is not None:
            self.done.set()

    def failed(self, error: BackendError) -> None:
        assert not self.done.is_set(), "an error after the end"
        self.error = error
        self.done.set()

    async def wait_pieces(self, count: int) -> None:
        while len(self.pieces) < count and not self.done.is_set():
            self._arrived.clear()
            await self._arrived.wait()

    @property
    def text(self) -> str:
        return "".join(piece.text for piece in self.pieces)

    @property
    def token_ids(self) -> tuple[int, ...]:
        return tuple(token for piece in self.pieces for token in piece.token_ids)

    @property
    def last(self) -> Piece:
        return self.pieces[-1]


@dataclass
class ScriptedGeneration:
    """One request of a `ScriptedEngine`: the test says what comes."""

    request: GenerationRequest
    sink: Sink
    cancelled: bool = False

    def cancel(self) -> None:
        self.cancelled = True


class ScriptedEngine:
    """An engine on strings: it yields only what a test makes it yield."""

    def __init__(self) -> None:
        self.info = EngineInfo("scripted", "scripted", 64)
        self.now = EngineLoad()
        self.generations: list[ScriptedGeneration] = []
        self.submitted = asyncio.Event()
        self.closed = False

    async def start(self) -> None:
        pass

    def submit(self, request: GenerationRequest, sink: Sink) -> ScriptedGeneration:
        self.generations.append(ScriptedGeneration(request, sink))
        self.submitted.set()
        return self.generations[-1]

    def load(self) -> EngineLoad:
        return self.now

    async def close(self) -> None:
        self.closed = True


@dataclass
class FakeBalancer:
    """The control side of a balancer on a port of its own, TCP and UDP. Everything it is told is kept.

    ``token`` is what backends must prove; ``refusals`` are answered first, one a registration.
    """

    token: bytes = b""
    beat_s: float = 0.05
    refusals: list[control.Refused] = field(default_factory=list)
    acks_udp: bool = True
    acks_control: bool = True
    registrations: list[control.Register] = field(default_factory=list)
    beats: list[tuple[str, heartbeat.Beat]] = field(default_factory=list)
    told: list[tuple[str, Any]] = field(default_factory=list)
    port: int = 0

    def __post_init__(self) -> None:
        self._changed = asyncio.Condition()
        self._keys: dict[int, bytes] = {}
        self._highest: dict[int, int] = {}
        self._writers: list[asyncio.StreamWriter] = []
        self._server: asyncio.Server | None = None
        self._udp: asyncio_dgram.DatagramServer | None = None
        self._reading: asyncio.Task[None] | None = None

    async def __aenter__(self) -> FakeBalancer:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]
        self._udp = await asyncio_dgram.bind(("127.0.0.1", self.port))
        self._reading = asyncio.ensure_future(self._read_datagrams(self._udp))

    async def stop(self) -> None:
        """As a balancer that ends: the port is free and every connection closed."""
        assert self._server is not None
        assert self._udp is not None
        assert self._reading is not None
        self._server.close()
        self._reading.cancel()
        self._udp.close()
        self.hang_up()

    def hang_up(self) -> None:
        for writer in self._writers:
            writer.close()
        self._writers.clear()

    def say(self, kind: str, fields: object) -> None:
        for writer in self._writers:
            writer.write(control.message_line(kind, fields))

    async def until(self, condition: Callable[[], bool], timeout_s: float = 20.0) -> None:
        async with asyncio.timeout(timeout_s), self._changed:
            await self._changed.wait_for(condition)

    async def _tell(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        try:
            if await self._register(reader, writer):
                while line := await reader.readline():
                    await self._message(writer, *control.parse_message(line))
                self.told.append(("end", None))
        except (ConnectionError, asyncio.CancelledError):
            return
        await self._tell()
        writer.close()

    async def _register(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        line = (await reader.readline()).rstrip(b"\n")
        kind, fields = control.parse_message(line)
        assert kind == "register"
        register = control.parse_fields(fields, control.Register)
        nonce = "ab" * control.NONCE_BYTES
        writer.write(control.message_line("challenge", control.Challenge(nonce)))
        kind, fields = control.parse_message(await reader.readline())
        prove = control.parse_fields(fields, control.Prove)
        refused = self.refusals.pop(0) if self.refusals else None
        if self.token and not control.proof_holds(self.token, nonce, line, prove.mac):
            refused = control.Refused("wrong_token", "the proof does not hold")
        self.registrations.append(register)
        if refused is not None:
            writer.write(control.message_line("refused", refused))
            await self._tell()
            writer.close()
            return False
        lease_id = len(self.registrations)
        key = control.lease_key(self.token, nonce, line) if self.token else bytes(range(32))
        self._keys[lease_id] = key
        lease = control.Lease(lease_id, self.beat_s, 3 * self.beat_s, None if self.token else key.hex())
        writer.write(control.message_line("lease", lease))
        await self._tell()
        return True

    async def _message(self, writer: asyncio.StreamWriter, kind: str, fields: Any) -> None:
        if kind == "beat":
            ack = self._beat("control", control.datagram_bytes(fields))
            if ack is not None and self.acks_control:
                writer.write(control.message_line("ack", control.datagram_text(ack)))
        else:
            self.told.append((kind, msgspec.to_builtins(fields)))
        await self._tell()

    async def _read_datagrams(self, udp: asyncio_dgram.DatagramServer) -> None:
        while True:
            datagram, address = await udp.recv()
            if self.acks_udp:
                ack = self._beat("udp", datagram)
                if ack is not None:
                    await udp.send(ack, address)
                await self._tell()

    def _beat(self, way: str, datagram: bytes) -> bytes | None:
        """As a balancer: an old sequence or a wrong MAC is dropped without a word."""
        head = heartbeat.peek(datagram)
        assert head is not None
        beat = heartbeat.open_beat(self._keys[head.lease_id], datagram)
        assert beat is not None, "the MAC must hold"
        if beat.sequence <= self._highest.get(head.lease_id, 0):
            return None
        self._highest[head.lease_id] = beat.sequence
        self.beats.append((way, beat))
        return heartbeat.seal_ack(self._keys[head.lease_id], head.lease_id, beat.sequence)
