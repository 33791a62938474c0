from __future__ import annotations

import subprocess
import sys

import pytest
from click.testing import CliRunner

from frontend.cli import main
from frontend.server import listen


@pytest.mark.parametrize("missing", ["uvicorn", "starlette", "websockets"])
def test_a_missing_extra_is_named(missing):
    program = f"import sys; sys.modules[{missing!r}] = None; from frontend.cli import main; main(['--port', '0'])"
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert found.returncode == 1
    assert f"{missing}" in found.stderr
    assert "pip install '.[web]' in a checkout" in found.stderr
    assert "Traceback" not in found.stderr


def test_help_needs_no_extra_and_shows_examples():
    program = "import sys; sys.modules['uvicorn'] = None; from frontend.cli import main; main(['--help'])"
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert found.returncode == 0
    assert "--origin https://chat.example.org" in found.stdout


def test_a_taken_port_is_a_clear_error():
    with listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        found = CliRunner().invoke(main, ["--port", str(port)])
    assert found.exit_code == 1
    assert f"cannot listen on 127.0.0.1:{port}" in found.output


@pytest.mark.parametrize("address", ["nowhere", "host:", ":1", "host:99999", "host:x"])
def test_a_bad_balancer_address_is_wrong_usage(address):
    found = CliRunner().invoke(main, ["--balancer", address])
    assert found.exit_code == 2
    assert "HOST:PORT" in found.output
