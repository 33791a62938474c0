"""Settings that are read again: a good reload drops no stream, a broken one changes nothing. Fault 38."""

from __future__ import annotations

import asyncio
import signal
import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import NamedTuple

from tests.certificates import make_certificate, needs_openssl
from tests.e2e.fake_engine import FakeEngine, engine
from tests.e2e.held import Held
from tests.e2e.pool import Balancer, balancer, http
from tests.e2e.programs import output_of, python
from tests.e2e.talk import Answer, Talk, ask, check_served, talk

PROMPT = "to the end"
"""What is answered to it ends only when a test has seen enough."""


class House(NamedTuple):
    front: Balancer
    engines: list[FakeEngine]
    held: Held
    file: Path

    @property
    def port(self) -> int:
        return self.front.port

    def names(self, *numbers: int) -> set[str]:
        return {f"127.0.0.1:{self.engines[n].port}" for n in numbers}

    def write(self, *upstreams: int, more: str = "") -> None:
        """Settings with these of the engines."""
        self.file.write_text(settings([self.engines[n] for n in upstreams], more))

    async def reload(self) -> tuple[int, str, str]:
        return await output_of(python("balancer", "reload", "--admin", self.front.admin))

    async def check_unharmed(self, connection: Talk, running: list[Answer]) -> None:
        """They still run, and are whole when they end."""
        assert not any(answer.ended for answer in running)
        self.held.go_on.set()
        await connection.ended(*running)
        assert [answer.text for answer in running] == [PROMPT] * len(running)


def settings(engines: list[FakeEngine], more: str = "") -> str:
    return "upstream:\n" + "".join(f"  - {each.url};slots=4\n" for each in engines) + more


@asynccontextmanager
async def house(path: Path, *arguments: str, more: str = "") -> AsyncIterator[House]:
    """A balancer with a file of settings that names the first two of three engines."""
    file = path / "balancer.yaml"
    async with AsyncExitStack() as stack:
        held = Held(PROMPT)
        engines = [await stack.enter_async_context(engine(held)) for _ in range(3)]
        file.write_text(settings(engines[:2], more))
        front = await stack.enter_async_context(balancer("--config", str(file), *arguments))
        found = House(front, engines, held, file)
        await front.until(lambda status: set(status.alive) == found.names(0, 1))
        yield found


async def streams(connection: Talk, count: int = 4) -> list[Answer]:
    found = [connection.ask(PROMPT, n) for n in range(count)]
    await connection.begun(*found)
    return found


async def test_a_good_reload_drops_no_stream(tmp_path: Path) -> None:
    """Fault 38: one upstream goes, one comes, one gets other slots, the policy changes; 4 of 4 streams are whole."""
    async with house(tmp_path) as found, talk(found.port) as connection:
        running = await streams(connection)
        found.file.write_text(
            f"upstream: ['{found.engines[1].url};slots=3', '{found.engines[2].url}']\n"
            "policy: round-robin\nqueue-timeout: 7\n"
        )
        status, out, err = await found.reload()
        said = set(out.replace(",", " ").replace(";", " ").split())
        assert status == 0 and {"policy", "upstream", "queue-timeout", "added", "removed"} <= said, out + err
        now = await found.front.until(lambda status: set(status.alive) == found.names(1, 2))
        (gone,), (kept,) = found.names(0), found.names(1)
        backend = now.backend(kept)
        assert now.state(gone) == "draining" and backend is not None and backend["slots"] == 3
        assert {(await ask(found.port, "hi")).backend for _ in range(4)} == found.names(1, 2)
        await found.check_unharmed(connection, running)
        assert len({answer.backend for answer in running}) == 2, "they ran on both"
        await found.front.until(lambda status: status.state(gone) is None and status.idle)


