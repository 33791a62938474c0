"""What values options take, where click knows no such type: sizes, seconds, a mapping."""

from __future__ import annotations

import json
import math
import re
from typing import Any, Final

import click

_UNITS: Final = {"": 1, "KIB": 1 << 10, "MIB": 1 << 20, "GIB": 1 << 30}
_SIZE: Final = re.compile(r"(\d{1,15}) ?([KMG]iB|)", re.IGNORECASE)


class Size(click.ParamType[int]):
    """Bytes, as a number or with a unit: ``268435456``, ``256 MiB``, ``256MiB``."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        found = _SIZE.fullmatch(str(value).strip())
        if found is None:
            self.fail(f"{value!r} is no size, such as 64 MiB", param, ctx)
        return int(found[1]) * _UNITS[found[2].upper()]


class Seconds(click.ParamType[float]):
    """How long; what is too short for an option is refused with the settings."""

    name = "seconds"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        try:
            found = float(value)
        except (TypeError, ValueError):
            found = math.nan
        if math.isnan(found):
            self.fail(f"{value!r} is no number of seconds", param, ctx)
        return found


class Structured(click.ParamType[dict[str, Any]]):
    """A mapping, as it stands in the file or as JSON; what it may hold is checked by whoever reads it."""

    name = "json"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> dict[str, Any]:
        """Fails with words that do not repeat what was given."""
        if isinstance(value, dict):
            return value
        try:
            found = json.loads(value)
        except (TypeError, ValueError, RecursionError):
            found = None
        if not isinstance(found, dict):
            self.fail('expected a mapping: JSON such as {"gpt-x": "llama-3"}, or YAML in the file', param, ctx)
        return found
