"""Style is a test: who may import whom, every source file with its test, bounded files, banned calls.

Each check gives ``file:line: rule`` for all that breaks it. The rules themselves are written down where the packages
describe themselves; an exception stands in a table here, with its reason.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final, NamedTuple

import pytest

ROOT: Final = Path(__file__).resolve().parent.parent
PACKAGES: Final = ("balancer", "backend", "client", "frontend")
LINES_MAX: Final = 320

MACHINE_LEARNING: Final = ("torch", "transformers", "sentence_transformers", "onnxruntime")
IMPURE: Final = (
    "asyncio", "asyncio_dgram", "concurrent", "datetime", "http.client", "httpx", "logging", "multiprocessing", "os",
    "pathlib", "random", "requests", "secrets", "select", "selectors", "shutil", "signal", "socket", "socketserver",
    "ssl", "subprocess", "tempfile", "threading", "time", "urllib.request", "uuid", "uvloop",
)  # fmt: skip
"""I/O, clocks, randomness and logging: a pure room is given what it needs of them as arguments."""
PURE_THIRD_PARTY: Final = {
    "balancer/wire": frozenset({"msgspec", "httptools"}),
    "balancer/pool": frozenset({"numpy"}),
    "balancer/routing": frozenset({"numpy"}),
    "balancer/cache": frozenset({"numpy", "cachetools"}),
    "balancer/admission": frozenset[str](),
    "balancer/exchange/state.py": frozenset[str](),
}
PURE_ROOMS: Final = tuple(PURE_THIRD_PARTY)

NO_TEST_OF_ITS_OWN: Final = {
    "backend/__main__.py": "two lines; tests/e2e starts it as a process",
    "balancer/__main__.py": "two lines; tests/e2e starts it as a process",
    "client/__main__.py": "two lines; tests/e2e starts it as a process",
    "frontend/__main__.py": "two lines; tests/e2e starts it as a process",
    "balancer/wire/limits.py": "numbers only; each is tested where it is enforced",
    "frontend/limits.py": "numbers only; each is tested where it is enforced",
}
LONG_FILES: Final = {
    "backend/storyteller/plots.py": "a table of sentences, no logic: splitting it would only hide how long it is",
}


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


def room_of(path: str) -> str:
    return next((room for room in PURE_ROOMS if in_room(path, room)), "")


def third_party(module: str) -> bool:
    top = module.partition(".")[0]
    return top not in sys.stdlib_module_names and top not in PACKAGES


# --- the import rules -------------------------------------------------------------------------------------------------


def wire_stands_alone(source: Source, module: str) -> str | None:
    if in_room(source.path, "balancer/wire") and within(module, *PACKAGES) and not within(module, "balancer.wire"):
        return "rule 1: wire knows nothing of ours but itself"
    return None


def pure_rooms_are_pure(source: Source, module: str) -> str | None:
    room = room_of(source.path)
    if not room:
        return None
    if within(module, *IMPURE):
        return "rule 2: a pure room has no I/O, clock, randomness or logging: take `now`, `rng` or bytes as arguments"
    if third_party(module) and module.partition(".")[0] not in PURE_THIRD_PARTY[room]:
        return f"rule 2: {room} may use of third parties only {sorted(PURE_THIRD_PARTY[room]) or 'nothing'}"
    inner = ("balancer.doors", "balancer.upstream", "balancer.adapters", "balancer.config", "balancer.daemon")
    if within(module, *inner) or (room != "balancer/wire" and within(module, "balancer.wire")):
        return "rule 2: a pure room knows no doors, upstream, adapters or wire"
    return None


def doors_and_upstream_are_plain(source: Source, module: str) -> str | None:
    outer = ("balancer.adapters", "balancer.config", "click", *MACHINE_LEARNING)
    if in_room(source.path, "balancer/doors", "balancer/upstream") and within(module, *outer):
        return "rule 3: doors and upstream know no adapters, config, click or ML library: daemon.py passes values in"
    return None


def adapters_are_leaves(source: Source, module: str) -> str | None:
    if not in_room(source.path, "balancer/adapters"):
        return None
    own = source.path.removesuffix(".py").removesuffix("/__init__").replace("/", ".").split(".")[:3]
    other_adapter = within(module, "balancer.adapters") and not within(module, ".".join(own))
    if other_adapter or within(module, "balancer.doors", "balancer.upstream"):
        return "rule 4: an adapter knows no other adapter, no doors, no upstream"
    return None


def packages_meet_only_on_the_wire(source: Source, module: str) -> str | None:
    package = source.path.partition("/")[0]
    allowed = {
        "balancer": ("balancer",),
        "backend": ("backend", "balancer.wire"),
        "client": ("client", "balancer.wire"),
        "frontend": ("frontend", "client"),
    }[package]
    if within(module, *PACKAGES) and not within(module, *allowed):
        return f"rules 5 and 6: {package} may use of ours only {', '.join(allowed)}"
    return None


def nobody_needs_tests(source: Source, module: str) -> str | None:
    return "rule 6: nothing that is installed imports tests or scripts" if within(module, "tests", "scripts") else None


IMPORT_RULES: Final[tuple[Callable[[Source, str], str | None], ...]] = (
    wire_stands_alone,
    pure_rooms_are_pure,
    doors_and_upstream_are_plain,
    adapters_are_leaves,
    packages_meet_only_on_the_wire,
    nobody_needs_tests,
)


@pytest.mark.parametrize("rule", IMPORT_RULES, ids=lambda rule: rule.__name__)
def test_imports_that_must_never_exist(rule: Callable[[Source, str], str | None]) -> None:
    broken = [
        source.at(imported.node, f"{imported.module}: {said}")
        for source in sources(*PACKAGES)
        for imported in imports(source)
        if (said := rule(source, imported.module)) is not None
    ]
    assert not broken, report(broken)


def test_heavy_libraries_are_imported_where_they_are_used() -> None:
    broken = [
        source.at(imported.node, f"rule 7: import {imported.module} inside the function that needs it")
        for source in sources(*PACKAGES, "tests")
        for imported in imports(source)
        if imported.eager and within(imported.module, *MACHINE_LEARNING)
    ]
    assert not broken, report(broken)


# --- files ------------------------------------------------------------------------------------------------------------


def test_every_source_file_has_its_test() -> None:
    missing = []
    for source in sources(*PACKAGES):
        path = Path(source.path)
        if path.name == "__init__.py" or source.path in NO_TEST_OF_ITS_OWN:
            continue
        mirror = Path("tests") / path.parent / f"test_{path.name}"
        if not (ROOT / mirror).exists():
            missing.append(f"{source.path}:1: has no {mirror}")
    assert not missing, report(missing)


def test_no_file_is_too_long_to_read_in_one_go() -> None:
    long = [
        f"{source.path}:{lines}: longer than {LINES_MAX} lines: it holds more than one idea, split it"
        for source in sources(*PACKAGES)
        if (lines := source.text.count("\n")) > LINES_MAX and source.path not in LONG_FILES
    ]
    assert not long, report(long)


def test_every_exception_is_still_needed() -> None:
    stale = [f"{path}:1: is gone" for path in LONG_FILES if not (ROOT / path).exists()]
    stale += [f"{path}:1: has its test now" for path in NO_TEST_OF_ITS_OWN if mirror_exists(path)]
    assert not stale, report(stale)


def mirror_exists(path: str) -> bool:
    source = Path(path)
    return (ROOT / "tests" / source.parent / f"test_{source.name}").exists()


def test_packages_say_what_they_are() -> None:
    silent = [
        source.at(source.tree, "a package's docstring is its map")
        for source in sources(*PACKAGES)
        if source.path.endswith("__init__.py") and not ast.get_docstring(source.tree)
    ]
    assert not silent, report(silent)


# --- calls ------------------------------------------------------------------------------------------------------------

TASK_CALLS: Final = ("create_task", "ensure_future")
WALL_CLOCK: Final = {
    "datetime.now": "the event loop's time or time.monotonic()",
    "datetime.utcnow": "the event loop's time or time.monotonic()",
    "datetime.today": "the event loop's time or time.monotonic()",
    "datetime.datetime.now": "the event loop's time or time.monotonic()",
    "datetime.datetime.utcnow": "the event loop's time or time.monotonic()",
}
BLOCKING: Final = {
    "time.sleep": "await asyncio.sleep",
    "subprocess.run": "await asyncio.create_subprocess_exec",
    "subprocess.check_output": "await asyncio.create_subprocess_exec",
    "os.system": "await asyncio.create_subprocess_exec",
    "urllib.request.urlopen": "our own client in upstream",
    "requests.get": "our own client in upstream",
    "socket.create_connection": "await loop.create_connection",
    "socket.getaddrinfo": "await loop.getaddrinfo",
    "open": "asyncio.to_thread, or open it before the loop runs",
}
PRINT_ALLOWED: Final = ("cli.py", "__main__.py")
UNSAFE: Final = {
    "eval": "parse it",
    "exec": "write it out",
    "pickle.load": "msgspec or safetensors",
    "pickle.loads": "msgspec or safetensors",
    "marshal.loads": "msgspec",
    "os.popen": "asyncio.create_subprocess_exec",
    "asyncio.get_event_loop": "asyncio.get_running_loop",
}


def name_of(call: ast.Call) -> str:
    return ast.unparse(call.func)


def calls(tree: ast.AST) -> Iterator[ast.Call]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.Call))


def test_tasks_are_started_in_one_file_of_each_package() -> None:
    broken = [
        source.at(
            call, f"{name_of(call)}: use {source.path.partition('/')[0]}/tasks.py's spawn(), which keeps the task"
        )
        for source in sources(*PACKAGES)
        if source.path.split("/")[1:] != ["tasks.py"]
        for call in calls(source.tree)
        if name_of(call).rpartition(".")[2] in TASK_CALLS and not name_of(call).startswith("tasks.")
    ]
    assert not broken, report(broken)


def test_nothing_reads_the_wall_clock_to_measure_or_runs_what_it_was_sent() -> None:
    banned = {**WALL_CLOCK, **UNSAFE}
    broken = [
        source.at(call, f"{name_of(call)}: use {banned[name_of(call)]}")
        for source in sources(*PACKAGES)
        for call in calls(source.tree)
        if name_of(call) in banned
    ]
    assert not broken, report(broken)


def test_nothing_unpickles() -> None:
    broken = [
        source.at(imported.node, "pickle runs code that others wrote: use msgspec or safetensors")
        for source in sources(*PACKAGES)
        for imported in imports(source)
        if within(imported.module, "pickle", "dill", "cloudpickle", "shelve")
    ]
    assert not broken, report(broken)


def awaited_code(tree: ast.AST) -> Iterator[ast.Call]:
    """Calls that run on the event loop: in an async function, but not in a plain one defined inside it."""

    def walk(node: ast.AST, on_loop: bool) -> Iterator[ast.Call]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.AsyncFunctionDef):
                yield from walk(child, True)
            elif isinstance(child, ast.FunctionDef | ast.Lambda):
                yield from walk(child, False)
            else:
                if on_loop and isinstance(child, ast.Call):
                    yield child
                yield from walk(child, on_loop)

    return walk(tree, False)


def test_nothing_blocks_the_event_loop() -> None:
    broken = [
        source.at(call, f"{name_of(call)} blocks the event loop: use {BLOCKING[name_of(call)]}")
        for source in sources(*PACKAGES, "tests")
        for call in awaited_code(source.tree)
        if name_of(call) in BLOCKING and not (source.path.startswith("tests/") and name_of(call) == "open")
    ]
    assert not broken, report(broken)


def test_only_command_lines_print() -> None:
    broken = [
        source.at(call, "print: use logging, or click.echo in a cli.py")
        for source in sources(*PACKAGES)
        if Path(source.path).name not in PRINT_ALLOWED
        for call in calls(source.tree)
        if name_of(call) == "print"
    ]
    assert not broken, report(broken)


# --- tests ------------------------------------------------------------------------------------------------------------


CHECKING_CALLS: Final = ("raises", "warns", "fail", "timeout", "wait_for", "run_state_machine_as_test")
"""A wait with a deadline is a check: what never comes fails the test."""


def checks(node: ast.AST) -> bool:
    if isinstance(node, ast.Assert) or (isinstance(node, ast.Raise) and "AssertionError" in ast.dump(node)):
        return True
    if not isinstance(node, ast.Call):
        return False
    last = name_of(node).rpartition(".")[2]
    return last in CHECKING_CALLS or last.startswith(("assert", "expect"))


def functions(tree: ast.Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def test_every_test_checks_something() -> None:
    """Itself, or through a helper of the tests that does."""
    everything = sources("tests")
    checking = {f.name for source in everything for f in functions(source.tree) if any(map(checks, ast.walk(f)))}
    broken = [
        source.at(function, f"{function.name} asserts nothing")
        for source in everything
        if Path(source.path).name.startswith("test_")
        for function in functions(source.tree)
        if function.name.startswith("test_") and not any(map(checks, ast.walk(function)))
        if not any(name_of(call).rpartition(".")[2] in checking for call in calls(function))
    ]
    assert not broken, report(broken)


def test_our_own_functions_are_not_mocked() -> None:
    broken = [
        source.at(imported.node, "no mocks: use a fake at the port (see the fakes beside the tests)")
        for source in sources("tests")
        for imported in imports(source)
        if within(imported.module, "unittest.mock", "mock", "pytest_mock")
    ]
    assert not broken, report(broken)


def report(broken: list[str]) -> str:
    return "\n" + "\n".join(broken)


# --- the checks themselves --------------------------------------------------------------------------------------------


def source_of(path: str, text: str) -> Source:
    return Source(path, text, ast.parse(text))


@pytest.mark.parametrize(
    ("path", "text", "rule"),
    [
        ("balancer/wire/a.py", "from balancer.pool import view", 1),
        ("balancer/wire/a.py", "from balancer import errors", 1),
        ("balancer/wire/a.py", "from ..pool import view", 1),
        ("balancer/wire/a.py", "import time", 2),
        ("balancer/wire/a.py", "def f():\n    from random import Random", 2),
        ("balancer/wire/a.py", "import numpy", 2),
        ("balancer/pool/a.py", "from balancer.wire.errors import ProtocolError", 2),
        ("balancer/routing/a.py", "from balancer.upstream import http", 2),
        ("balancer/routing/a.py", "import cachetools", 2),
        ("balancer/exchange/state.py", "import asyncio", 2),
        ("balancer/doors/a.py", "from balancer.config import Config", 3),
        ("balancer/upstream/a.py", "import click", 3),
        ("balancer/adapters/a.py", "from balancer.adapters.b import c", 4),
        ("balancer/adapters/a.py", "from balancer import doors", 4),
        ("backend/a.py", "from balancer.pool import view", 5),
        ("client/a.py", "import balancer", 5),
        ("frontend/a.py", "from balancer.wire import lines", 5),
        ("balancer/a.py", "import client", 5),
        ("client/a.py", "from tests.splits import cuts", 6),
    ],
)
def test_a_forbidden_import_is_found(path: str, text: str, rule: int) -> None:
    source = source_of(path, text)
    said = [IMPORT_RULES[rule - 1](source, imported.module) for imported in imports(source)]
    assert any(said)


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("balancer/wire/a.py", "import hmac, msgspec\nfrom balancer.wire import lines"),
        (
            "balancer/cache/a.py",
            "import numpy as np\nfrom cachetools import LRUCache\nfrom balancer.request import Request",
        ),
        ("balancer/exchange/exchange.py", "from balancer.wire import openai"),
        ("balancer/doors/a.py", "import asyncio\nfrom balancer.wire import native"),
        ("backend/a.py", "from balancer.wire.lines import LineDecoder"),
        ("frontend/a.py", "import client, starlette"),
    ],
)
def test_an_allowed_import_is_not(path: str, text: str) -> None:
    source = source_of(path, text)
    assert not [
        rule(source, imported.module)
        for imported in imports(source)
        for rule in IMPORT_RULES
        if rule(source, imported.module)
    ]


def test_imports_inside_functions_and_for_type_checkers_are_lazy() -> None:
    text = "import typing\nif typing.TYPE_CHECKING:\n    import torch\ndef f():\n    import torch\nimport numpy"
    assert [i.module for i in imports(source_of("backend/a.py", text)) if i.eager] == ["typing", "numpy"]


def test_blocking_calls_are_found_in_async_code_only() -> None:
    text = "import time\nasync def f():\n    time.sleep(1)\n    def g():\n        time.sleep(2)\ntime.sleep(3)"
    assert [call.lineno for call in awaited_code(ast.parse(text))] == [3]