async def test_a_broken_reload_changes_nothing_and_says_why(tmp_path: Path) -> None:
    async with house(tmp_path) as found, talk(found.port) as connection:
        running = await streams(connection)
        for text, said in (
            ("upstream: [", "not YAML"),
            ("upstreams: []\n", "did you mean 'upstream'"),
            ("upstream: 'http://127.0.0.1:9;slot=1'\npolicy: round-robin\n", "did you mean 'slots'"),
            ("admin-host: 127.0.0.2\npolicy: round-robin\n", "admin-host: needs a restart"),
            ("keys: /nowhere/keys\n", "No such file"),
        ):
            found.file.write_text(text)
            status, out, err = await found.reload()
            assert status == 1 and said in err and "old settings stay" in err and not out, err
            assert "Traceback" not in err
        found.front.program.send(signal.SIGHUP)
        await found.front.program.wrote("reload failed")
        found.file.unlink()
        assert (await found.reload())[0] == 1
        assert set((await found.front.status()).alive) == found.names(0, 1)
        await found.check_unharmed(connection, running)
        found.write(1)
        assert (await found.reload())[0] == 0
        await found.front.until(lambda status: set(status.alive) == found.names(1))


async def test_a_signal_reads_keys_anew_and_a_request_that_runs_keeps_its_own(tmp_path: Path) -> None:
    keys = tmp_path / "keys"

    async def made(name: str) -> str:
        status, out, err = await output_of(python("balancer", "key", "add", name, "--keys", str(keys)))
        assert status == 0 and "reload" in err, err
        return out.strip()

    alice = await made("alice")
    async with house(tmp_path, "--keys", str(keys)) as found, talk(found.port) as connection:
        running = connection.ask(PROMPT, 1, key=alice)
        await connection.begun(running)
        bob = await made("bob")
        assert (await ask(found.port, "hi", key=bob)).code == "invalid_api_key"
        await output_of(python("balancer", "key", "remove", "alice", "--keys", str(keys)))
        found.front.program.send(signal.SIGHUP)
        await found.front.program.wrote("reloaded: keys")
        assert (await ask(found.port, "hi", key=bob)).text == "hi"
        assert (await ask(found.port, "hi", key=alice)).code == "invalid_api_key"
        await found.check_unharmed(connection, [running])
        assert alice not in found.front.program.log and bob not in found.front.program.log


@needs_openssl
async def test_a_renewed_certificate_holds_from_the_next_connection_on(tmp_path: Path) -> None:
    old = make_certificate(tmp_path)
    trusts_old = old.client_context()

    async def reaches(port: int, trusts: ssl.SSLContext) -> bool:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=trusts, server_hostname="localhost")
        except ssl.SSLError:
            return False
        writer.close()
        return True

    tls = ("--tls-cert", str(old.chain), "--tls-key", str(old.key))
    async with house(tmp_path, *tls) as found, talk(found.port) as connection:
        running = await streams(connection)
        trusts_new = make_certificate(tmp_path).client_context()
        assert await reaches(found.port, trusts_old) and not await reaches(found.port, trusts_new)
        status, out, _ = await found.reload()
        assert status == 0 and "changed: tls-cert" in out
        assert await reaches(found.port, trusts_new) and not await reaches(found.port, trusts_old)
        old.key.write_text("broken")
        status, _, err = await found.reload()
        assert status == 1 and "tls-key" in err
        assert await reaches(found.port, trusts_new)
        await found.check_unharmed(connection, running)


async def test_flags_still_win_after_a_reload(tmp_path: Path) -> None:
    async with house(tmp_path, "-c") as found:
        found.write(0, 1, more="policy: round-robin\nport: 4444\n")
        status, out, err = await found.reload()
        assert status == 0 and "changed: nothing" in out, out + err
        await check_served(found.port)


async def test_without_a_daemon_a_reload_says_so() -> None:
    status, _, err = await output_of(python("balancer", "reload", "--admin", "127.0.0.1:9"))
    assert status != 0 and "127.0.0.1:9" in err


async def test_orchestrators_may_ask_on_the_admin_port(tmp_path: Path) -> None:
    async with house(tmp_path) as found:
        for path in ("/livez", "/readyz", "/healthz"):
            assert (await http(found.front.admin_port, "GET", path)).status == 200
