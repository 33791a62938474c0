from __future__ import annotations

import ast

from scripts.compile import MODULES, ROOT

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
