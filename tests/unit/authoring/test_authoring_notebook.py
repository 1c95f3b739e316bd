"""Functions of notebooks, scripts and other functions: their keys, and that they are the same in every process."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from wfplatform import node, workflow
from wfplatform.authoring.key import code_digest, function_key, is_importable

ROOT = Path(__file__).resolve().parents[3]


def top_level(x: Any) -> Any:
    return x


class Holder:
    @staticmethod
    def inside(x: Any) -> Any:
        return x


def make(step: Any) -> Callable[[int], int]:
    def shifted(x: int, base: int = 1) -> int:
        return [x + step for _ in range(base)][-1]

    return shifted


def run(program: str, *arguments: str, seed: str = "0") -> str:
    environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, *arguments, "-"] if not arguments else [sys.executable, *arguments],
        input=program, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_keys_of_functions_that_can_be_imported() -> None:
    assert function_key(top_level) == f"{__name__}:top_level"
    assert function_key(Holder.inside) == f"{__name__}:Holder.inside"
    assert function_key(os.path.join) == "posixpath:join"
    assert function_key(len) == "builtins:len"
    assert is_importable(node(top_level).function)


def test_keys_of_functions_that_cannot() -> None:
    assert function_key(make(1)).startswith("__main__:shifted@")
    assert function_key(lambda x: x).startswith("__main__:lambda@")
    assert function_key(make(1)) == function_key(make(1))
    assert len({function_key(make(step)) for step in (1, 2, "a", None, 1.0, True, (1,), [1], {"a": 1}, make(3))}) == 10


def test_a_function_whose_name_was_taken_by_another_is_not_importable() -> None:
    shadow = make(1)
    shadow.__qualname__ = "top_level"
    assert not is_importable(shadow)


def test_digests_see_defaults_constants_and_inner_functions() -> None:
    bodies = [
        lambda x: x, lambda x: x + 1, lambda x: x + 2, lambda x, y=1: x, lambda x, y=2: x, lambda x, *, y=1: x,
        lambda x: (lambda: x + 1), lambda x: (lambda: x + 2), lambda x: x in {"a", "b"}, lambda x: x in {"a", "c"},
    ]  # fmt: skip
    assert len(set(map(code_digest, bodies))) == len(bodies)


def test_digests_of_closures_over_objects_and_themselves() -> None:
    def recursive(n: int) -> int:
        return recursive(n - 1) if n else 0

    lock = object()
    assert code_digest(recursive) == code_digest(recursive)
    assert code_digest(make(Path("/a"))) == code_digest(make(Path("/a"))) != code_digest(make(Path("/b")))
    assert code_digest(make(lock)) == code_digest(make(lock))
    assert code_digest(make(threading.Lock())) != code_digest(make(1))  # it cannot travel, but it has a key


PROGRAM = """
from wfplatform import node, workflow, loop, if_
import asyncio

@node
def load(n: int) -> list[int]:
    return [x for x in range(n) if x not in {"a", "bb", "ccc"}]

@node(cache=True)
async def square(x: int) -> int:
    await asyncio.sleep(0)
    return x * x

def make(step):
    @node
    def shifted(x): return x + step
    return shifted

@workflow(name="cells")
def cells(n: int = 3):
    shifted = make(5)
    values = square.map(load(n))
    with if_(load(n)):
        more = shifted.map(values)
    return values, more, loop(lambda s: s + 1, n, while_=lambda s: s < 10)

if __name__ == "__main__":
    print(sorted(n.config.get("function", "") for n in cells.graph.nodes))
    print(cells.version)
    print(cells.local())
"""


def test_a_script_and_a_notebook_are_the_same_in_every_process(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(PROGRAM)
    # IPython runs each cell with exec in the namespace of __main__.
    cells = "import __main__\n" + "".join(
        f"exec(compile({cell!r}, '<ipython-input-{i}>', 'exec'), vars(__main__))\n"
        for i, cell in enumerate(PROGRAM.split("\n\n"))
    )
    notebook = tmp_path / "cells.py"
    notebook.write_text(cells)
    # The two differ in bytecode: Python compiles `asyncio.sleep` differently where it sees the import.
    for path in (script, notebook):
        first, second = run("", str(path), seed="1"), run("", str(path), seed="2")
        assert first == second
        keys, version, result = first.splitlines()
        assert keys.count("__main__:") == 5
        assert len(version) == 64
        assert result == "([0, 1, 4], [5, 6, 9], 10)"


def test_a_cell_that_is_run_again_counts_at_once() -> None:
    program = (
        PROGRAM.partition("if __name__")[0]
        + """
before = cells.version
exec("@node\\nasync def square(x): return -x")
assert cells.version != before
print(cells.local()[0])
"""
    )
    assert run(program) == "[0, -1, -2]\n"


def test_async_nodes_run_inside_the_loop_of_a_notebook() -> None:
    program = (
        PROGRAM.partition("if __name__")[0] + "\nasync def cell(): return cells.local()\nprint(asyncio.run(cell())[0])"
    )
    assert run(program) == "[0, 1, 4]\n"


def test_closures_of_one_factory_are_kept_apart() -> None:
    @workflow
    def both() -> Any:
        return node(make(1))(0), node(make(2))(0)

    assert both.local() == (1, 2)
    assert len(both.traced.functions) == 2


@pytest.mark.parametrize("decorated", [False, True])
def test_functions_defined_inside_functions_travel_by_value(decorated: bool) -> None:
    inner = node(make(4)) if decorated else make(4)
    flow = workflow(lambda: (inner if decorated else node(inner))(1))
    (key,) = flow.traced.functions
    assert key.startswith("__main__:shifted@")
    assert key in flow.code.functions


def test_functions_that_cannot_be_told_apart_by_content_are_kept_apart() -> None:
    def classes(n: int) -> type:
        class Local:
            number = n

        return Local

    def reader(kind: Any) -> Any:
        return node(lambda: kind.number)

    flow = workflow(lambda: [reader(classes(1))(), reader(classes(2))()])
    assert flow.local() == [1, 2]
    assert [key.partition("-")[2] for key in flow.traced.functions] == ["", "2"]
