"""The demo: a balancer, two backends with the built-in model, the web client, and a chat or a guided tour."""

from __future__ import annotations

import contextlib
import ctypes
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import client  # noqa: E402 - the repository's own packages, also when they are not installed
from balancer.commands.status import pool_lines  # noqa: E402

START_TIMEOUT_S = 120.0
STOP_TIMEOUT_S = 10.0
LOGS = ROOT / ".demo"
QUESTION = "Tell me a story about a fox who wanted to fly."
IN_OTHER_WORDS = "Please tell me a story about a fox who wanted to fly."
SOMETHING_NEW = "Tell me a story about a lighthouse keeper."
MAX_TOKENS = 400


class DemoError(Exception):
    """Something did not come up, or did not do what the tour promises."""


class Processes:
    """Children of the demo; all of them are gone when it is, however it ends."""

    def __init__(self) -> None:
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str, *command: str) -> None:
        """Start ``python -m COMMAND...``; what it says goes to ``.demo/NAME.log``."""
        LOGS.mkdir(exist_ok=True)
        with (LOGS / f"{name}.log").open("wb") as log:
            self._running[name] = subprocess.Popen(
                [sys.executable, "-m", *command],
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # a Ctrl-C at the terminal is the chat's, not theirs
                preexec_fn=_die_with_parent,
            )

    def check(self) -> None:
        """Raise `DemoError` if one has ended by itself."""
        for name, process in self._running.items():
            if process.poll() is not None:
                raise DemoError(f"{name} has ended:\n{log_tail(name)}")

    def kill(self, name: str) -> None:
        """As a crash would: no goodbye."""
        process = self._running.pop(name)
        process.kill()
        process.wait()

    def stop(self) -> None:
        """Ask all to end, last started first, and make sure that they do."""
        for process in reversed(self._running.values()):
            process.terminate()
        deadline = time.monotonic() + STOP_TIMEOUT_S
        for process in self._running.values():
            try:
                process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._running.clear()


def _die_with_parent() -> None:
    """On Linux: should the demo itself be killed, its children get a SIGTERM."""
    pr_set_pdeathsig = 1
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGTERM)


def log_tail(name: str, lines: int = 15) -> str:
    text = (LOGS / f"{name}.log").read_text(errors="replace")
    return "\n".join(f"  {line}" for line in text.splitlines()[-lines:])


def status(admin_port: int) -> dict[str, Any]:
    """The balancer's own view; empty while it is not there yet."""
    connection = http.client.HTTPConnection("127.0.0.1", admin_port, timeout=2)
    try:
        connection.request("GET", "/status")
        found: dict[str, Any] = json.loads(connection.getresponse().read())
        return found
    except OSError:
        return {}
    finally:
        connection.close()


def alive(found: dict[str, Any]) -> list[str]:
    return [backend["name"] for backend in found.get("backends", []) if backend["state"] == "alive"]


def until(what: str, processes: Processes, holds: Any) -> None:
    """Wait for a condition, but not for one that can no longer come true."""
    deadline = time.monotonic() + START_TIMEOUT_S
    while not holds():
        processes.check()
        if time.monotonic() > deadline:
            raise DemoError(f"{what} took more than {START_TIMEOUT_S:g} s; see {LOGS}")
        time.sleep(0.1)


def say(text: str = "", **style: Any) -> None:
    click.echo(click.style(text, **style))


class Tour:
    """Ask, ask again, ask in other words, kill a backend, ask something new: each step must do what it says."""

    def __init__(self, port: int, admin_port: int, processes: Processes) -> None:
        self._port = port
        self._admin_port = admin_port
        self._processes = processes

    def run(self) -> None:
        with client.connect_sync("127.0.0.1", self._port) as connection:
            self._show_pool("The pool")
            first = self._ask(connection, "A question", QUESTION, "miss")
            again = self._ask(connection, "The same again", QUESTION, "exact")
            until("embedding", self._processes, lambda: status(self._admin_port)["cache"]["vectors"])
            other = self._ask(connection, "In other words", IN_OTHER_WORDS, "semantic")
            if not first.text == again.text == other.text:
                raise DemoError("the cache gave another text than the backend")
            victim = first.done.backend
            say(f"\n── {victim} is killed (SIGKILL)", bold=True)
            self._processes.kill(victim)
            new = self._ask(connection, "Something new", SOMETHING_NEW, "miss")
            if new.done.backend == victim:
                raise DemoError(f"{victim} was dead and answered")
            until("noticing the death", self._processes, lambda: victim not in alive(status(self._admin_port)))
            self._show_pool("The pool now")
            say(f"  {victim}  gone")

    def _ask(self, connection: Any, title: str, prompt: str, cache: str) -> Any:
        say(f"\n── {title}", bold=True)
        say(f"> {prompt}", fg="cyan")
        began = time.monotonic()
        answer = connection.ask(prompt, max_tokens=MAX_TOKENS)
        begun = False
        for piece in answer:
            shown = piece if begun else piece.lstrip()
            begun = begun or bool(shown)
            click.echo(shown, nl=False)
        done = answer.done
        if done is None or not answer.text.strip():
            raise DemoError(f"no answer to {prompt!r}")
        part = done.cache if done.similarity is None else f"{done.cache} (similarity {done.similarity:.3f})"
        spent_ms = (time.monotonic() - began) * 1000
        say(f"\n  backend {done.backend} · cache {part} · {spent_ms:.0f} ms · {done.finish_reason}", dim=True)
        if done.cache != cache:
            raise DemoError(f"expected the cache's part to be {cache!r}, got {done.cache!r}")
        return answer

    def _show_pool(self, title: str) -> None:
        say(f"\n── {title}", bold=True)
        say("\n".join(f"  {line}" for line in pool_lines(status(self._admin_port))))


