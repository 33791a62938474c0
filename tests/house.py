"""Reading our own sources, for the tests of the house's rules."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final, NamedTuple

ROOT: Final = Path(__file__).resolve().parent.parent
PACKAGES: Final = ("balancer", "backend", "client", "frontend")


@dataclass(frozen=True, eq=False)
class Source:
    """One file of ours, parsed."""

    path: str
    text: str
    tree: ast.Module

    def at(self, node: ast.AST, rule: str) -> str:
        return f"{self.path}:{getattr(node, 'lineno', 1)}: {rule}"


class Import(NamedTuple):
    node: ast.stmt
    module: str
    """Dotted and absolute; for ``from a import b`` it is ``a.b``, so that a room can't come in by its parent."""
    eager: bool
    """Runs when the module is imported: not inside a function, nor for type checkers only."""


@cache
def sources(*folders: str) -> list[Source]:
    paths = sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))
    texts = ((path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8")) for path in paths)
    return [Source(path, text, ast.parse(text, path)) for path, text in texts]


@cache
def imports(source: Source) -> list[Import]:
    package = source.path.removesuffix(".py").removesuffix("/__init__").split("/")
    if not source.path.endswith("__init__.py"):
        package = package[:-1]

    def walk(node: ast.AST, eager: bool) -> Iterator[Import]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Import):
                yield from (Import(child, alias.name, eager) for alias in child.names)
            elif isinstance(child, ast.ImportFrom):
                above = package[: len(package) - child.level + 1] if child.level else []
                module = ".".join([*above, *([child.module] if child.module else [])])
                yield from (Import(child, f"{module}.{alias.name}", eager) for alias in child.names)
            else:
                yield from walk(child, eager and not lazy(child))

    return list(walk(source.tree, True))


def lazy(node: ast.AST) -> bool:
    if isinstance(node, ast.If):
        return "TYPE_CHECKING" in ast.dump(node.test)
    return isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)


def within(module: str, *names: str) -> bool:
    return any(module == name or module.startswith(name + ".") for name in names)


def in_room(path: str, *rooms: str) -> bool:
    return any(path == room or path.startswith(room + "/") for room in rooms)


def third_party(module: str) -> bool:
    top = module.partition(".")[0]
    return top not in sys.stdlib_module_names and top not in PACKAGES


def name_of(call: ast.Call) -> str:
    return ast.unparse(call.func)


def calls(tree: ast.AST) -> Iterator[ast.Call]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.Call))


def report(broken: list[str]) -> str:
    return "\n" + "\n".join(broken)


def source_of(path: str, text: str) -> Source:
    return Source(path, text, ast.parse(text))
