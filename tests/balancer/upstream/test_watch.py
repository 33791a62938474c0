from __future__ import annotations

import asyncio

import pytest

from balancer.errors import ConfigError
from balancer.pool.backend import State
from balancer.upstream import probe, watched
from balancer.wire.model_list import Listing
from tests.balancer.pool.specs import a_spec, join
from tests.balancer.upstream.engine import Engine, Visit
from tests.balancer.upstream.names import Names
from tests.balancer.upstream.watching import MODELS, Pool


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "PROBE_INTERVAL_S", 0.01)


async def test_an_upstream_is_alive_once_it_answers_and_offers_what_it_says() -> None:
    async def healthy(v: Visit) -> None:
        await v.plain(200, MODELS if b"models" in v.head else b"{}")

    async with Engine(healthy).running() as engine:
        pool, name = Pool(), f"127.0.0.1:{engine.port}"
        await pool.add(f"http://{name}")
        assert pool.state(name) is State.JOINING
        await pool.until(lambda: pool.state(name) is State.ALIVE)
        assert set(pool.registry.view.models()) == {"m"}
        await pool.close()


async def test_three_failures_in_a_row_put_it_out_and_one_answer_brings_it_back() -> None:
    ill = False

    async def moody(v: Visit) -> None:
        await (v.plain(500, b"{}") if ill else v.plain(200, MODELS))

    async with Engine(moody).running() as engine:
        pool, name = Pool(), f"127.0.0.1:{engine.port}"
        await pool.add(f"http://{name}")
        await pool.until(lambda: pool.state(name) is State.ALIVE)
        ill = True
        await pool.until(lambda: pool.state(name) is State.DEAD)
        assert any(t.ends_exchanges for t in pool.seen)
        ill = False
        await pool.until(lambda: pool.state(name) is State.ALIVE)
        await pool.close()


async def test_a_provider_over_tls_whose_models_are_named_is_believed_alive_and_judged_by_its_answers_alone() -> None:
    pool = Pool()
    name = await pool.add("https://127.0.0.1:9/v1;model=m")
    await pool.until(lambda: pool.watch.trouble(name) is not None)
    assert pool.state(name) is State.ALIVE
    await pool.close()


async def test_a_provider_over_tls_is_not_alive_before_it_is_known_what_it_offers() -> None:
    pool = Pool()
    name = await pool.add("https://127.0.0.1:9")
    await pool.until(lambda: pool.watch.trouble(name) is not None)
    assert pool.state(name) is State.JOINING
    pool.watch._watched[name]._listed(Listing({"m": None}, ""))
    assert pool.state(name) is State.ALIVE
    pool.registry.drain(name, 0.0)
    pool.registry.undrain(name, 0.0)
    assert pool.state(name) is State.ALIVE
    await pool.close()


async def test_naming_the_models_of_a_provider_that_lists_none_makes_it_alive() -> None:
    pool = Pool()
    await pool.settings("https://127.0.0.1:9")
    assert pool.state("127.0.0.1:9") is State.JOINING
    await pool.settings("https://127.0.0.1:9;model=m")
    assert pool.state("127.0.0.1:9") is State.ALIVE and not pool.broken()
    await pool.close()


async def test_one_that_lists_no_model_is_in_trouble() -> None:
    async def bare(v: Visit) -> None:
        await v.plain(200, b'{"data":[]}' if b"models" in v.head else b"{}")

    async with Engine(bare).running() as engine:
        pool = Pool()
        name = await pool.add(f"http://127.0.0.1:{engine.port}")
        await pool.until(lambda: pool.state(name) is State.ALIVE)
        assert pool.watch.trouble(name) == "it lists no model"
        await pool.close()


async def test_one_address_is_told_to_be_there_twice_unless_it_is_another_protocol() -> None:
    pool = Pool()
    first = await pool.add("http://127.0.0.1:9")
    await pool.add("https://127.0.0.1:9;name=tls")
    assert pool.watch.doubled(first) is None and pool.watch.doubled("tls") is None
    await pool.add("http://127.0.0.1:9/v1;name=again")
    warning = pool.watch.doubled("again")
    assert warning is not None and repr(first) in warning
    await pool.close()


