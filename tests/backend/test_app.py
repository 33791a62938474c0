from __future__ import annotations

import asyncio
import os
import signal

from backend import app
from backend.app import Ready, Settings
from backend.engines.base import Engine
from backend.engines.echo import EchoEngine
from tests.backend.fakes import FakeBalancer
from tests.backend.server.http import Talk


class Started:
    """A backend in this process, until a signal ends it."""

    def __init__(self, settings: Settings, engine: Engine) -> None:
        self._ready: asyncio.Future[Ready] = asyncio.get_running_loop().create_future()
        self.ended = asyncio.ensure_future(app.run(settings, engine, self._ready.set_result))

    async def ready(self) -> Ready:
        return await asyncio.wait_for(self._ready, 20)

    async def end(self, number: signal.Signals = signal.SIGTERM) -> None:
        os.kill(os.getpid(), number)
        await asyncio.wait_for(asyncio.shield(self.ended), 20)


def settings(*balancers: FakeBalancer, host: str = "127.0.0.1", drain_timeout_s: float = 20.0) -> Settings:
    places = tuple(("127.0.0.1", balancer.port) for balancer in balancers)
    return Settings(host=host, port=0, slots=4, balancers=places, drain_timeout_s=drain_timeout_s)


async def test_it_serves_registers_and_leaves_at_a_signal() -> None:
    async with FakeBalancer() as balancer:
        backend = Started(settings(balancer), EchoEngine())
        ready = await backend.ready()
        assert (ready.name, ready.url, ready.model) == (
            f"127.0.0.1:{ready.port}",
            f"http://127.0.0.1:{ready.port}",
            "echo",
        )
        await balancer.until(lambda: bool(balancer.beats))
        assert balancer.registrations[0].url == ready.url
        assert "continue_from" in balancer.registrations[0].abilities
        talk = Talk(*await asyncio.open_connection("127.0.0.1", ready.port))
        assert (await talk.ask("/health", method="GET")).status == 200
        await backend.end(signal.SIGINT)
        await balancer.until(lambda: [kind for kind, _ in balancer.told] == ["drain", "leave", "end"])


async def test_every_address_is_registered_as_the_one_the_balancer_sees() -> None:
    async with FakeBalancer() as balancer:
        backend = Started(settings(balancer, host="0.0.0.0"), EchoEngine())
        ready = await backend.ready()
        await balancer.until(lambda: bool(balancer.registrations))
        assert balancer.registrations[0].url == f"http://127.0.0.1:{ready.port}"
        assert balancer.registrations[0].name.endswith(f":{ready.port}")
        await backend.end()


async def test_a_running_answer_is_finished_before_it_leaves() -> None:
    async with FakeBalancer() as balancer:
        backend = Started(settings(balancer), EchoEngine(delay_ms=5))
        ready = await backend.ready()
        await balancer.until(lambda: bool(balancer.beats))
        talk = Talk(*await asyncio.open_connection("127.0.0.1", ready.port))
        talk.send("/v1/completions", {"prompt": "w", "max_tokens": 200, "ignore_eos": True, "stream": True})
        await asyncio.wait_for(talk.reader.readuntil(b'"text"'), 20)
        await backend.end()
        assert b"[DONE]" in await talk.closed()
        await balancer.until(lambda: ("leave", {}) in balancer.told)


async def test_a_second_signal_ends_what_still_runs_in_an_error() -> None:
    backend = Started(settings(drain_timeout_s=600), EchoEngine(delay_ms=5))
    ready = await backend.ready()
    talk = Talk(*await asyncio.open_connection("127.0.0.1", ready.port))
    talk.send("/v1/completions", {"prompt": "w", "max_tokens": 8000, "ignore_eos": True, "stream": True})
    await asyncio.wait_for(talk.reader.readuntil(b'"text"'), 20)
    os.kill(os.getpid(), signal.SIGTERM)
    await asyncio.sleep(0.05)
    assert not backend.ended.done()
    await backend.end()
    assert b'"code":"shutting_down"' in await talk.closed()
