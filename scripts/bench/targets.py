"""What is measured: how each balancer is started in front of the same two engines."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from balancer.admission.keys import ClientKey, digest_of, line_of
from scripts.bench.load import KEY
from scripts.compiled_copy import PROGRAM, is_fresh

START_S = 60.0
STOP_S = 10.0
SETTLES_S = 0.5
ROUTER_PYTHON = "ROUTER_PYTHON"
"""The variable that names the Python in whose environment sglang-router and vllm-router are installed: they want their
own, since what they need is no part of this project."""


@dataclass(frozen=True)
class Target:
    """``command`` starts it in the foreground; ``None``: not installed, ``missing`` says what."""

    name: str
    port: int
    command: Sequence[str] | None
    admin_port: int | None = None
    """Of ours."""
    missing: str = ""


def all_targets(engines: Sequence[int], folder: Path) -> list[Target]:
    """Ours and the others, those that are not installed as such."""
    power_of_two = ("--policy", "power_of_two")
    urls = [f"http://127.0.0.1:{port}" for port in engines]
    keys = keys_in(folder)
    return [
        ours("ours", urls, "--keys", keys, "--no-embedder"),
        ours("ours, embedder", urls, "--keys", keys),
        ours("ours, no cache", urls, "--keys", keys, "--no-cache"),
        ours("ours, compiled", urls, "--keys", keys, "--no-embedder", compiled=True),
        ours("ours, compiled, no cache", urls, "--keys", keys, "--no-cache", compiled=True),
        haproxy(engines, folder),
        _nginx(engines, folder),
        python_router("sglang-router", "sglang-router", urls, *power_of_two),
        python_router("vllm-router", "vllm-router", urls, *power_of_two),
    ]


def keys_in(folder: Path) -> str:
    """A file with the clients' key."""
    file = folder / "keys"
    file.write_text(line_of(ClientKey("bench", digest_of(KEY.encode()))) + "\n")
    return str(file)


def free_port() -> int:
    """A TCP port that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def ours(name: str, urls: Sequence[str], *options: str, compiled: bool = False) -> Target:
    """This balancer, of these sources or of what ``scripts/compile`` made of them."""
    port, admin_port = free_port(), free_port()
    if compiled and not is_fresh():
        return Target(name, port, None, missing="scripts/compile")
    command = [str(PROGRAM)] if compiled else [sys.executable, "-m", "balancer"]
    command += ["--port", str(port), "--admin-port", str(admin_port)]
    for url in urls:
        command += ["--upstream", url]
    return Target(name, port, [*command, "--log-level", "warning", *options], admin_port)


def haproxy(engines: Sequence[int], folder: Path, *, connections: int = 8000, rules: str = "") -> Target:
    """HAProxy; ``rules``: further lines for its frontend."""
    port, program = free_port(), shutil.which("haproxy", path=_path())
    if program is None:
        return Target("HAProxy", port, None, missing="haproxy")
    servers = "".join(f"    server s{i} 127.0.0.1:{engine}\n" for i, engine in enumerate(engines))
    file = folder / "haproxy.cfg"
    file.write_text(
        f"global\n    nbthread 1\n    maxconn {connections}\n"
        "defaults\n    mode http\n    timeout connect 2s\n    timeout client 600s\n    timeout server 600s\n"
        "    http-reuse always\n"
        f"frontend clients\n    bind 127.0.0.1:{port}\n    default_backend engines\n{rules}"
        f"backend engines\n    balance leastconn\n{servers}"
    )
    return Target("HAProxy", port, [program, "-db", "-f", str(file)])


def _nginx(engines: Sequence[int], folder: Path) -> Target:
    port, program = free_port(), shutil.which("nginx", path=_path())
    if program is None:
        return Target("nginx", port, None, missing="nginx")
    servers = "".join(f"server 127.0.0.1:{engine}; " for engine in engines)
    file = folder / "nginx.conf"
    file.write_text(
        f"daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log stderr error;\n"
        "events { worker_connections 8000; }\n"
        "http { access_log off; keepalive_requests 100000000;\n"
        f"  upstream engines {{ least_conn; {servers}keepalive 64; keepalive_requests 100000000; }}\n"
        f"  server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass http://engines; proxy_http_version 1.1;\n"
        '    proxy_set_header Connection ""; proxy_buffering off; proxy_read_timeout 600s; } }\n'
        "}\n"
    )
    return Target("nginx", port, [program, "-c", str(file), "-p", str(folder)])


def python_router(name: str, distribution: str, urls: Sequence[str], *options: str) -> Target:
    """sglang-router or vllm-router, from the Python that `ROUTER_PYTHON` names or else from this one."""
    port, package = free_port(), distribution.replace("-", "_")
    python = os.environ.get(ROUTER_PYTHON) or sys.executable
    if not _imports(python, package):
        return Target(name, port, None, missing=f"pip install {distribution}, {ROUTER_PYTHON}=where")
    command = [python, "-m", f"{package}.launch_router", "--host", "127.0.0.1", "--port", str(port)]
    command += ["--prometheus-host", "127.0.0.1", "--prometheus-port", str(free_port()), "--log-level", "error"]
    return Target(name, port, [*command, *options, "--worker-urls", *urls])


def router_version(distribution: str) -> str:
    """Name and version as installed; empty where it is not."""
    asked = f"from importlib.metadata import version; print(version({distribution!r}))"
    said = _said_by(os.environ.get(ROUTER_PYTHON) or sys.executable, asked)
    return f"{distribution} {said}" if said else ""


def _imports(python: str, package: str) -> bool:
    return (
        _said_by(python, f"import importlib.util; print(importlib.util.find_spec({package!r}) is not None)") == "True"
    )


def _said_by(python: str, code: str) -> str:
    try:
        done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=False)
    except OSError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def _path() -> str:
    return os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin"


class Running:
    """A process on one CPU, if one is named, ended with the block."""

    def __init__(self, command: Sequence[str], cpu: int | None = None) -> None:
        self._process = subprocess.Popen(
            command,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            preexec_fn=None if cpu is None else lambda: os.sched_setaffinity(0, {cpu}),
        )

    @property
    def pid(self) -> int:
        return self._process.pid

    def listens(self, port: int) -> None:
        """Wait until it takes connections. Raises `TimeoutError`, or `RuntimeError` if it ended."""
        begin = time.monotonic()
        while time.monotonic() - begin < START_S:
            if self._process.poll() is not None:
                raise RuntimeError(f"it ended at once with status {self._process.returncode}")
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    return
            time.sleep(0.05)
        raise TimeoutError(f"nothing listens on port {port}")

    def pause(self) -> None:
        """Let it and its children stand still."""
        os.killpg(self.pid, signal.SIGSTOP)

    def go_on(self) -> None:
        """Let them run again; what they catch up with at once is done when this returns."""
        os.killpg(self.pid, signal.SIGCONT)
        time.sleep(SETTLES_S)

    def __enter__(self) -> Running:
        return self

    def __exit__(self, *_: object) -> None:
        os.killpg(self.pid, signal.SIGCONT)
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
