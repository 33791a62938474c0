from __future__ import annotations

import asyncio

import pytest

from backend.agent.fetch import ANSWER_MAX_BYTES, EngineHttp, EngineSilent, engine_url
from tests.backend.foreign_engine import foreign_engine


async def served(raw: bytes) -> tuple[asyncio.Server, EngineHttp]:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(raw)
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    return server, EngineHttp(engine_url(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"))


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("http://gpu:8000", "http://gpu:8000"),
        ("http://gpu:8000/v1/", "http://gpu:8000"),
        ("https://gpu/llm/v1", "https://gpu/llm"),
    ],
)
def test_a_base_url_may_end_in_v1(text: str, url: str) -> None:
    assert engine_url(text).geturl() == url


@pytest.mark.parametrize(
    "text", ["", "gpu:8000", "ftp://gpu", "http://", "http://u:p@gpu", "http://gpu?x=1", "http://gpu/a b", "http://g:99999"]
)  # fmt: skip
def test_what_can_not_be_asked_is_no_url(text: str) -> None:
    with pytest.raises(ValueError):
        engine_url(text)


async def test_path_and_key_go_with_each_question_unless_it_is_asked_as_a_balancer() -> None:
    async with foreign_engine({"/llm/health": (200, "fine")}) as engine:
        http = EngineHttp(engine_url(f"{engine.url}/llm/v1"), "secret")
        assert await http.get("/health") == (200, b"fine")
        assert (await http.without_key.post("/nothing", b"{}")).is_missing
    assert engine.asked == ["GET /llm/health", "POST /llm/nothing"]
    assert ["bearer secret" in head for head in engine.heads] == [True, False]


async def test_an_answer_may_be_chunked_or_end_with_its_connection() -> None:
    for raw in (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n",
        b"HTTP/1.0 200 OK\r\n\r\nabc",
    ):
        server, http = await served(raw)
        async with server:
            assert (await http.get("/")).body == b"abc"


@pytest.mark.parametrize(
    ("raw", "word"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc", "closed"),
        (b"", "closed"),
        (b"SSH-2.0-OpenSSH\r\n\r\n", "/x"),
        (b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * (ANSWER_MAX_BYTES + 1), "longer"),
    ],
    ids=["cut short", "nothing", "not http", "endless"],
)
async def test_what_is_no_whole_answer_is_silence(raw: bytes, word: str) -> None:
    server, http = await served(raw)
    async with server:
        with pytest.raises(EngineSilent, match=word):
            await http.get("/x")


async def test_nobody_there_and_nothing_said_in_time_are_silence() -> None:
    async with foreign_engine({}) as engine:
        http = EngineHttp(engine_url(engine.url))
        engine.hangs = True
        with pytest.raises(EngineSilent, match="no answer within"):
            await http.get("/health", 0.05)
    with pytest.raises(EngineSilent):
        await http.get("/health")


async def test_an_unverified_certificate_is_silence() -> None:
    async with foreign_engine({}) as engine:
        http = EngineHttp(engine_url(engine.url.replace("http:", "https:")))
        with pytest.raises(EngineSilent):
            await http.get("/health")
