"""Style is a test: who may import whom, every source file with its test, bounded files. Calls: test_house_calls.py.

Each check gives ``file:line: rule`` for all that breaks it. The rules themselves are written down where the packages
describe themselves; an exception stands in a table here, with its reason.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

from tests.house import PACKAGES, ROOT, Source, imports, in_room, report, source_of, sources, third_party, within

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


# --- who may import whom ----------------------------------------------------------------------------------------------


def room_of(path: str) -> str:
    return next((room for room in PURE_ROOMS if in_room(path, room)), "")


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


def commands_stand_outside(source: Source, module: str) -> str | None:
    if in_room(source.path, "balancer/commands"):
        running = ("admission.queue", "daemon", "doors", "exchange", "persistence", "pool", "reloader", "upstream")
        if within(module, *(f"balancer.{name}" for name in running)):
            return "a command asks the admin port or reads a file: it knows nothing of a running daemon's rooms"
    elif within(module, "balancer.commands") and source.path != "balancer/cli.py":
        return "only cli.py knows the commands"
    return None


def persistence_follows_the_cache(source: Source, module: str) -> str | None:
    if in_room(source.path, "balancer/persistence"):
        known = ("balancer.cache", "balancer.exchange", "balancer.persistence")
        if within(module, *PACKAGES) and not within(module, *known):
            return f"what is kept of the cache knows of ours only {', '.join(known)}"
    elif within(module, "balancer.persistence") and source.path != "balancer/cache_setup.py":
        return "only cache_setup.py knows how the cache is kept"
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
    commands_stand_outside,
    persistence_follows_the_cache,
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
        ("balancer/commands/a.py", "from balancer.exchange.dispatcher import Dispatcher", 7),
        ("balancer/doors/a.py", "from balancer.commands.admin_client import ask", 7),
        ("balancer/persistence/a.py", "from balancer.doors.admin import AdminDoor", 8),
        ("balancer/exchange/a.py", "from balancer.persistence.keeper import CacheKeeper", 8),
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
        ("balancer/cli.py", "from balancer.commands.cache import cache"),
        ("balancer/commands/a.py", "from balancer.cache.gates import flips\nfrom balancer.errors import ConfigError"),
        ("balancer/cache_setup.py", "from balancer.persistence.keeper import CacheKeeper"),
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
        for source in sources(*PACKAGES, "tests", "scripts")
        if (lines := source.text.count("\n")) > LINES_MAX
    ]
    assert not long, report(long)


def test_every_exception_is_still_needed() -> None:
    stale = [f"{path}:1: has its test now" for path in NO_TEST_OF_ITS_OWN if mirror_exists(path)]
    assert not stale, report(stale)


def mirror_exists(path: str) -> bool:
    source = Path(path)
    return (ROOT / "tests" / source.parent / f"test_{source.name}").exists()


def test_packages_say_what_they_are_and_what_is_in_them() -> None:
    silent = []
    for source in sources(*PACKAGES):
        path = ROOT / source.path
        if path.name == "__init__.py":
            named = set(re.findall(r"\w+", ast.get_docstring(source.tree) or ""))
            modules = {module.stem for module in path.parent.glob("*.py") if not module.stem.startswith("__")}
            silent += [source.at(source.tree, f"does not say what {name} is") for name in sorted(modules - named)]
    assert not silent, report(silent)
