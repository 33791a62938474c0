"""The command line: what an operator types, and the settings that come of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from balancer import daemon
from balancer.cli import main
from balancer.config import Config
from balancer.errors import ConfigError
from balancer.keyfile import add_key


class Operator:
    """Types commands; the daemon that would start is only looked at."""

    def __init__(self) -> None:
        self.started: list[Config] = []
        self.rereads: list[Callable[[], Config]] = []
        self.remarks: list[str] = []

    def run(self, config: Config, reread: Callable[[], Config], remarks: Iterable[str]) -> int:
        self.started.append(config)
        self.rereads.append(reread)
        self.remarks = list(remarks)
        return 0

    def types(self, *arguments: object, **environment: str) -> Result:
        return CliRunner().invoke(main, [str(a) for a in arguments], env=environment)

    def config(self, *arguments: object, **environment: str) -> Config:
        result = self.types(*arguments, **environment)
        assert result.exit_code == 0, result.output
        return self.started[-1]

    def error(self, *arguments: object, **environment: str) -> str:
        result = self.types(*arguments, **environment)
        assert result.exit_code == 2, result.output
        assert not self.started
        assert "Traceback" not in result.output
        return result.output


@pytest.fixture
def operator(monkeypatch: pytest.MonkeyPatch) -> Operator:
    found = Operator()
    monkeypatch.setattr(daemon, "run", found.run)
    return found


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "balancer.yaml"
    path.write_text(
        "port: 2001\nqueue-size: 5\ncache: false\npolicy: round-robin\nupstream: http://127.0.0.1:8000\n"
        "backends-from: [10.0.0.0/8, 'fd00::/8']\ndefault-model:\nqueue-timeout: 7\n"
    )
    return path


def test_without_a_word_the_defaults_hold(operator: Operator) -> None:
    assert operator.config() == Config()


def test_a_file_wins_over_defaults(operator: Operator, file: Path) -> None:
    config = operator.config("--config", file)
    assert (config.port, config.queue_size, config.cache, config.policy) == (2001, 5, False, "round-robin")
    assert [upstream.url for upstream in config.upstream] == ["http://127.0.0.1:8000"], "one value, a list of one"
    assert [str(network) for network in config.backends_from] == ["10.0.0.0/8", "fd00::/8"]
    assert (config.default_model, config.queue_timeout_s) == (None, 7.0)


def test_the_environment_wins_over_the_file(operator: Operator, file: Path) -> None:
    config = operator.config("--config", file, LLM_BALANCER_PORT="2002", LLM_BALANCER_CACHE="true")
    assert (config.port, config.cache, config.queue_size) == (2002, True, 5)


def test_a_flag_wins_over_the_environment(operator: Operator, file: Path) -> None:
    config = operator.config("--config", file, "--port", 2003, "--no-cache", LLM_BALANCER_PORT="2002")
    assert (config.port, config.cache) == (2003, False)


def test_the_file_itself_may_be_named_in_the_environment(operator: Operator, file: Path) -> None:
    assert operator.config(LLM_BALANCER_CONFIG=str(file)).port == 2001


@pytest.mark.parametrize(
    ("arguments", "policy"),
    [
        ((), "adaptive"),
        (("-r",), "round-robin"),
        (("--round-robin",), "round-robin"),
        (("-c",), "least-connections"),
        (("--policy", "round-robin"), "round-robin"),
        (("-r", "--policy", "round-robin"), "round-robin"),
    ],
)
def test_a_policy_is_named_in_three_ways(operator: Operator, arguments: tuple[str, ...], policy: str) -> None:
    assert operator.config(*arguments).policy == policy


@pytest.mark.parametrize("arguments", [("-r", "-c"), ("-r", "--policy", "least-connections")])
def test_two_policies_are_an_error(operator: Operator, arguments: tuple[str, ...]) -> None:
    assert "one at a time" in operator.error(*arguments)


def test_a_policy_on_the_command_line_wins_over_another_kind_of_naming_it_elsewhere(
    operator: Operator, file: Path
) -> None:
    assert operator.config("--config", file, "-c").policy == "least-connections"
    assert operator.config("-r", LLM_BALANCER_POLICY="least-connections").policy == "round-robin"


def test_an_unknown_policy_is_an_error_that_lists_the_known(operator: Operator) -> None:
    said = operator.error("--policy", "fastest")
    assert "round-robin" in said and "least-connections" in said


def test_an_unknown_setting_in_the_file_suggests_the_right_one(operator: Operator, tmp_path: Path) -> None:
    path = tmp_path / "b.yaml"
    path.write_text("cache-treshold: 0.9\n")
    assert "did you mean 'cache-threshold'" in operator.error("--config", path)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("port: many\n", "not a valid integer"),
        ("port: [1, 2]\n", "expected one value"),
        ("log-level: loud\n", "loud"),
        ("help: true\n", "unknown setting"),
        ("version: true\n", "unknown setting"),
        ("cache-threshold: 3\n", "cache-threshold"),
        ("cache-wrong-share: 2\n", "cache-wrong-share"),
    ],
)
def test_a_wrong_value_in_the_file_is_told_in_words(operator: Operator, tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "b.yaml"
    path.write_text(text)
    assert said in operator.error("--config", path)


def test_checking_the_settings_starts_nothing(operator: Operator, file: Path) -> None:
    result = operator.types("--config", file, "--check-config")
    assert (result.exit_code, result.output) == (0, "the settings are fine\n")
    assert operator.started == []
    assert "queue-size" in operator.error("--check-config", "--queue-size", "-1")


@pytest.mark.parametrize("option", ["--host", "--admin-host"])
def test_beyond_this_machine_it_must_be_told_to_be_insecure(operator: Operator, option: str) -> None:
    assert "--insecure" in operator.error(option, "0.0.0.0")
    assert operator.config(option, "0.0.0.0", "--insecure").insecure


def test_the_token_comes_from_a_file_or_the_environment_and_never_from_a_flag(
    operator: Operator, tmp_path: Path
) -> None:
    path = tmp_path / "token"
    path.write_text("secret\n")
    assert operator.config("--token-file", path).token == b"secret"
    assert operator.config(LLM_BALANCER_TOKEN="other").token == b"other"
    assert operator.config("--token-file", path, LLM_BALANCER_TOKEN="other").token == b"secret"
    result = operator.types("--token", "secret")
    assert result.exit_code == 2
    assert "No such option" in result.output


def test_keys_are_read_at_the_start_and_let_it_listen_elsewhere_beside_a_token(
    operator: Operator, tmp_path: Path
) -> None:
    path = tmp_path / "keys"
    add_key(path, "alice")
    config = operator.config("--keys", path, "--host", "0.0.0.0", LLM_BALANCER_TOKEN="secret")
    assert config.keys is not None and "alice" in config.keys
    assert operator.types("--keys", path, "--check-config").output == "the settings are fine\n"
    operator.started.clear()
    assert "needs --token-file" in operator.error("--keys", path, "--host", "0.0.0.0")
    path.write_text("alice\n")
    assert "line 1" in operator.error("--keys", path, "--check-config")
    assert "No such file" in operator.error("--keys", tmp_path / "missing")


def test_names_and_labels_are_read(operator: Operator) -> None:
    config = operator.config("--models", '{"a": "b"}', "--alias", "c=d", "--prefer", "zone=a", "--prefer", "zone=a")
    assert config.models is not None and set(config.models.by_name) == {"a", "c"}
    assert config.prefer == (("zone", "a"),)


@pytest.mark.parametrize("value", ["10.0.0.1/8", "everywhere"])
def test_a_wrong_network_is_named(operator: Operator, value: str) -> None:
    assert value in operator.error("--backends-from", value)


def test_upstreams_may_be_given_several_times(operator: Operator) -> None:
    config = operator.config("--upstream", "http://127.0.0.1:1", "--upstream", "http://127.0.0.1:2")
    assert len(config.upstream) == 2
    assert operator.rereads[-1]() == config
    assert "upstream" in operator.types("--upstream", "127.0.0.1:1").output


@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_help_shows_examples_and_commands(flag: str) -> None:
    said = CliRunner().invoke(main, [flag]).output
    for text in ("Examples:", "--round-robin", "--check-config", "status", "drain", "purge", "reload", "backends"):
        assert text in said


def test_an_upstream_has_options_and_its_key_comes_from_the_environment(operator: Operator) -> None:
    option = "http://127.0.0.1:1;slots=3;key-env=SOME_KEY"
    (upstream,) = operator.config("--upstream", option, SOME_KEY="sk-1").upstream
    assert (upstream.slots, upstream.key) == (3, "sk-1")
    operator.started.clear()
    assert "environment variable SOME_KEY" in operator.error("--upstream", option, SOME_KEY="")
    assert "did you mean 'slots'" in operator.error("--upstream", "http://127.0.0.1:1;slot=3")
    twice = ("--upstream", "http://127.0.0.1:1", "--upstream", "http://127.0.0.1:1;slots=2")
    assert "two are named" in operator.error(*twice)


def test_settings_are_read_again_as_they_were_at_the_start(
    operator: Operator, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same flags over the same environment over what stands in the file now."""
    monkeypatch.setenv("LLM_BALANCER_QUEUE_TIMEOUT", "8")
    operator.config("--config", file, "--port", 2003, "-c")
    file.write_text("port: 2009\nqueue-size: 6\nqueue-timeout: 9\npolicy: round-robin\n")
    config = operator.rereads[-1]()
    assert (config.port, config.queue_timeout_s, config.queue_size) == (2003, 8.0, 6)
    assert (config.policy, config.upstream, config.cache) == ("least-connections", (), True), "what is gone is default"
    assert operator.rereads[-1]() == config, "as often as need be"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("port: many\n", "not a valid integer"),
        ("prot: 1\n", "did you mean 'port'"),
        ("queue-size: -1\n", r"queue-size: .* \('queue-size' in .*balancer.yaml\)"),
        ("[", "not YAML"),
        ("upstream: nonsense\n", "expected http://HOST:PORT"),
    ],
)
def test_settings_that_are_wrong_when_read_again_are_an_error_in_words(
    operator: Operator, file: Path, text: str, said: str
) -> None:
    operator.config("--config", file)
    file.write_text(text)
    with pytest.raises(ConfigError, match=said):
        operator.rereads[-1]()
    file.unlink()
    with pytest.raises(ConfigError, match="No such file"):
        operator.rereads[-1]()


