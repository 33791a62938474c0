"""Compiles the rooms on a request's way to machine code, where that is asked for; all else is in pyproject.toml.

    LLM_BALANCER_COMPILE=1 pip install '.[cache]'      # takes a C compiler, Python's headers and two minutes

mypyc makes C of the very sources, so there is no second implementation. Whatever is not compiled is imported as it is.
Compiled code holds what type hints say: a value of another type is a `TypeError`, where Python would not look.
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import Any

from setuptools import setup  # type: ignore[import-untyped]

ROOT = Path(__file__).resolve().parent
WANTED = os.environ.get("LLM_BALANCER_COMPILE", "") not in ("", "0")
MODULES = {
    ".": ("corking", "histogram", "ids", "meters", "request"),
    "admission": ("keys",),
    "cache": (
        "changes", "control", "counters", "entry", "epochs", "expiry", "keys", "lru", "question", "store", "timely",
    ),
    "doors": (
        "agents", "answer", "asking", "clients", "datagrams", "deadline", "http", "native", "native_answer", "openai",
        "openai_answer", "options", "passed_answer",
    ),
    "exchange": (
        "budget", "cache_lane", "cached_answer", "dispatcher", "exchange", "fallback", "flight", "hedged", "journal",
        "lookup", "outcome", "ports", "recording", "sharing", "state", "timeline", "turn", "unread",
    ),
    "pool": ("backend", "breaker", "detector", "ledger", "load", "member", "outliers", "pace", "registry", "view"),
    "routing": (
        "adaptive", "alike", "blocks", "eligible", "least_connections", "least_tokens", "need", "prefix_affinity",
        "prefix_index", "select", "spread", "work",
    ),
    "upstream": ("connection", "http"),
    "wire": ("heartbeat", "jsontext", "lines", "native", "openai", "sse", "uniform", "whole"),
    "wire/http1": ("build", "parsing", "repeats", "requests", "responses"),
}  # fmt: skip
"""By folder of the package. Not those that mypyc cannot take: msgspec's structs (``wire.dialect``), and
classes with a base such as `RuntimeError`. A compiled class has only compiled subclasses.
"""
NEEDED = ("mypy", "msgspec", "numpy", "types-cachetools")
"""To compile: what mypyc reads types from, in the versions that the types were checked with."""
_GROUP = "llm_balancer"
_ASKS = frozenset({"egg_info", "dist_info", "sdist"})
"""What pip calls to learn about the package: nothing is built then."""


def files() -> list[str]:
    """What is compiled, as paths within the folder that holds the package."""
    return [str(Path("balancer", folder, f"{name}.py")) for folder, names in MODULES.items() for name in names]


def extensions() -> Any:
    """The extension modules, made of the package in the current folder."""
    from mypyc.build import mypycify

    options = ["--config-file", str(ROOT / "pyproject.toml")]
    return mypycify([*options, *files()], opt_level="2", debug_level="0", group_name=_GROUP)


def needed() -> list[str]:
    """`NEEDED`, each as pinned."""
    pinned = dict(re.findall(r"(?m)^([\w-]+)==(\S+)", (ROOT / "constraints.txt").read_text()))
    return [f"{name}=={pinned[name]}" for name in NEEDED]


def main() -> None:
    """What pip calls."""
    compiled = WANTED and _ASKS.isdisjoint(sys.argv)
    if compiled and "editable_wheel" in sys.argv:
        sys.exit("an editable installation is not compiled: its sources change; see scripts/compile")
    setup(ext_modules=extensions() if compiled else [], setup_requires=needed() if WANTED else [])


if __name__ == "__main__":
    main()
