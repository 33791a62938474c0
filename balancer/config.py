"""Settings: one frozen dataclass, checked once. Below the composition root an object gets values, not this."""

from __future__ import annotations

import difflib
import ipaddress
import os
import ssl
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from balancer.admission.aliases import ModelRules
from balancer.admission.keys import KeyTable
from balancer.cache.judge_error import judge_error
from balancer.doors.addresses import IPNetwork
from balancer.doors.tls import CertificateError, server_context
from balancer.errors import ConfigError
from balancer.sources import option_name
from balancer.upstream.spec import UpstreamSpec, distinct, parse_upstream, with_key

TOKEN_MIN_BYTES: Final = 16
"""A shorter one is warned of: a proof that was overheard lets it be guessed at leisure."""
CHECK_SHARE_MAX: Final = 0.05
"""A check costs a backend what its answer had saved: more of them would eat up what the cache is for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Everything an operator can choose. Names are those of the flags."""

    host: str = "127.0.0.1"
    """Address to listen on, TCP and UDP."""
    port: int = 1234
    """TCP and UDP; 0 picks a free one."""
    admin_host: str = "127.0.0.1"
    """Address of the port for operators, which knows no keys: whoever reaches it is obeyed."""
    admin_port: int = 1230
    """0 picks a free one."""
    policy: str = "adaptive"
    """How a backend is chosen among those that can take a request; one of `balancer.routing.policies`."""
    upstream: tuple[UpstreamSpec, ...] = ()
    """OpenAI-compatible servers that do not register; each has a name of its own."""
    default_model: str | None = None
    """Of requests that name none; ``None``: the only one there is."""
    models: ModelRules | None = None
    """Aliases, shares and fallbacks."""
    prefer: tuple[tuple[str, str], ...] = ()
    """Labels of those who are asked first, the most preferred first."""
    hedge: bool = False
    """Ask a second backend where a first token is late."""
    explain: bool = False
    """Everybody may ask why a request went where it went; else this machine alone."""
    token: bytes | None = None
    """What backends must prove; ``None``: registrations from this machine only."""
    keys: KeyTable | None = None
    """Who may ask; ``None``: clients need no key."""
    tls: ssl.SSLContext | None = None
    """The port's certificate; ``None``: clients come in clear text."""
    backends_from: tuple[IPNetwork, ...] = ()
    """Where registered backends may be, beside their agent's own address."""
    classic_from: tuple[IPNetwork, ...] = ()
    """From where the text protocol, which can prove nothing, may be spoken, beside this machine."""
    insecure: bool = False
    """Serve other machines without what is missing of keys, token and certificate."""
    cache: bool = True
    """Answer repeated questions without a backend."""
    cache_size: int = 10_000
    """Most entries."""
    cache_bytes: int = 256 << 20
    """Most bytes of all entries together."""
    cache_wrong_share: float = 0.02
    """Of what the learned verdict serves: how much may be wrong."""
    cache_check_share: float = 0.0
    """Of the near hits: how many are checked by asking a backend as well."""
    cache_judge: str | None = None
    """The model that compares answers; ``None``: their words alone."""
    cache_judge_error: str | None = None
    """How often the judge errs: FALSE_YES,FALSE_NO,LABELS; ``None``: nobody knows."""
    cache_shadow: bool = False
    """Near answers are decided on and counted, but not served."""
    cache_threshold: float = 0.95
    """Least cosine of a near match, for embedders that no learned verdict knows."""
    cache_ttl_s: float = 86_400.0
    """How long an entry holds."""
    cache_timely_ttl_s: float = 300.0
    """For answers to questions with a word for the present."""
    cache_file: Path | None = None
    """Where entries are kept over a restart; ``None``: nowhere."""
    cache_version: str = ""
    """Part of every key: another one leaves all earlier entries behind."""
    cache_wait_ms: float = 30.0
    """Longest wait for an embedding: a request that would wait longer skips the near tier."""
    embedder: bool = True
    """Near matches in the cache, and embeddings of our own; without it the cache has its exact tier alone."""
    cache_model: str | None = None
    """Name or path of a sentence-transformers model; ``None``: the packaged all-MiniLM-L6-v2."""
    cache_temperature_max: float = 0.3
    """Requests that ask for more are not cached, unless they have a seed."""
    cache_per_user: bool = False
    """Entries are never shared between values of OpenAI's field ``user``."""
    queue_size: int = 256
    """Requests that may wait for a slot."""
    queue_bytes: int = 64 << 20
    """And how many bytes of them."""
    queue_timeout_s: float = 30.0
    """Longest wait for a slot."""
    first_token_timeout_s: float = 120.0
    """Longest wait of a backend's first token; then it has failed."""
    token_timeout_s: float = 30.0
    """Longest wait between two tokens; likewise."""
    request_timeout_s: float = 600.0
    """Longest time from a request's arrival to its last token."""
    write_timeout_s: float = 30.0
    """Longest time that a client may read nothing of what is sent to it."""
    head_timeout_s: float = 10.0
    """For the first bytes of a connection, a line, or an HTTP head."""
    body_timeout_s: float = 60.0
    """For an HTTP body."""
    drain_timeout_s: float = 30.0
    """How long running answers may go on once the daemon is told to stop."""
    access_log: str | None = None
    """File for a line a request, ``-`` for standard output; ``None``: no such log."""
    log_json: bool = False
    """One JSON object a log line."""
    log_level: str = "info"
    """The least that is logged."""

    def __post_init__(self) -> None:
        check_listen(self)
        for name in ("port", "admin_port"):
            _require(0 <= getattr(self, name) < 65536, name, "a port from 0 to 65535")
        _require(self.port == 0 or self.port != self.admin_port, "admin_port", "another port than --port")
        for name in ("cache_size", "cache_bytes"):
            _require(getattr(self, name) >= 1, name, "at least 1; --no-cache turns the cache off")
        _require(0.0 <= self.cache_wrong_share <= 1.0, "cache_wrong_share", "a share from 0 to 1")
        _require(0.0 < self.cache_threshold <= 1.0, "cache_threshold", "a cosine above 0, up to 1")
        most = f"a share from 0 to {CHECK_SHARE_MAX}; every check costs what its answer had saved"
        _require(0.0 <= self.cache_check_share <= CHECK_SHARE_MAX, "cache_check_share", most)
        rates = "FALSE_YES,FALSE_NO,LABELS: two rates below 0.45, and on how many labelled answers they were measured"
        _require(
            self.cache_judge_error is None or bool(judge_error(self.cache_judge_error)), "cache_judge_error", rates
        )
        for name in ("queue_size", "queue_bytes", "drain_timeout_s", "cache_wait_ms"):
            _require(getattr(self, name) >= 0, name, "0 or more")
        for name in (
            "cache_ttl_s",
            "cache_timely_ttl_s",
            "queue_timeout_s",
            "first_token_timeout_s",
            "token_timeout_s",
            "request_timeout_s",
            "write_timeout_s",
            "head_timeout_s",
            "body_timeout_s",
        ):
            _require(getattr(self, name) > 0, name, "more than 0 seconds")
        distinct(self.upstream)

    def remarks(self) -> list[str]:
        """What is allowed and still unwise."""
        found = []
        if self.token is not None and len(self.token) < TOKEN_MIN_BYTES:
            found.append(
                f"the token has {len(self.token)} bytes, which can be guessed by trying;"
                " `openssl rand -hex 32 > token` makes a good one"
            )
        if self.keys is not None and not len(self.keys):
            found.append("--keys: there is no key in the file: only clients on this machine may ask")
        if self.cache_judge is not None and not self.cache_check_share:
            found.append(f"--cache-judge {self.cache_judge} is never asked: --cache-check-share is 0")
        return found


