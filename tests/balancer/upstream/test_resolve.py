from __future__ import annotations

import pytest

from balancer.errors import ConfigError
from balancer.pool.backend import ModelInfo
from balancer.upstream import resolve
from balancer.upstream.resolve import address_now, resolved, with_options
from balancer.upstream.spec import parse_upstream, with_key
from tests.balancer.upstream.engine import Engine, Visit, a_closed_port
from tests.balancer.upstream.names import Names


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


@pytest.mark.parametrize("addresses", [["::1", "127.0.0.1"], ["192.0.2.1", "127.0.0.1"], ["127.0.0.2", "127.0.0.1"]])
async def test_of_several_addresses_the_first_that_takes_a_connection_is_dialled(
    addresses: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resolve, "TRY_S", 0.1)  # 192.0.2.0/24 is for documentation (RFC 5737): silent or unreachable
    Names(monkeypatch, gpu=addresses)
    async with Engine(nothing).running() as engine:
        assert (await resolved(parse_upstream(f"http://gpu:{engine.port}"))).host == "127.0.0.1"
    assert engine.visits == []


async def test_where_nobody_listens_yet_it_is_the_best_address(monkeypatch: pytest.MonkeyPatch) -> None:
    Names(monkeypatch, localhost=["::1", "127.0.0.1"])
    assert (await resolved(parse_upstream(f"http://localhost:{await a_closed_port()}"))).host == "127.0.0.1"


async def test_one_in_trouble_stays_where_it_is_unless_its_name_or_somebody_elsewhere_says_otherwise(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with Engine(nothing).running() as engine:
        names, upstream = Names(monkeypatch, gpu=["127.0.0.1"]), parse_upstream(f"http://gpu:{engine.port}")
        assert await address_now(upstream, "127.0.0.1") == "127.0.0.1"
        assert await address_now(upstream, "127.0.0.2") == "127.0.0.1"
        names.addresses["gpu"] = ["127.0.0.2", "127.0.0.1"]
        assert await address_now(upstream, "127.0.0.1") == "127.0.0.1", "it is there"
        assert await address_now(upstream, "127.0.0.2") == "127.0.0.1", "nobody is where it was"
    assert await address_now(upstream, "127.0.0.2") == "127.0.0.2", "nobody is anywhere"
    assert await address_now(upstream, "127.0.0.1") == "127.0.0.1"


async def nothing(v: Visit) -> None:
    """Nobody asks."""
