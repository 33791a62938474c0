from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from balancer.errors import ConfigError
from balancer.upstream.spec import SLOTS, UpstreamSpec, distinct, parse_upstream, path_prefix, with_key

names = st.text(
    st.characters(codec="ascii", categories=("L", "N"), include_characters="-_./:"), min_size=1, max_size=20
)


def read(text: str) -> UpstreamSpec | str:
    """The upstream, or what the operator is told."""
    try:
        return parse_upstream(text)
    except ConfigError as error:
        return str(error)


def test_a_url_alone_has_defaults_and_a_name_of_its_own() -> None:
    spec = parse_upstream("http://127.0.0.1:8000/deep/v1/")
    assert spec == UpstreamSpec(url="http://127.0.0.1:8000/deep/v1/", name="127.0.0.1:8000/deep")
    assert (spec.slots, spec.weight, spec.key_env, spec.models, spec.labels) == (SLOTS, 1.0, None, (), ())
    assert path_prefix(spec.url) == "/deep"


def test_an_upstream_may_serve_embeddings_and_responses_too() -> None:
    assert parse_upstream("http://h:1;endpoints=responses, chat").endpoints == ("chat", "responses")
    told = read("http://h:1;endpoints=chat,images")
    assert isinstance(told, str) and "endpoints: expected some of chat, completions, embeddings, responses" in told


def test_every_option_is_read_blanks_around_it_or_not() -> None:
    spec = parse_upstream(
        "https://api.example ; slots=8;weight=0.5;key-env=API_KEY;model=a, b,a;name=far;label.zone=eu;label.tier=2;"
    )
    assert (spec.url, spec.slots, spec.weight, spec.key_env) == ("https://api.example", 8, 0.5, "API_KEY")
    assert (spec.models, spec.name) == (("a", "b"), "far")
    assert spec.labels == (("tier", "2"), ("zone", "eu"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("http://h:1;slot=2", "did you mean 'slots'"),
        ("http://h:1;key_env=X", "did you mean 'key-env'"),
        ("http://h:1;colour=red", "known are slots"),
        ("http://h:1;slots", "'slots'=VALUE"),
        ("http://h:1;slots=", "'slots'=VALUE"),
        ("http://h:1;slots=0", "slots: expected a number from 1"),
        ("http://h:1;slots=1;slots=2", "'slots': given twice"),
        ("http://h:1;label.a=1;label.a=2", "given twice"),
        ("http://h:1;slots=99999999999999999999", "slots"),
        ("http://h:1;slots=\u0664", "slots"),
        ("http://h:1;weight=nan", "weight: expected a number above 0"),
        ("http://h:1;weight=-1", "weight"),
        ("http://h:1;weight=much", "weight"),
        ("http://h:1;model=,", "model: expected names"),
        ("http://h:1;name=two words", "name: expected"),
        ("http://h:1;label.a b=1", "label."),
        ("http://h:1;label.a=\x00", "label.a"),
        ("slots=2;http://h:1", "the URL first"),
        ("", "expected http://HOST:PORT"),
        ("127.0.0.1:8000", "expected http://HOST:PORT"),
        ("ftp://127.0.0.1", "expected http://HOST:PORT"),
        ("http://", "expected http://HOST:PORT"),
        ("http://h:99999", "expected http://HOST:PORT"),
        ("http://h:0", "expected http://HOST:PORT"),
        ("http://[::1", "expected http://HOST:PORT"),
        ("http://h:1/v1/chat/completions", "expected what comes before it, 'http://h:1/v1'"),
        ("https://h/deep/v1/completions/;slots=2", "expected what comes before it, 'https://h/deep/v1'"),
        ("http://h:1/v1/models", "expected what comes before it, 'http://h:1/v1'"),
        ("http://h/with space", "expected http://HOST:PORT"),
        ("http://h\u00e9", "expected http://HOST:PORT"),
        ("unix:///run/engine.sock", "expected http://HOST:PORT"),
    ],
)
def test_what_is_wrong_is_named(text: str, said: str) -> None:
    with pytest.raises(ConfigError) as raised:
        parse_upstream(text)
    assert str(raised.value).startswith("upstream: ") and said in str(raised.value)


@pytest.mark.parametrize(
    "text",
    [
        "http://user:sk-secret@h:1",
        "http://sk-secret@h:1",
        "http://h:1/?key=sk-secret",
        "http://h:1/#sk-secret",
        "http://h:1;key-env=sk-secret",
    ],
)
def test_what_may_be_a_secret_is_not_repeated(text: str) -> None:
    with pytest.raises(ConfigError) as raised:
        parse_upstream(text)
    assert "secret" not in str(raised.value)


def test_the_key_comes_from_the_environment_and_is_not_shown() -> None:
    spec = with_key(parse_upstream("http://h:1;key-env=API_KEY"), {"API_KEY": " sk-secret\n"})
    assert spec.key == "sk-secret"
    assert "secret" not in repr(spec)
    assert spec != with_key(spec, {"API_KEY": "sk-other"}), "another key is a change"
    assert with_key(parse_upstream("http://h:1"), {}).key is None


@pytest.mark.parametrize("environment", [{}, {"API_KEY": ""}, {"API_KEY": "two\nlines"}, {"API_KEY": "sk-\u00e9"}])
def test_a_missing_or_impossible_key_is_an_error_that_names_the_variable(environment: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match=r"key-env.*API_KEY") as raised:
        with_key(parse_upstream("http://h:1;key-env=API_KEY"), environment)
    assert "lines" not in str(raised.value) and "\u00e9" not in str(raised.value)


def test_two_of_one_name_are_refused() -> None:
    one, other = parse_upstream("http://h:1"), parse_upstream("http://h:2;name=h:1")
    with pytest.raises(ConfigError, match=r"'h:1'.*;name="):
        distinct([one, other])
    assert distinct([one]) == (one,)


@given(st.text(max_size=80))
def test_any_text_is_an_upstream_or_an_error_in_words(text: str) -> None:
    found = read("http://h:1;" + text)
    assert found.startswith("upstream: ") if isinstance(found, str) else found.url == "http://h:1"


@given(st.text(max_size=60))
def test_any_url_is_one_or_an_error_in_words(url: str) -> None:
    found = read(url)
    assert found.startswith("upstream: ") if isinstance(found, str) else found.url.startswith("http") and found.name


@given(
    slots=st.integers(1, 65_536),
    weight=st.floats(0.001, 1000),
    name=names,
    labels=st.dictionaries(st.from_regex(r"[a-z0-9_.\-]{1,12}", fullmatch=True), names, max_size=4),
    models=st.lists(names, min_size=1, max_size=4, unique=True),
    data=st.data(),
)
def test_what_is_written_out_is_read_back_in_any_order(
    slots: int, weight: float, name: str, labels: dict[str, str], models: list[str], data: st.DataObject
) -> None:
    parts = [f"slots={slots}", f"weight={weight!r}", f"name={name}", f"model={','.join(models)}", "key-env=K"]
    parts += [f"label.{key}={value}" for key, value in labels.items()]
    spec = parse_upstream(";".join(["http://h:1", *data.draw(st.permutations(parts))]))
    assert (spec.slots, spec.weight, spec.name, spec.models) == (slots, weight, name, tuple(models))
    assert spec.labels == tuple(sorted(labels.items()))
