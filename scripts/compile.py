"""The balancer of this checkout with the rooms on a request's way compiled: ``scripts/compile [--if-changed]``.

    scripts/compile
    build/compiled/llm-balancer ...         # as llm-balancer

setup.py says what is compiled, and how. The result is a copy of the package in ``build/compiled``: made anew each time,
never beside the sources, where it would go on to be imported after they have changed. The daemon compares the copy
with the sources and does not start with one that is old. ``scripts/bench_inside`` shows what it saves.

``--if-changed`` does nothing where the copy is not old.
"""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import sys
import sysconfig
from pathlib import Path

from setuptools import setup as build  # type: ignore[import-untyped]

import setup
from balancer.compiled import SOURCES_FILE
from scripts.compiled_copy import COMPILED, PACKAGE, PROGRAM, ROOT, environment, is_fresh


def main() -> None:
    """Copy and compile."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--if-changed", action="store_true", help="only if there is no compiled copy, or an old one")
    if parser.parse_args().if_changed and is_fresh():
        return
    check()
    shutil.rmtree(COMPILED, ignore_errors=True)
    shutil.copytree(ROOT / "balancer", PACKAGE, ignore=shutil.ignore_patterns("__pycache__", "*.so"))
    (PACKAGE / SOURCES_FILE).write_text(str(ROOT / "balancer"))
    os.chdir(COMPILED)
    build(name="balancer", ext_modules=setup.extensions(), script_args=["--quiet", "build_ext", "--inplace"])
    shutil.rmtree("build")
    PROGRAM.write_text(program())
    PROGRAM.chmod(0o755)
    print(f"{len(setup.files())} modules compiled: {PROGRAM.relative_to(ROOT)} runs them")


def program() -> str:
    """A shell script that runs it."""
    settings = " ".join(f"{name}={shlex.quote(value)}" for name, value in environment().items())
    return f'#!/bin/sh\n{settings} exec {shlex.quote(sys.executable)} -m balancer "$@"\n'


def check() -> None:
    """Say what is missing, before a compiler says it in a hundred lines."""
    compiler = shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc")[0]
    if shutil.which(compiler) is None:
        sys.exit(f"compile: there is no C compiler ({compiler}); on Debian and Ubuntu: apt install gcc")
    header = Path(sysconfig.get_paths()["include"]) / "Python.h"
    if not header.exists():
        sys.exit(f"compile: Python's headers are missing ({header}); on Debian and Ubuntu: apt install python3-dev")


if __name__ == "__main__":
    main()
