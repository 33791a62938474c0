"""The compiled copy of the package that ``scripts/compile`` makes: where it lies, and whether it is one of now."""

from __future__ import annotations

import os
from pathlib import Path

from balancer.compiled import SOURCES_FILE, changed_sources, is_compiled

ROOT = Path(__file__).resolve().parent.parent
COMPILED = ROOT / "build" / "compiled"
PACKAGE = COMPILED / "balancer"
PROGRAM = COMPILED / "llm-balancer"
"""Starts it, as llm-balancer."""


def is_fresh() -> bool:
    """Whether there is one that this Python can run, made from the sources as they are."""
    return (PACKAGE / SOURCES_FILE).exists() and is_compiled(PACKAGE) and not changed_sources(PACKAGE)


def environment() -> dict[str, str]:
    """What makes a Python of ours find the compiled package before the sources; all else as ever."""
    return {"PYTHONPATH": f"{COMPILED}{os.pathsep}{ROOT}", "PYTHONSAFEPATH": "1"}
