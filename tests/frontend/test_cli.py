from __future__ import annotations

import subprocess
import sys

import pytest
from click.testing import CliRunner

from frontend.cli import main
from frontend.server import listen
from tests.frontend.served import process


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


@pytest.mark.parametrize("address", ["", ":1", "host:0", "host:99999", "host:x", "https://lb-1"])
def test_a_bad_balancer_address_is_wrong_usage(address):
    found = CliRunner().invoke(main, ["--balancer", address])
    assert found.exit_code == 2
    assert "--balancer" in found.output


@pytest.mark.parametrize(("address", "told"), [("lb-1", "lb-1:1234"), ("::1", "[::1]:1234"), ("http://lb:7", "lb:7")])
def test_the_ready_line_tells_where_it_asks(address, told):
    with process(9, "--balancer", address) as (page, _):
        assert page.ready == f"ready: {page.url} (balancer {told})\n"
