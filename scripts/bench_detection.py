"""How fast the balancer notices that a backend was killed, frozen or came back, and how fast backends find it again.

Real processes on loopback, looked at through GET /status every 10 ms; median and worst of several rounds.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import click

ROOT = Path(__file__).resolve().parent.parent
DEADLINE_S = 30.0
Process = subprocess.Popen[str]


@contextlib.contextmanager
def started(*command: str) -> Iterator[Process]:
    """``python -m COMMAND...`` from its ready line on; killed at the end."""
    process = subprocess.Popen(
        [sys.executable, "-m", *command], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    assert process.stdout is not None
    process.stdout.readline()
    try:
        yield process
    finally:
        process.send_signal(signal.SIGCONT)
        process.kill()
        process.wait()


def states(admin_port: int) -> dict[str, str]:
    """Backend name -> state; empty while the balancer is away."""
    connection = http.client.HTTPConnection("127.0.0.1", admin_port, timeout=5)
    try:
        connection.request("GET", "/status")
        status = json.loads(connection.getresponse().read())
        return {backend["name"]: backend["state"] for backend in status["backends"]}
    except OSError:
        return {}
    finally:
        connection.close()


def seconds_until(holds: Callable[[], bool]) -> float:
    began = time.monotonic()
    while not holds():
        if time.monotonic() - began > DEADLINE_S:
            raise click.ClickException("that never happened")
        time.sleep(0.01)
    return time.monotonic() - began


@click.command()
@click.option("--rounds", default=5, show_default=True)
@click.option("--port", default=21234, show_default=True, help="The balancer's; the admin port is the next one.")
def main(rounds: int, port: int) -> None:
    """Print a table.

    Example: scripts/bench_detection --rounds 10
    """
    admin_port = port + 1
    balancer = ("balancer", "--port", str(port), "--admin-port", str(admin_port), "--no-cache")
    backend = ("backend", "0", "--model", "echo", "--balancer", f"127.0.0.1:{port}", "--name")
    found: dict[str, list[float]] = {}

    def note(what: str, holds: Callable[[], bool]) -> None:
        found.setdefault(what, []).append(seconds_until(holds))

    def is_alive(name: str) -> bool:
        return states(admin_port).get(name) == "alive"

    with started(*backend, "steady"), contextlib.ExitStack() as stack:
        running = stack.enter_context(started(*balancer))
        seconds_until(lambda: is_alive("steady"))
        for _ in range(rounds):
            with started(*backend, "victim") as victim:
                seconds_until(lambda: is_alive("victim"))
                os.kill(victim.pid, signal.SIGSTOP)
                note("backend frozen (SIGSTOP): out", lambda: states(admin_port).get("victim") == "dead")
                os.kill(victim.pid, signal.SIGCONT)
                note("backend goes on (SIGCONT): back", lambda: is_alive("victim"))
                victim.kill()
                note("backend killed (SIGKILL): out", lambda: "victim" not in states(admin_port))
            running.kill()
            running.wait()
            running = stack.enter_context(started(*balancer))
            note("balancer killed, started again, ready: backend back", lambda: is_alive("steady"))
    width = max(map(len, found))
    click.echo(f"{'':{width}}  median s  worst s   ({rounds} rounds, load {os.getloadavg()[0]:.1f})")
    for what, seconds in found.items():
        click.echo(f"{what:{width}}  {statistics.median(seconds):8.2f}  {max(seconds):7.2f}")


if __name__ == "__main__":
    main(prog_name="scripts/bench_detection")