def _require(holds: bool, name: str, expected: str) -> None:
    if not holds:
        raise ConfigError(f"{option_name(name)}: expected {expected}")


def check_listen(config: Config) -> None:
    """Beyond this machine nobody is served who has not proven who he is, unless the operator insists."""
    missing = [option for option, given in (("--token-file", config.token), ("--keys", config.keys)) if given is None]
    clients = f"that needs {' and '.join(missing)}, or --insecure to accept that anybody there can ask and register"
    operators = "whoever asks there is obeyed: keep it on 127.0.0.1, or add --insecure to accept that"
    for name, host, proven, needed in (
        ("host", config.host, not missing, clients),
        ("admin-host", config.admin_host, False, operators),
    ):
        if host == "localhost":
            continue
        try:
            loopback = ipaddress.ip_address(host).is_loopback
        except ValueError:
            raise ConfigError(f"{name}: expected an IP address or localhost, not {host!r}") from None
        if not loopback and not proven and not config.insecure:
            raise ConfigError(f"{name}: {host} can be reached from other machines; {needed}")


def parse_networks(texts: Iterable[str], name: str) -> tuple[IPNetwork, ...]:
    """CIDR ranges. Raises `ConfigError` that says which one is none."""
    networks = []
    for text in texts:
        try:
            networks.append(ipaddress.ip_network(text))
        except ValueError as error:
            raise ConfigError(f"{name}: {error}; expected a range such as 10.0.0.0/8") from None
    return tuple(networks)


