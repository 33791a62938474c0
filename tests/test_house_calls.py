"""Style is a test: calls that are banned, with what to use instead, and tests that check something.

Each check gives ``file:line: rule`` for all that breaks it.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tests.house import PACKAGES, calls, imports, name_of, report, sources, within

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
UNSAFE: Final = {
    "eval": "parse it",
    "exec": "write it out",
    "pickle.load": "msgspec or safetensors",
    "pickle.loads": "msgspec or safetensors",
    "marshal.loads": "msgspec",
    "os.popen": "asyncio.create_subprocess_exec",
    "asyncio.get_event_loop": "asyncio.get_running_loop",
}


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


def test_nothing_prints() -> None:
    broken = [
        source.at(call, "print: use logging, or click.echo on a command line")
        for source in sources(*PACKAGES)
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


def test_blocking_calls_are_found_in_async_code_only() -> None:
    text = "import time\nasync def f():\n    time.sleep(1)\n    def g():\n        time.sleep(2)\ntime.sleep(3)"
    assert [call.lineno for call in awaited_code(ast.parse(text))] == [3]
