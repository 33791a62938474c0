"""What an operator writes about an upstream: a URL and options behind it, ``http://10.0.0.7:8000;slots=64;model=A,B``.

Pure: the environment is an argument. Error texts name the option that is wrong and never repeat what may be a secret:
a key, or a password in a URL.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final
from urllib.parse import urlsplit

from balancer.errors import ConfigError
from balancer.wire.limits import BACKEND_MODELS_MAX, SLOTS_MAX

SLOTS: Final = 256
"""How many requests an upstream takes at once, unless it is told."""
NAME_MAX_CHARS: Final = 128
KEY_MAX_CHARS: Final = 4096
ENDPOINTS: Final = ("chat", "completions", "embeddings", "responses")
_OPTIONS: Final = ("slots", "weight", "key-env", "model", "endpoints", "name")
_LABEL: Final = "label."
_NAME: Final = re.compile(r"[!-~]+")
_LABEL_KEY: Final = re.compile(r"[A-Za-z0-9_.\-]{1,64}")
_ENDPOINT_PATH: Final = re.compile(r"(/chat/completions|(?<=/v1)/(?:completions|embeddings|responses|models))/*$")
_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class UpstreamSpec:
    """One ``--upstream``. Two that are equal need no change at a reload."""

    url: str
    """``http://HOST:PORT`` or ``https://HOST``, with a path where the API is not at the root."""
    name: str
    """In the status and for ``drain``; the URL's host, port and path unless it was given."""
    slots: int = SLOTS
    weight: float = 1.0
    key_env: str | None = None
    """The environment variable with the key that this upstream asks for."""
    key: str | None = field(default=None, repr=False)
    """What that variable holds."""
    models: tuple[str, ...] = ()
    """Offer these alone; none: whatever the upstream lists."""
    endpoints: tuple[str, ...] = ENDPOINTS[:2]
    """What it serves, of `ENDPOINTS`."""
    labels: tuple[tuple[str, str], ...] = ()


def parse_upstream(text: str) -> UpstreamSpec:
    """Read an ``--upstream``; its key is still to come (`with_key`). Raises `ConfigError`."""
    url, *rest = (part.strip() for part in text.split(";"))
    if "=" in url and "://" not in url:
        raise _wrong("expected the URL first, then ;NAME=VALUE")
    options: dict[str, str] = {}
    labels: dict[str, str] = {}
    for part in filter(None, rest):
        key, equals, value = part.partition("=")
        key, value = key.strip(), value.strip()
        if not equals or not value:
            raise _wrong(f"{_shown(key)}: expected {_shown(key)}=VALUE")
        found = labels if key.startswith(_LABEL) else options
        if found is options and key not in _OPTIONS:
            raise _wrong(f"there is no {_shown(key)}; {_suggestion(key)}")
        name = key.removeprefix(_LABEL) if found is labels else key
        if name in found:
            raise _wrong(f"{_shown(key)}: given twice")
        found[name] = value
    return make_upstream(url, options, labels)


def make_upstream(url: str, options: Mapping[str, str], labels: Mapping[str, str] = {}) -> UpstreamSpec:
    """The same from parts: ``options`` by their names. Raises `ConfigError`."""
    for key in options:
        if key not in _OPTIONS:
            raise _wrong(f"there is no {_shown(key)}; {_suggestion(key)}")
    default_name = _checked_url(url)
    return UpstreamSpec(
        url=url,
        name=_name(options.get("name", default_name)),
        slots=_slots(options.get("slots", str(SLOTS))),
        weight=_weight(options.get("weight", "1")),
        key_env=_variable(options["key-env"]) if "key-env" in options else None,
        models=_models(options.get("model", "")),
        endpoints=_endpoints(options.get("endpoints", "chat,completions")),
        labels=tuple(sorted((_label_key(key), _label_value(key, value)) for key, value in labels.items())),
    )


def with_key(spec: UpstreamSpec, environment: Mapping[str, str]) -> UpstreamSpec:
    """The spec with its key. Raises `ConfigError` if the variable is missing, or holds what no header can carry."""
    if spec.key_env is None:
        return spec
    key = environment.get(spec.key_env, "").strip()
    if not key:
        raise _wrong(f"{spec.name}: key-env: there is no environment variable {spec.key_env}, or it is empty")
    if len(key) > KEY_MAX_CHARS or not _NAME.fullmatch(key):
        raise _wrong(f"{spec.name}: key-env: what {spec.key_env} holds cannot be a key: expected printable ASCII")
    return replace(spec, key=key)


