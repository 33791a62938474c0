"""Certificates for tests, made with the openssl command; no key lies in the tree."""

from __future__ import annotations

import shutil
import ssl
import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest

needs_openssl = pytest.mark.skipif(shutil.which("openssl") is None, reason="needs the openssl command")


class Certificate(NamedTuple):
    """Two PEM files; the certificate is its own root."""

    chain: Path
    key: Path

    def client_context(self) -> ssl.SSLContext:
        """For a client that trusts it alone, and checks the name."""
        return ssl.create_default_context(cafile=self.chain)


def make_certificate(folder: Path, name: str = "localhost") -> Certificate:
    """For this name and 127.0.0.1."""
    made = Certificate(folder / f"{name}.pem", folder / f"{name}.key")
    command = ["openssl", "req", "-x509", "-nodes", "-days", "2", "-newkey", "ec"]
    command += ["-pkeyopt", "ec_paramgen_curve:prime256v1"]
    command += ["-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name},IP:127.0.0.1"]
    command += ["-keyout", str(made.key), "-out", str(made.chain)]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    return made
