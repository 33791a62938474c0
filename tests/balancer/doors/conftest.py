"""These tests run on the event loop that the daemon runs on."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Mapping

import pytest
import uvloop

from balancer.doors.tls import server_context
from tests.certificates import Certificate, make_certificate


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"uvloop": uvloop.new_event_loop}


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return make_certificate(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def context(certificate: Certificate) -> ssl.SSLContext:
    return server_context(certificate.chain, certificate.key)


@pytest.fixture
def trusting(certificate: Certificate) -> ssl.SSLContext:
    return certificate.client_context()
