from __future__ import annotations

import pytest

from balancer.errors import ConfigError
from balancer.pool.backend import ModelInfo
from balancer.upstream.resolve import resolved, with_options
from balancer.upstream.spec import parse_upstream, with_key


async def test_an_upstream_becomes_a_backend() -> None:
    spec = await resolved(parse_upstream("http://127.0.0.1:8000/deep/v1/;slots=3;weight=2;label.zone=a;name=n"))
    assert (spec.name, spec.kind, spec.host, spec.port, spec.tls) == ("n", "upstream", "127.0.0.1", 8000, False)
    assert (spec.path_prefix, spec.host_header) == ("/deep", "127.0.0.1:8000")
    assert (spec.slots, spec.weight, spec.labels) == (3, 2.0, (("zone", "a"),))
    assert spec.endpoints == {"chat", "completions"} and spec.models == () and spec.authorization == ""


async def test_https_has_its_port_and_a_key_its_header() -> None:
    spec = await resolved(with_key(parse_upstream("https://127.0.0.1;key-env=K"), {"K": "sk-secret"}))
    assert (spec.port, spec.tls, spec.authorization) == (443, True, "Bearer sk-secret")
    assert "secret" not in repr(spec)


async def test_named_models_are_all_that_is_offered() -> None:
    upstream = parse_upstream("http://127.0.0.1:1;model=b,new")
    spec = await resolved(upstream)
    assert spec.models == (ModelInfo("b"), ModelInfo("new")), "offered before it was asked"
    listed = with_options(await resolved(parse_upstream("http://127.0.0.1:1")), parse_upstream("http://127.0.0.1:1"))
    assert listed.models == ()


async def test_a_host_without_address_is_an_error_that_names_the_upstream() -> None:
    with pytest.raises(ConfigError, match=r"upstream gpu: no address for nowhere\.invalid"):
        await resolved(parse_upstream("http://nowhere.invalid:1;name=gpu"))


async def test_it_offers_the_endpoints_that_the_operator_names() -> None:
    backend = await resolved(parse_upstream("http://127.0.0.1:8000;endpoints=embeddings"))
    assert backend.endpoints == {"embeddings"}
    assert with_options(backend, parse_upstream("http://127.0.0.1:8000")).endpoints == {"chat", "completions"}
