"""The balancer with the rooms on a request's way compiled to machine code: ``scripts/compile``.

    scripts/compile
    PYTHONPATH=build/compiled .venv/bin/python -P -m balancer ...     # -P: not the sources in this folder

mypyc (it comes with mypy) makes C of the very sources, so there is no second implementation; it takes a C compiler and
some two minutes. The result is a copy of the package in ``build/compiled``: made anew each time, never beside the
sources, where it would go on to be imported after they have changed. Whatever is not compiled is imported as it is.
``scripts/bench_inside --compiled`` shows what it saves.

Compiled code holds what type hints say: a value of another type is a `TypeError`, where Python would not look.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from mypyc.build import mypycify
from setuptools import setup  # type: ignore[import-untyped]

ROOT = Path(__file__).resolve().parent.parent
COMPILED = ROOT / "build" / "compiled"
MODULES = {
    ".": ("histogram", "request"),
    "admission": ("keys",),
    "cache": ("control", "counters", "entry", "expiry", "keys", "store"),
    "doors": ("asking", "clients", "http", "openai", "openai_answer", "options", "passed_answer"),
    "exchange": (
        "budget", "cached", "dispatcher", "exchange", "journal", "lookup", "ports", "state", "timeline", "turn",
        "unread",
    ),
    "pool": ("breaker", "outliers", "view"),
    "routing": ("eligible", "select"),
    "upstream": ("connection", "http"),
    "wire": ("jsontext", "sse"),
    "wire/http1": ("build", "parsing", "repeats", "requests", "responses"),
}  # fmt: skip
"""By folder of the package. Not those that mypyc cannot take: msgspec's structs (``wire.openai``, ``wire.whole``), and
classes with a base such as cachetools' or `RuntimeError` (``cache.lru``, ``pool.ledger``). A compiled class has only
compiled subclasses.
"""


def main() -> None:
    """Copy and compile."""
    shutil.rmtree(COMPILED, ignore_errors=True)
    shutil.copytree(ROOT / "balancer", COMPILED / "balancer", ignore=shutil.ignore_patterns("__pycache__", "*.so"))
    os.chdir(COMPILED)
    files = [str(Path("balancer", folder, f"{name}.py")) for folder, names in MODULES.items() for name in names]
    options = ["--config-file", str(ROOT / "pyproject.toml")]
    extensions = mypycify([*options, *files], opt_level="2", debug_level="0")
    setup(name="balancer", ext_modules=extensions, script_args=["--quiet", "build_ext", "--inplace"])
    shutil.rmtree("build")
    print(f"{len(files)} modules compiled: PYTHONPATH={COMPILED} {ROOT}/.venv/bin/python -P -m balancer")


if __name__ == "__main__":
    main()
