"""What one request asks of the cache: its ``cache`` field as two yes-or-no answers."""

from __future__ import annotations

from typing import Final, NamedTuple


class CacheControl(NamedTuple):
    """How one request uses the cache."""

    look: bool
    """An entry may answer."""
    store: bool
    """The backend's answer may become an entry."""


CONTROLS: Final[dict[str, CacheControl]] = {
    "default": CacheControl(look=True, store=True),
    "bypass": CacheControl(look=False, store=False),
    "only": CacheControl(look=True, store=False),
    "refresh": CacheControl(look=False, store=True),
}
"""By the value of the wire's ``cache`` field."""


def cache_control(value: str) -> CacheControl:
    """The control that a ``cache`` field names. Raises `ValueError`, which lists the known ones, for any other."""
    try:
        return CONTROLS[value]
    except KeyError:
        raise ValueError(f'"cache" must be one of {", ".join(CONTROLS)}, not {value!r}') from None
