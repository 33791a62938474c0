from __future__ import annotations

import ast
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import setup
from scripts import compile, compiled_copy
from setup import MODULES, ROOT

COMPILED = {ROOT / "balancer" / folder / f"{name}.py" for folder, names in MODULES.items() for name in names}


def classes() -> list[tuple[str, ast.ClassDef, bool]]:
    """Of the whole package: where each stands, and whether that is compiled."""
    return [
        (str(path.relative_to(ROOT)), node, path in COMPILED)
        for path in sorted((ROOT / "balancer").rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ClassDef)
    ]


def test_all_that_is_compiled_is_there() -> None:
    assert all(path.is_file() for path in COMPILED)
    assert len(COMPILED) == sum(map(len, MODULES.values()))


def test_nothing_is_compiled_that_mypyc_cannot_take() -> None:
    structs = [
        f"{where}: {node.name}"
        for where, node, compiled in classes()
        if compiled and any(ast.unparse(base) == "msgspec.Struct" for base in node.bases)
    ]
    assert structs == []


def test_a_compiled_class_has_only_compiled_subclasses() -> None:
    compiled_names = {node.name for _, node, compiled in classes() if compiled}
    others = [
        f"{where}: {node.name}"
        for where, node, compiled in classes()
        if not compiled and any(isinstance(base, ast.Name) and base.id in compiled_names for base in node.bases)
    ]
    assert others == []


def test_what_it_takes_to_compile_is_pinned() -> None:
    assert [wanted.partition("==")[0] for wanted in setup.needed()] == list(setup.NEEDED)
    assert all(wanted.partition("==")[2] for wanted in setup.needed())


def test_the_program_finds_the_compiled_package_before_the_sources() -> None:
    program = compile.program()
    assert program.startswith("#!/bin/sh\n")
    assert f"PYTHONPATH={compiled_copy.COMPILED}:{ROOT} PYTHONSAFEPATH=1 exec " in program


def test_without_a_compiler_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CC", "no-such-compiler -O2")
    with pytest.raises(SystemExit, match=r"no C compiler \(no-such-compiler\).*apt install gcc"):
        compile.check()


@pytest.mark.timeout(500)
def test_mypyc_takes_the_sources_as_they_are(tmp_path: Path) -> None:
    """It makes C of them, which takes seconds; what a C compiler makes of that takes a minute."""
    shutil.copytree(ROOT / "balancer", tmp_path / "balancer", ignore=shutil.ignore_patterns("__pycache__"))
    made = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(ROOT)!r}); import setup; setup.extensions()"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert made.returncode == 0, made.stdout + made.stderr
    assert list((tmp_path / "build").glob("*.c"))