async def test_two_paths_of_one_server_are_two_backends() -> None:
    pool = Pool()
    await pool.add("http://127.0.0.1:9/one")
    await pool.add("http://127.0.0.1:9/two")
    assert {member.spec.name for member in pool.registry.members()} == {"127.0.0.1:9/one", "127.0.0.1:9/two"}
    await pool.close()


async def test_a_host_without_address_is_a_config_error_that_names_it() -> None:
    pool = Pool()
    with pytest.raises(ConfigError, match="nowhere"):
        await pool.add("http://nowhere.invalid:9")
    assert pool.names() == set()
    await pool.close()


async def test_a_name_that_is_taken_is_refused_whoever_holds_it() -> None:
    pool = Pool()
    join(pool.registry, a_spec("gpu"))
    with pytest.raises(ConfigError, match="native backend"):
        await pool.add("http://127.0.0.1:9;name=gpu")
    name = await pool.add("http://127.0.0.1:9")
    with pytest.raises(ConfigError, match="already"):
        await pool.add("http://127.0.0.1:8;name=127.0.0.1:9")
    assert pool.names() == {"gpu", name}
    await pool.close()


async def test_one_that_is_removed_gets_nothing_new_and_leaves_when_its_streams_have_ended() -> None:
    pool = Pool()
    name = await pool.add("https://127.0.0.1:9;model=m")
    lease = pool.lease(name)
    assert pool.watch.remove(name) == 1
    assert pool.state(name) is State.DRAINING
    pool.tick()
    assert pool.state(name) is State.DRAINING
    lease.release()
    pool.tick()
    assert pool.names() == set() and not pool.broken()
    with pytest.raises(KeyError):
        pool.watch.remove(name)
    await pool.close()


async def test_an_idle_one_that_is_removed_leaves_at_once_and_is_probed_no_more() -> None:
    async def healthy(v: Visit) -> None:
        await v.plain(200, MODELS if b"models" in v.head else b"{}")

    async with Engine(healthy).running() as engine:
        pool = Pool()
        name = await pool.add(f"http://127.0.0.1:{engine.port}")
        await pool.until(lambda: pool.state(name) is State.ALIVE)
        assert pool.watch.remove(name) == 0
        assert pool.names() == set()
        await asyncio.sleep(0.05)  # five intervals
        asked = len(engine.visits)
        await asyncio.sleep(0.05)
        assert len(engine.visits) == asked
        await pool.close()


async def test_a_removal_is_taken_back_with_its_drain() -> None:
    pool = Pool()
    name = await pool.add("https://127.0.0.1:9;model=m")
    lease = pool.lease(name)
    pool.watch.remove(name)
    pool.registry.undrain(name, 0.0)
    pool.tick()
    lease.release()
    pool.tick()
    assert pool.state(name) is State.ALIVE
    await pool.close()


async def test_one_that_is_added_again_while_it_leaves_breaks_no_stream() -> None:
    pool = Pool()
    name = await pool.add("https://127.0.0.1:9;model=m")
    lease = pool.lease(name)
    pool.watch.remove(name)
    await pool.add("https://127.0.0.1:9;model=m;slots=2")
    assert pool.state(name) is State.ALIVE, "the wish to drain was for the one before"
    assert not pool.broken()
    lease.release()
    pool.tick()
    assert pool.names() == {name}
    backend = pool.registry.named(name)
    assert backend is not None and pool.registry.ledger.in_flight[backend.index] == 0
    await pool.close()