def parse_labels(texts: Iterable[str], name: str) -> tuple[tuple[str, str], ...]:
    """Each ``KEY=VALUE``. Raises `ConfigError` that says which one is none."""
    labels = []
    for text in texts:
        key, equals, value = (part.strip() for part in text.partition("="))
        if not equals or not key or not value:
            raise ConfigError(f"{name}: expected KEY=VALUE, a label, not {text[:80]!r}")
        labels.append((key, value))
    return tuple(dict.fromkeys(labels))


def read_upstreams(texts: Iterable[str], environment: Mapping[str, str]) -> tuple[UpstreamSpec, ...]:
    """Each ``--upstream``, with its key."""
    return tuple(with_key(parse_upstream(text), environment) for text in texts)


def check_access_log(path: str | None) -> None:
    """Whether the file could be opened or made. Raises `ConfigError`."""
    if path is None or path == "-":
        return
    folder = Path(path).parent
    if not folder.is_dir():
        raise ConfigError(f"access-log: there is no directory {folder}")
    if Path(path).is_dir():
        raise ConfigError(f"access-log: {path} is a directory")
    if not os.access(path if Path(path).exists() else folder, os.W_OK):
        raise ConfigError(f"access-log: Permission denied: {path}")


def read_token(path: Path | None, environment: Mapping[str, str]) -> bytes | None:
    """The backends' token, from a file or the environment, never from the command line where others can read it."""
    if path is not None:
        try:
            token = path.read_bytes().strip()
        except OSError as error:
            raise ConfigError(f"token-file: {error.strerror}: {path}") from None
        if not token:
            raise ConfigError(f"token-file: {path} is empty")
        return token
    return environment.get("LLM_BALANCER_TOKEN", "").strip().encode() or None


def read_certificate(certificate: Path | None, key: Path | None) -> ssl.SSLContext | None:
    """What ``--tls-cert`` and ``--tls-key`` name; both or neither."""
    if certificate is None or key is None:
        if certificate is not None:
            raise ConfigError("tls-key: missing; --tls-cert needs the key of its certificate")
        if key is not None:
            raise ConfigError("tls-cert: missing; --tls-key needs its certificate")
        return None
    try:
        return server_context(certificate, key)
    except CertificateError as error:
        raise ConfigError(f"{error.option}: {error}") from None


def read_file(path: Path, known: Iterable[str]) -> dict[str, Any]:
    """A YAML file of settings, named like the flags. Unknown names are errors that suggest the right one."""
    try:
        loaded = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not YAML: {error}") from None
    if loaded is None:
        return {}
    if not isinstance(loaded, dict):
        raise ConfigError(f"{path}: expected settings, one a line, such as 'port: 1234'")
    names = {name.replace("_", "-") for name in known}
    found: dict[str, Any] = {}
    for key, value in loaded.items():
        name = str(key).replace("_", "-")
        if name not in names:
            close = difflib.get_close_matches(name, names, n=1)
            hint = f"; did you mean {close[0]!r}?" if close else f"; known are {', '.join(sorted(names))}"
            raise ConfigError(f"{path}: unknown setting {key!r}{hint}")
        found[name.replace("-", "_")] = value
    return found
