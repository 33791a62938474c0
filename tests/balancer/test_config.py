from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from balancer.admission.keys import KeyTable
from balancer.config import Config, parse_networks, read_certificate, read_file, read_token, read_upstreams
from balancer.errors import ConfigError
from balancer.upstream.spec import parse_upstream


def test_the_defaults_are_fine() -> None:
    config = Config()
    assert (config.host, config.port, config.admin_port, config.policy) == (
        "127.0.0.1",
        1234,
        1230,
        "adaptive",
    )
    assert (config.cache_wrong_share, config.cache_threshold) == (0.02, 0.95)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"port": 65536}, "port"),
        ({"port": -1}, "port"),
        ({"admin_port": 1234}, "admin-port"),
        ({"cache_size": 0}, "cache-size"),
        ({"cache_wrong_share": -0.01}, "cache-wrong-share"),
        ({"cache_wrong_share": 1.01}, "cache-wrong-share"),
        ({"cache_wrong_share": float("nan")}, "cache-wrong-share"),
        ({"cache_check_share": 0.051}, "cache-check-share"),
        ({"cache_check_share": float("nan")}, "cache-check-share"),
        ({"cache_judge_error": "0.1,0.1"}, "cache-judge-error"),
        ({"cache_judge_error": "0.5,0.1,20"}, "cache-judge-error"),
        ({"cache_threshold": 0.0}, "cache-threshold"),
        ({"cache_threshold": 1.01}, "cache-threshold"),
        ({"cache_threshold": float("nan")}, "cache-threshold"),
        ({"queue_size": -1}, "queue-size"),
        ({"queue_timeout_s": 0}, "queue-timeout"),
        ({"request_timeout_s": -1}, "request-timeout"),
        ({"head_timeout_s": 0}, "head-timeout"),
        ({"body_timeout_s": 0}, "body-timeout"),
        ({"upstream": (parse_upstream("http://x"), parse_upstream("http://y;name=x"))}, "upstream"),
        ({"host": "example.com"}, "host"),
        ({"admin_host": "0.0.0.0"}, "admin-host"),
        ({"host": "0.0.0.0"}, "host"),
        ({"host": "::"}, "host"),
        ({"host": "192.0.2.1", "token": b"x"}, "host"),
    ],
)
def test_a_setting_that_cannot_be_is_named(changes: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigError, match=rf"^{named}\b"):
        Config(**changes)


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "::"])
def test_beyond_this_machine_it_listens_only_if_the_operator_insists(host: str) -> None:
    with pytest.raises(ConfigError, match="--insecure"):
        Config(host=host)
    assert Config(host=host, insecure=True).host == host


def test_beyond_this_machine_a_token_and_keys_will_do_but_not_one_of_them() -> None:
    assert Config(host="0.0.0.0", token=b"x", keys=KeyTable()).host == "0.0.0.0"
    with pytest.raises(ConfigError, match="needs --keys, or --insecure"):
        Config(host="0.0.0.0", token=b"x")
    with pytest.raises(ConfigError, match="needs --token-file, or --insecure"):
        Config(host="0.0.0.0", keys=KeyTable())


def test_nothing_proves_an_operator_to_the_admin_port() -> None:
    with pytest.raises(ConfigError, match=r"^admin-host: .*--insecure"):
        Config(admin_host="0.0.0.0", token=b"x", keys=KeyTable())
    assert Config(admin_host="0.0.0.0", insecure=True).admin_host == "0.0.0.0"


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "localhost"])
def test_this_machine_needs_nothing(host: str) -> None:
    assert Config(host=host).host == host


def test_two_free_ports_may_both_be_drawn() -> None:
    assert Config(port=0, admin_port=0).port == 0


def test_networks_are_read_and_a_wrong_one_is_named() -> None:
    (network,) = parse_networks(["10.0.0.0/8"], "backends-from")
    assert str(network) == "10.0.0.0/8"
    with pytest.raises(ConfigError, match=r"backends-from: .*10.0.0.1/8"):
        parse_networks(["10.0.0.1/8"], "backends-from")


def test_the_token_comes_from_a_file_or_the_environment(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text("  from the file\n")
    environment = {"LLM_BALANCER_TOKEN": " from the environment "}
    assert read_token(path, environment) == b"from the file"
    assert read_token(None, environment) == b"from the environment"
    assert read_token(None, {}) is None
    assert read_token(None, {"LLM_BALANCER_TOKEN": " "}) is None


def test_a_token_file_that_is_empty_or_missing_is_an_error_and_not_no_token(tmp_path: Path) -> None:
    (tmp_path / "empty").write_text("\n")
    for name, said in (("empty", "is empty"), ("missing", "No such file")):
        with pytest.raises(ConfigError, match=said):
            read_token(tmp_path / name, {"LLM_BALANCER_TOKEN": "x"})


def a_file(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "balancer.yaml"
    path.write_text(text)
    return path


def test_a_file_names_settings_as_the_flags_do(tmp_path: Path) -> None:
    path = a_file(tmp_path, "port: 5\nqueue-size: 7\nlog_json: true\n")
    assert read_file(path, ["port", "queue_size", "log_json"]) == {"port": 5, "queue_size": 7, "log_json": True}


def test_an_empty_file_is_fine(tmp_path: Path) -> None:
    assert read_file(a_file(tmp_path, "# nothing yet\n"), ["port"]) == {}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("prot: 5\n", "did you mean 'port'"),
        ("zzzzzz: 5\n", "known are"),
        ("- port\n", "expected settings"),
        ("port: [\n", "not YAML"),
        ("just words\n", "expected settings"),
        ("!!python/object/apply:os.system [ls]\n", "not YAML"),
    ],
)
def test_a_wrong_file_is_told_in_words(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        read_file(a_file(tmp_path, text), ["port", "queue_size"])


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        read_file(tmp_path / "missing.yaml", ["port"])


def test_a_certificate_and_its_key_come_together(tmp_path: Path) -> None:
    there, missing = tmp_path / "there", tmp_path / "missing"
    there.write_text("no PEM")
    assert read_certificate(None, None) is None
    for certificate, key, said in (
        (there, None, "^tls-key: missing"),
        (None, there, "^tls-cert: missing"),
        (missing, there, "^tls-cert: No such file"),
        (there, missing, "^tls-key: No such file"),
        (there, there, "^tls-cert: .* holds no certificate"),
    ):
        with pytest.raises(ConfigError, match=said):
            read_certificate(certificate, key)


def test_upstreams_are_read_with_their_keys() -> None:
    one, other = read_upstreams(["http://127.0.0.1:1;key-env=K", "http://127.0.0.1:2"], {"K": "sk-1"})
    assert (one.key, other.key) == ("sk-1", None)
    assert "sk-1" not in repr(Config(upstream=(one, other)))
    with pytest.raises(ConfigError, match="variable K"):
        read_upstreams(["http://127.0.0.1:1;key-env=K"], {})


def test_a_judge_that_is_never_asked_is_remarked() -> None:
    assert Config(cache_judge="m", cache_check_share=0.01).remarks() == []
    assert "--cache-check-share is 0" in Config(cache_judge="m").remarks()[0]


def test_a_file_without_a_key_locks_out_all_others_which_is_remarked() -> None:
    assert Config(keys=None).remarks() == []
    assert "only clients on this machine" in Config(keys=KeyTable()).remarks()[0]
