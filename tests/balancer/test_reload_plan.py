from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from balancer.admission.keys import ClientKey, KeyTable, digest_of
from balancer.config import Config
from balancer.doors.tls import server_context
from balancer.errors import ConfigError
from balancer.reload_plan import RELOADED, plan_reload, reload_text
from balancer.sources import option_name
from balancer.upstream.spec import parse_upstream, with_key
from tests.certificates import make_certificate, needs_openssl

ALICE, BOB = ClientKey("alice", digest_of(b"a")), ClientKey("bob", digest_of(b"b"))


def planned(new: dict[str, Any], old: dict[str, Any] | None = None) -> tuple[str, ...]:
    return plan_reload(Config(**(old or {})), Config(**new))


def test_nothing_has_changed() -> None:
    assert planned({}) == ()


def test_what_has_changed_is_named_as_an_operator_writes_it() -> None:
    changes = planned(
        {"policy": "round-robin", "queue_timeout_s": 7.0, "upstream": (parse_upstream("http://127.0.0.1:9"),)}
    )
    assert changes == ("policy", "upstream", "queue-timeout")


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"port": 2000}, "port: needs a restart"),
        ({"host": "127.0.0.2"}, "host: needs"),
        ({"admin_port": 2000}, "admin-port: needs"),
        ({"cache": False}, "cache: needs"),
        ({"cache_model": "other"}, "cache-model: needs"),
        ({"insecure": True}, "insecure: needs"),
        ({"tls": ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)}, "tls-cert: needs"),
        ({"port": 2000, "cache": False, "policy": "round-robin"}, "port, cache: need a restart"),
    ],
)
def test_what_needs_a_restart_is_refused_by_name(change: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        planned(change)


def test_keys_are_compared_by_what_they_are() -> None:
    assert planned({"keys": KeyTable([BOB, ALICE])}, {"keys": KeyTable([ALICE, BOB])}) == ()
    for old, new in (
        (None, KeyTable([ALICE])),
        (KeyTable([ALICE]), None),
        (KeyTable(), None),
        (KeyTable([ALICE]), KeyTable([ALICE, BOB])),
        (KeyTable([ALICE]), KeyTable([ClientKey("alice", digest_of(b"a"), 2.0)])),
    ):
        assert planned({"keys": new}, {"keys": old}) == ("keys",)


@needs_openssl
def test_another_certificate_is_a_change_and_the_same_read_again_is_none(tmp_path: Path) -> None:
    one, other = make_certificate(tmp_path), make_certificate(tmp_path, "elsewhere")
    old = {"tls": server_context(*one)}
    assert planned({"tls": server_context(*one)}, old) == ()
    assert planned({"tls": server_context(*other)}, old) == ("tls-cert",)


def test_another_upstream_key_is_a_change_that_tells_no_key() -> None:
    spec = parse_upstream("http://127.0.0.1:9;key-env=K")
    changes = planned({"upstream": (with_key(spec, {"K": "sk-1"}),)}, {"upstream": (with_key(spec, {"K": "sk-2"}),)})
    assert changes == ("upstream",) and "sk-" not in repr(changes)


@pytest.mark.parametrize(
    ("changed", "backends", "said"),
    [
        ([], {}, ""),
        (["policy", "keys"], {"added": []}, "policy, keys"),
        ([], {"added": ["b"], "changed": [], "removed": []}, "upstreams: b added"),
        (["upstream"], {"added": ["b", "c"], "removed": ["d"]}, "upstream; upstreams: b, c added, d removed"),
    ],
)
def test_what_a_reload_did_is_told_in_words(changed: list[str], backends: dict[str, list[str]], said: str) -> None:
    assert reload_text({"changed": changed, "backends": backends}) == said


def test_every_reloaded_setting_is_one() -> None:
    assert {option_name(name).replace("-", "_") for name in RELOADED} <= {
        name.removesuffix("_s") for name in Config.__dataclass_fields__
    }


numbers = {name: st.floats(1, 100) for name in ("queue_timeout_s", "token_timeout_s", "cache_ttl_s")}
others = {"policy": st.sampled_from(["round-robin", "least-connections"]), "port": st.integers(2000, 2001)}


@given(
    old=st.fixed_dictionaries({}, optional={**numbers, **others}),
    new=st.fixed_dictionaries({}, optional={**numbers, **others}),
)
def test_a_plan_names_all_that_differs_or_refuses_it(old: dict[str, Any], new: dict[str, Any]) -> None:
    before, after = Config(**old), Config(**new)
    differ = {name for name in {*numbers, *others} if getattr(before, name) != getattr(after, name)}
    if differ <= RELOADED:
        assert set(plan_reload(before, after)) == {option_name(name) for name in differ}
    else:
        with pytest.raises(ConfigError) as raised:
            plan_reload(before, after)
        refused = str(raised.value).partition(":")[0].split(", ")
        assert set(refused) == {option_name(name) for name in differ - RELOADED}
