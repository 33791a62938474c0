from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from balancer.admission.aliases import parse_rules
from balancer.doors.clients import Clients
from balancer.doors.options import Options, cache_use, options_in, unexplained
from balancer.errors import Failure
from balancer.exchange.timeline import Limits
from balancer.request import Wishes
from tests.balancer.doors.caller import called, completion
from tests.balancer.doors.lobby import Lobby

LIMITS = Limits(first_token_s=120.0, between_tokens_s=30.0, request_s=600.0)


def test_without_headers_all_is_as_configured() -> None:
    found = options_in({b"host": b"x"}, LIMITS)
    assert found == Options() and isinstance(found, Options) and not found.limited


def test_a_client_may_be_stricter_and_no_laxer() -> None:
    names = (b"x-balancer-timeout", b"x-balancer-first-token-timeout", b"x-balancer-token-timeout")
    assert options_in(dict.fromkeys(names, b"2.5"), LIMITS) == Options("default", 2.5, 2.5, 2.5)
    found = options_in(dict.fromkeys(names, b"100000"), LIMITS)
    assert found == Options("default", 600.0, 120.0, 30.0)
    assert isinstance(found, Options) and found.limited


@pytest.mark.parametrize("value", [b"", b"0", b"0.0", b"-1", b"+1", b"1e3", b"nan", b"inf", b"1s", b"1_0", b"1" * 10])
@pytest.mark.parametrize("name", ["timeout", "first-token-timeout", "token-timeout"])
def test_what_is_no_time_is_refused(name: str, value: bytes) -> None:
    found = options_in({f"x-balancer-{name}".encode(): value}, LIMITS)
    assert isinstance(found, Failure) and (found.status, found.code) == (400, "invalid_timeout")
    assert f"x-balancer-{name}" in found.message


@pytest.mark.parametrize(("value", "resumable"), [(b"no", False), (b" No", False), (b"yes", True)])
def test_a_client_may_forbid_resuming(value: bytes, resumable: bool) -> None:
    found = options_in({b"x-balancer-resume": value}, LIMITS)
    assert isinstance(found, Options) and found.resumable is resumable


def test_any_other_word_about_resuming_is_refused() -> None:
    found = options_in({b"x-balancer-resume": b"maybe"}, LIMITS)
    assert isinstance(found, Failure) and found.code == "invalid_resume"


def test_the_cache_alone_limits_nothing() -> None:
    found = options_in({b"cache-control": b"no-store"}, LIMITS)
    assert found == Options("bypass") and isinstance(found, Options) and not found.limited


async def test_what_a_client_says_is_part_of_its_request() -> None:
    given = ("x-balancer-timeout: 9", "x-balancer-first-token-timeout: 2", "x-balancer-token-timeout: 0.5")
    async with Lobby().open() as lobby:
        lobby.hall.join("a")
        await lobby.visit(completion(*given, "x-balancer-resume: no"))
        await lobby.calls(1)
        asked = lobby.hall.calls[0].request
    assert (asked.deadline_s, asked.first_token_s, asked.between_tokens_s, asked.resumable) == (9.0, 2.0, 0.5, False)


@given(st.none() | st.binary(max_size=60))
def test_any_cache_control_means_one_use(value: bytes | None) -> None:
    assert cache_use(value) in ("default", "bypass", "only", "refresh")


@pytest.mark.parametrize(
    ("headers", "wishes"),
    [
        ({b"x-balancer-model": b" v2 "}, Wishes(model="v2")),
        ({b"x-balancer-model": "modèle".encode()}, Wishes(model="modèle")),
        ({b"x-balancer-fallback": b"None"}, Wishes(fallback=False)),
        ({b"x-balancer-explain": b"1"}, Wishes(explain=True)),
        ({b"x-balancer-explain": b"yes"}, Wishes(explain=True)),
        ({b"x-balancer-explain": b"0"}, Wishes()),
    ],
)
def test_a_client_may_wish_for_a_model_and_for_reasons(headers: dict[bytes, bytes], wishes: Wishes) -> None:
    found = options_in(headers, LIMITS)
    assert isinstance(found, Options) and found.wishes == wishes and found.limited


@pytest.mark.parametrize(
    ("name", "value", "code"),
    [
        (b"x-balancer-model", b" ", "model_not_allowed"),
        (b"x-balancer-fallback", b"v2", "invalid_fallback"),
        (b"x-balancer-explain", b"maybe", "invalid_explain"),
    ],
)
def test_a_wish_that_cannot_be_is_refused(name: bytes, value: bytes, code: str) -> None:
    found = options_in({name: value}, LIMITS)
    assert isinstance(found, Failure) and (found.status, found.code) == (400, code)


def test_who_may_not_know_why_keeps_all_other_wishes() -> None:
    found = Options(wishes=Wishes(model="v2", explain=True))
    assert unexplained(found).wishes == Wishes(model="v2")
    assert unexplained(Options()) == Options()


async def test_the_answer_tells_the_model_and_why() -> None:
    async with Lobby().open() as lobby:
        lobby.hall.dispatcher.rules = parse_rules({"gpt-x": {"m": 1, "n": 1}})
        lobby.hall.join("a")
        visitor = await lobby.visit(
            completion("x-balancer-model: m", "x-balancer-explain: 1", model="gpt-x", stream=True)
        )
        await lobby.calls(1)
        lobby.hall.calls[0].answer("x")
        head = (await visitor.reader.readuntil(b"\r\n\r\n")).decode()
        assert "x-balancer-model: m\r\n" in head and 'x-balancer-explain: {"policy":' in head
        wrong = await called(lobby, completion("x-balancer-model: v9", model="gpt-x"))
        assert (wrong.status, wrong.code) == (400, "model_not_allowed")


async def test_an_error_tells_why_only_who_may_know() -> None:
    async with Lobby().open() as lobby:
        lobby.hall.join("a", alive=False)
        told = await called(lobby, completion("x-balancer-explain: 1", model="m"))
        assert told.status == 503 and '"why":"joining"' in told.headers["x-balancer-explain"]
        clients = Clients(lobby.hall.dispatcher, lobby.clients.limits, lambda: "1")
        assert clients.may_explain("127.0.0.1", "local") and not clients.may_explain("10.0.0.1", "local")
        assert not clients.may_explain("127.0.0.1", "alice"), "a proxy on this machine asks for others"
        clients.explains = True
        assert clients.may_explain("10.0.0.1", "alice")