async def test_settings_add_change_replace_and_remove_without_breaking_a_stream() -> None:
    pool = Pool()
    await pool.settings(
        "https://127.0.0.1:1;model=m", "https://127.0.0.1:2;model=m;name=b", "https://127.0.0.1:3;model=m;name=c"
    )
    by_hand = await pool.add("https://127.0.0.1:4;model=m;name=d")
    leases = [pool.lease(name) for name in ("127.0.0.1:1", "b", "c", by_hand)]
    changes = await pool.settings(
        "https://127.0.0.1:1;model=m;slots=7", "https://127.0.0.1:9;model=m;name=b", "https://127.0.0.1:5;model=m"
    )
    assert [spec.name for spec in changes.added] == ["127.0.0.1:5"]
    assert changes.removed == ("c",)
    assert pool.names() == {"127.0.0.1:1", "b", "c", "d", "127.0.0.1:5"}
    changed, replaced = pool.registry.named("127.0.0.1:1"), pool.registry.named("b")
    assert changed is not None and (changed.spec.slots, pool.registry.ledger.in_flight[changed.index]) == (7, 1)
    assert replaced is not None and replaced.spec.port == 9
    assert pool.state("c") is State.DRAINING and pool.state("d") is State.ALIVE
    assert not pool.broken()
    for lease in leases:
        lease.release()
    pool.tick()
    assert pool.names() == {"127.0.0.1:1", "b", "d", "127.0.0.1:5"}
    assert pool.registry.ledger.total_in_flight() == 0
    await pool.close()


async def test_settings_that_cannot_be_change_nothing() -> None:
    pool = Pool()
    join(pool.registry, a_spec("gpu"))
    await pool.settings("https://127.0.0.1:1;model=m")
    with pytest.raises(ConfigError):
        await pool.settings("https://127.0.0.1:2;model=m;name=gpu")
    assert pool.names() == {"gpu", "127.0.0.1:1"} and pool.state("127.0.0.1:1") is State.ALIVE
    await pool.close()


@pytest.mark.parametrize("options", ["", ";model=m"])
async def test_one_whose_name_has_no_address_yet_is_dead_until_it_has(
    options: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def healthy(v: Visit) -> None:
        await v.plain(200, MODELS if b"models" in v.head else b"{}")

    monkeypatch.setattr(watched, "LOOK_AGAIN_S", 0.01)
    names = Names(monkeypatch)
    async with Engine(healthy).running() as engine:
        pool, other = Pool(), "127.0.0.1:9"
        await pool.settings(f"http://gpu:{engine.port};name=gpu{options}", f"http://{other}")
        assert pool.names() == {"gpu", other}, "the others serve"
        assert "no address for gpu: " in caplog.text and "no address for gpu" in (pool.watch.trouble("gpu") or "")
        assert pool.state("gpu") is State.DEAD
        await pool.settings(f"http://gpu:{engine.port};name=gpu;slots=7{options}", f"http://{other}")
        assert pool.state("gpu") is State.DEAD and not engine.visits
        names.addresses["gpu"] = ["127.0.0.1"]
        await pool.until(lambda: pool.state("gpu") is State.ALIVE)
        found = pool.registry.named("gpu")
        assert found is not None and (found.spec.host, found.spec.slots) == ("127.0.0.1", 7)
        await pool.until(lambda: pool.watch.trouble("gpu") is None)
        await pool.close()


async def test_a_provider_over_tls_without_an_address_is_dead_too_and_can_be_removed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    Names(monkeypatch)
    pool = Pool()
    await pool.settings("https://provider;model=m;name=far")
    assert pool.state("far") is State.DEAD
    await pool.settings()
    assert pool.names() == set()
    await pool.close()


async def test_how_the_last_probe_failed_is_told() -> None:
    async def locked(v: Visit) -> None:
        await v.plain(401, b"{}")

    async def healthy(v: Visit) -> None:
        await v.plain(200, MODELS)

    async with Engine(locked, locked, healthy).running() as engine:
        pool, name = Pool(), f"127.0.0.1:{engine.port}"
        await pool.add(f"http://{name}")
        await pool.until(lambda: pool.watch.trouble(name) is not None)
        assert pool.watch.trouble(name) == "/v1/models answered 401"
        await pool.until(lambda: pool.state(name) is State.ALIVE)
        assert pool.watch.trouble(name) is None and pool.watch.trouble("nobody") is None
        await pool.close()
