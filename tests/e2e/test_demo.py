"""The demo as a newcomer runs it, with the model that needs no torch; the embedder is the real one."""

from __future__ import annotations

import random
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DEMO = [sys.executable, str(ROOT / "scripts" / "demo.py"), "--model", "echo"]
TIMEOUT_S = 250


def free_ports(count: int) -> list[int]:
    """So many in a row, below those that the system gives to outgoing connections: nobody takes them meanwhile."""
    while True:
        first = random.randrange(20_000, 32_000 - count)
        ports = list(range(first, first + count))
        try:
            for port in ports:
                socket.create_server(("127.0.0.1", port)).close()
        except OSError:
            continue
        return ports


def options() -> list[str]:
    port, admin, web, backend, _ = free_ports(5)
    return [
        *("--port", str(port), "--admin-port", str(admin)),
        *("--backend-port", str(backend), "--web-port", str(web)),
    ]


@pytest.mark.torch
@pytest.mark.timeout(TIMEOUT_S + 30)
def test_the_tour_shows_what_it_promises_and_leaves_nothing_running() -> None:
    pytest.importorskip("sentence_transformers")
    chosen = options()
    tour = subprocess.run([*DEMO, "--tour", *chosen], capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    assert tour.returncode == 0, tour.stdout + tour.stderr
    for part in ("cache miss", "cache exact", "cache semantic (similarity 0.99"):
        assert part in tour.stdout
    killed = re.search(r"(backend-[12]) is killed", tour.stdout)
    assert killed is not None
    victim, survivor = killed[1], {"backend-1": "backend-2", "backend-2": "backend-1"}[killed[1]]
    before, _, after = tour.stdout.partition("is killed")
    assert f"backend {victim} · cache miss" in before
    assert f"backend {survivor} · cache miss" in after
    pool_now = after.rpartition("The pool now")[2]
    assert f"{survivor}  alive" in pool_now
    assert f"{victim}  gone" in pool_now
    for port in chosen[1::2]:
        with socket.socket() as probe:
            assert probe.connect_ex(("127.0.0.1", int(port))) != 0, f"something still listens on {port}"


def test_a_taken_port_is_named_with_the_option_that_chooses_another() -> None:
    chosen = options()
    with socket.create_server(("127.0.0.1", int(chosen[1]))):
        demo = subprocess.run([*DEMO, "--tour", *chosen], capture_output=True, text=True, timeout=60, check=False)
    assert demo.returncode == 1
    assert f"port {chosen[1]} is taken; choose another with --port" in demo.stderr
