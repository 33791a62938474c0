"""An engine that is not ours, as far as an agent and a balancer see it: real sockets, answers by path.

It can be stopped and started again on its port, made to hang, and it answers completions as a stream.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

Reply = tuple[int, Any]
"""Status and body: text, bytes or what becomes JSON."""

ANSWER: Final = ("Once", " upon", " a time")


def vllm_metrics(running: int = 0, waiting: int = 0, tokens: int = 0, kv: float = 0.0) -> str:
    values = {
        "num_requests_running": running,
        "num_requests_waiting": waiting,
        "kv_cache_usage_perc": kv,
        "generation_tokens_total": tokens,
    }
    return "".join(
        f'# TYPE vllm:{n} gauge\nvllm:{n}{{engine="0",model_name="m"}} {float(v)}\n' for n, v in values.items()
    )


def listed(owner: str, *models: dict[str, Any]) -> Reply:
    return 200, {"object": "list", "data": [{"object": "model", "owned_by": owner, **model} for model in models]}


def vllm() -> dict[str, Reply]:
    return {
        "/v1/models": listed("vllm", {"id": "m", "max_model_len": 4096}),
        "/health": (200, ""),
        "/version": (200, {"version": "0.11.0"}),
        "/metrics": (200, vllm_metrics()),
        "/v1/chat/completions": (400, {"error": {"message": "messages: field required"}}),
        "/v1/completions": (400, {"error": {"message": "prompt: field required"}}),
    }


def sglang() -> dict[str, Reply]:
    return {
        **vllm(),
        "/v1/models": listed("sglang", {"id": "m", "max_model_len": 8192}),
        "/version": (404, ""),
        "/get_server_info": (200, {"version": "0.5.4", "tp_size": 1}),
        "/v1/embeddings": (400, {"error": {"message": "the model does not embed"}}),
        "/metrics": (404, ""),
    }


def llamacpp() -> dict[str, Reply]:
    return {
        "/v1/models": listed("llamacpp", {"id": "q.gguf", "meta": {"n_ctx_train": 32768}}),
        "/health": (200, {"status": "ok"}),
        "/props": (200, {"total_slots": 3, "default_generation_settings": {"n_ctx": 2048}, "build_info": "b1-x"}),
        "/metrics": (200, "llamacpp:requests_processing 2\nllamacpp:requests_deferred 1\nllamacpp:n_decode_total 5\n"),
        "/v1/chat/completions": (500, {"error": {"message": "'messages' is required"}}),
        "/v1/completions": (400, {"error": {"message": '"prompt" is required'}}),
        "/v1/embeddings": (501, {"error": {"message": "start it with --embeddings"}}),
    }


def ollama() -> dict[str, Reply]:
    return {
        "/v1/models": listed("library", {"id": "llama3.2:latest"}, {"id": "q:1b"}),
        "/api/version": (200, {"version": "0.12.6"}),
        "/api/ps": (200, {"models": [{"name": "q:1b", "context_length": 4096}]}),
        "/v1/chat/completions": (400, {"error": {"message": "model is required"}}),
        "/v1/completions": (400, {"error": {"message": "model is required"}}),
    }


class ForeignEngine:
    """Answers ``replies`` by path, 404 else. ``asked`` are the request lines that came."""

    def __init__(self, replies: dict[str, Reply]) -> None:
        self.replies = replies
        self.asked: list[str] = []
        self.heads: list[str] = []
        self.hangs = False
        """Connections are taken, and nothing is answered."""
        self.port = 0
        self._server: asyncio.Server | None = None
        self._serving: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._accepted, "127.0.0.1", self.port)
        self.port = int(self._server.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        """As a process that was killed: nobody listens, every connection ends."""
        assert self._server is not None
        self._server.close()
        for task in self._serving:
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)

    def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(self._serve(reader, writer))
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with suppress(ConnectionError, asyncio.IncompleteReadError):
                while True:
                    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                    self.heads.append(head.lower())
                    lengths = [line for line in head.lower().split("\r\n") if line.startswith("content-length:")]
                    body = await reader.readexactly(int(lengths[0].partition(":")[2])) if lengths else b""
                    method, path, _ = head.split("\r\n")[0].split(" ")
                    self.asked.append(f"{method} {path}")
                    while self.hangs:
                        await asyncio.sleep(0.01)
                    writer.write(self._answer(path, json.loads(body) if body else {}))
                    await writer.drain()
        finally:
            writer.transport.abort()

    def _answer(self, path: str, body: dict[str, Any]) -> bytes:
        if path == "/v1/completions" and "prompt" in body:
            return _stream(str(body.get("model")))
        status, content = self.replies.get(path, (404, {"detail": "Not Found"}))
        data = content.encode() if isinstance(content, str) else json.dumps(content).encode()
        return b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n%b" % (status, len(data), data)


def _stream(model: str) -> bytes:
    texts = [(text, None) for text in ANSWER] + [("", "stop")]
    chunks = [
        {"id": "c", "object": "text_completion", "created": 1, "model": model,
         "choices": [{"index": 0, "text": text, "finish_reason": reason, "logprobs": None}]}
        for text, reason in texts
    ]  # fmt: skip
    data = "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks) + "data: [DONE]\n\n"
    head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
    return f"{head}{len(data):x}\r\n{data}\r\n0\r\n\r\n".encode()


@asynccontextmanager
async def foreign_engine(replies: dict[str, Reply]) -> AsyncIterator[ForeignEngine]:
    """An engine that listens."""
    engine = ForeignEngine(replies)
    await engine.start()
    try:
        yield engine
    finally:
        await engine.stop()