def distinct(specs: Iterable[UpstreamSpec]) -> tuple[UpstreamSpec, ...]:
    """The specs, each with a name of its own. Raises `ConfigError` otherwise."""
    found: dict[str, UpstreamSpec] = {}
    for spec in specs:
        if spec.name in found:
            raise _wrong(f"two are named {spec.name!r}: give one another name with ;name=NAME")
        found[spec.name] = spec
    return tuple(found.values())


def _checked_url(url: str) -> str:
    """The name that the URL gives."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise _wrong(_URL) from None
    if parts.username is not None or parts.password is not None:
        raise _wrong("a URL must not hold a user name or a password; name a key with ;key-env=VARIABLE")
    plain = _NAME.fullmatch(url) and not (parts.query or parts.fragment) and "?" not in url and "#" not in url
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0 or not plain:
        raise _wrong(_URL if "?" in url or "#" in url else f"{_URL}, not {_shown(url)}")  # a query may hold a key
    if (found := _ENDPOINT_PATH.search(parts.path)) is not None:
        base = url.rstrip("/").removesuffix(found[1])
        raise _wrong(f"{found[1]} is the path of one endpoint: expected what comes before it, {_shown(base)}")
    return parts.netloc + path_prefix(url)


_URL: Final = "expected http://HOST:PORT or https://HOST"


def path_prefix(url: str) -> str:
    """What comes before ``/v1`` in the paths of this upstream."""
    return urlsplit(url).path.rstrip("/").removesuffix("/v1")


def _endpoints(text: str) -> tuple[str, ...]:
    named = {name.strip() for name in text.split(",")}
    if not named <= set(ENDPOINTS):
        raise _wrong(f"endpoints: expected some of {', '.join(ENDPOINTS)}, separated by commas, not {_shown(text)}")
    return tuple(name for name in ENDPOINTS if name in named)


def _slots(text: str) -> int:
    slots = int(text) if text.isdecimal() and text.isascii() and len(text) < 9 else 0
    if not 1 <= slots <= SLOTS_MAX:
        raise _wrong(f"slots: expected a number from 1 to {SLOTS_MAX}, not {_shown(text)}")
    return slots


def _weight(text: str) -> float:
    try:
        weight = float(text)
    except ValueError:
        weight = 0.0
    if not (math.isfinite(weight) and weight > 0):
        raise _wrong(f"weight: expected a number above 0, not {_shown(text)}")
    return weight


def _variable(text: str) -> str:
    if not _VARIABLE.fullmatch(text):
        raise _wrong("key-env: expected the name of an environment variable, not a key itself")
    return text


def _models(text: str) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",")))
    names = tuple(name for name in names if name)
    if text and not names:
        raise _wrong("model: expected names, separated by commas")
    if len(names) > BACKEND_MODELS_MAX or any(not name.isprintable() for name in names):
        raise _wrong(f"model: expected at most {BACKEND_MODELS_MAX} printable names")
    return names


def _name(text: str) -> str:
    if not _NAME.fullmatch(text) or len(text) > NAME_MAX_CHARS:
        raise _wrong(f"name: expected at most {NAME_MAX_CHARS} characters without blanks")
    return text


def _label_key(text: str) -> str:
    if not _LABEL_KEY.fullmatch(text):
        raise _wrong(f"{_LABEL}{_shown(text)}: expected letters, digits and '._-'")
    return text


def _label_value(key: str, text: str) -> str:
    if not text.isprintable() or len(text) > NAME_MAX_CHARS:
        raise _wrong(f"{_LABEL}{key}: expected at most {NAME_MAX_CHARS} printable characters")
    return text


def _suggestion(key: str) -> str:
    close = difflib.get_close_matches(key.replace("_", "-"), _OPTIONS, n=1)
    return f"did you mean {close[0]!r}?" if close else f"known are {', '.join(_OPTIONS)} and {_LABEL}KEY"


def _shown(text: str) -> str:
    return repr(text[:80])


def _wrong(message: str) -> ConfigError:
    return ConfigError(f"upstream: {message}")