def test_a_certificate_is_checked_before_anything_starts(operator: Operator, tmp_path: Path) -> None:
    (tmp_path / "text").write_text("hello\n")
    assert "tls-key: missing" in operator.error("--tls-cert", tmp_path / "text")
    assert "tls-cert: missing" in operator.error("--tls-key", tmp_path / "text", "--check-config")
    assert "holds no certificate" in operator.error("--tls-cert", tmp_path / "text", "--tls-key", tmp_path / "text")
    assert "tls-cert: No such file" in operator.error("--tls-cert", tmp_path / "no", "--tls-key", tmp_path / "text")


def test_how_long_clients_may_take_is_the_operators_choice(operator: Operator) -> None:
    config = operator.config("--head-timeout", 3, "--body-timeout", 9)
    assert (config.head_timeout_s, config.body_timeout_s) == (3.0, 9.0)
    assert "head-timeout" in operator.types("--head-timeout", 0).output


def test_what_is_odd_about_the_settings_is_told_at_the_start_and_when_they_are_checked(operator: Operator) -> None:
    odd = {"LLM_BALANCER_TOKEN": "short", "LLM_BALANCER_PORTS": "1"}
    operator.config(**odd)
    variable, token = operator.remarks
    assert "did you mean LLM_BALANCER_PORT?" in variable and "openssl rand -hex 32" in token and "short" not in token
    said = operator.types("--check-config", **odd).output
    assert "warning: LLM_BALANCER_PORTS" in said and "the settings are fine" in said
    operator.config(LLM_BALANCER_TOKEN="a token that is long enough")
    assert operator.remarks == []


def test_the_access_logs_directory_is_checked_with_the_settings(operator: Operator, tmp_path: Path) -> None:
    assert "access-log: there is no directory" in operator.error(
        "--check-config", "--access-log", tmp_path / "no" / "a"
    )
    assert "is a directory" in operator.error("--check-config", "--access-log", tmp_path)
    assert operator.config("--access-log", tmp_path / "a").access_log == str(tmp_path / "a")
    assert operator.config("--access-log", "-").access_log == "-"