@dataclass(frozen=True)
class Ports:
    """Where the demo's processes listen."""

    balancer: int
    admin: int
    first_backend: int
    web: int

    def check(self) -> None:
        """Raise `DemoError` that names every port that is taken, and the option that chooses another."""
        wanted = [
            ("--port", self.balancer),
            ("--admin-port", self.admin),
            ("--backend-port", self.first_backend),
            ("--backend-port", self.first_backend + 1),
            ("--web-port", self.web),
        ]
        taken = [f"port {port} is taken; choose another with {option}" for option, port in wanted if not is_free(port)]
        if taken:
            raise DemoError("\n      ".join(taken))


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


@contextlib.contextmanager
def running(processes: Processes, ports: Ports, model: str, *, wait_for_cache: bool) -> Iterator[None]:
    """All of the demo's processes, up and ready; gone afterwards."""
    ports.check()
    address = f"127.0.0.1:{ports.balancer}"
    first, second = ports.first_backend, ports.first_backend + 1
    say(f"starting the balancer on {address}, backends on {first} and {second} ...", dim=True)
    try:
        # A production balancer would rather skip the near tier than wait; here it shall be seen at work.
        patient = ("--cache-wait-ms", "10000")
        listen = ("--port", str(ports.balancer), "--admin-port", str(ports.admin))
        processes.start("balancer", "balancer", *listen, *patient)
        for name, port in (("backend-1", first), ("backend-2", second)):
            serve = ("--name", name, "--model", model, "--threads", str(_threads()), "--balancer", address)
            processes.start(name, "backend", str(port), *serve)
        processes.start("web", "frontend", "--port", str(ports.web), "--balancer", address)
        until("the backends", processes, lambda: len(alive(status(ports.admin))) == 2)
        if wait_for_cache:
            until("the embedder", processes, lambda: status(ports.admin)["cache"]["embedder"]["ready"])
        yield
    finally:
        processes.stop()


@click.command(context_settings={"show_default": True, "help_option_names": ["-h", "--help"]})
@click.option("--tour", is_flag=True, help="A guided tour that needs no terminal and ends by itself.")
@click.option("--port", default=1234, help="The balancer.")
@click.option("--admin-port", default=1230, help="Its admin port.")
@click.option("--backend-port", default=1235, help="The first backend; the second takes the next port.")
@click.option("--web-port", default=8000, help="The web client.")
@click.option("--model", default="storyteller", help="What the backends run: storyteller, echo, a name or a path.")
def main(tour: bool, port: int, admin_port: int, backend_port: int, web_port: int, model: str) -> None:
    """Start a balancer, two backends and the web client, then chat. Leave with '.' or Ctrl-C: all of it ends.

    \b
    Examples:
      ./scripts/demo
      ./scripts/demo --tour
      ./scripts/demo --port 2234 --admin-port 2230 --backend-port 2235 --web-port 9000
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    processes = Processes()
    try:
        with running(processes, Ports(port, admin_port, backend_port, web_port), model, wait_for_cache=tour):
            if tour:
                Tour(port, admin_port, processes).run()
                say("\nEverything did what it should.", fg="green")
            else:
                say(f"web client: http://127.0.0.1:{web_port}", dim=True)
                say(f"status:     .venv/bin/python -m balancer status --admin 127.0.0.1:{admin_port}\n", dim=True)
                subprocess.run([sys.executable, "-m", "client", "127.0.0.1", str(port)], cwd=ROOT, check=False)
    except DemoError as error:
        click.echo(f"demo: {error}", err=True)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)


def _threads() -> int:
    """Two backends share the machine."""
    return max(1, (os.cpu_count() or 2) // 2)


if __name__ == "__main__":
    main(prog_name="./scripts/demo")
