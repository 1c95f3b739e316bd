"""What `import wfplatform` offers, what it costs, and that the examples in the documentation run."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import wfplatform
import wfplatform.authoring

ROOT = Path(__file__).resolve().parents[3]
PUBLIC = {
    "Breaker", "Cache", "ConflictError", "DefinitionError", "ExecutionCancelledError", "ExecutionError", "ExecutionHandle",
    "ExecutionHandles", "Lane", "Limit", "NodeContext", "NodeError", "NodeFunction", "NodeStopped",
    "NodeTimeoutError", "NotFoundError",
    "Notice",
    "OnFailure", "OnSkip", "Output",
    "ParameterError", "PlatformError", "Retry", "SchemaError", "SettingsError", "StorageError", "TravelError",
    "UnreachableError", "UserError", "WaitTimeoutError", "WfError", "WorkerLostError", "Workflow",
    "answering", "approval", "current_node", "delay",
    "each", "else_", "env", "if_", "loop", "mail", "merge", "node", "slack", "unmapped", "use_platform",
    "wait_for_event", "webhook", "workflow",
}  # fmt: skip


def loaded_by(statement: str) -> set[str]:
    code = f"import sys; before = set(sys.modules); {statement}; print(*(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_the_public_names() -> None:
    assert set(wfplatform.__all__) == PUBLIC
    assert set(dir(wfplatform)) >= PUBLIC
    for name in PUBLIC:
        assert getattr(wfplatform, name).__name__ == name
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        wfplatform.nothing  # noqa: B018


def test_the_package_alone_loads_no_other_module_of_its_own() -> None:
    assert {name for name in loaded_by("import wfplatform") if name.startswith("wfplatform")} == {"wfplatform"}


def test_writing_a_workflow_loads_nothing_heavy() -> None:
    loaded = loaded_by(
        "from wfplatform import *\n@node\ndef f(x): return x\n@workflow\ndef w(n: int): return f.map([1, 2], n)".replace(
            "\n", "\\n"
        ).join(["exec('", "')"])
    )
    heavy = {"pydantic", "asyncio", "cloudpickle", "dask", "distributed", "pandas", "numpy", "concurrent.futures"}
    assert loaded & heavy == set()


AUTHORING = [f"wfplatform.authoring.{module.name}" for module in pkgutil.iter_modules(wfplatform.authoring.__path__)]


@pytest.mark.parametrize("name", AUTHORING)
def test_examples_in_the_documentation_run(name: str) -> None:
    assert doctest.testmod(importlib.import_module(name)).failed == 0


TYPED = """
from wfplatform import NodeFunction, node, workflow
@node
def f(x: int, y: str = "") -> float: return 1.0
@node(timeout_s=5)
def g(x: float) -> str: return ""
@workflow
def w(n: int) -> str:
    reveal_type(f(n))
    reveal_type(f.map([1]))
    reveal_type(f.options(name="a")(1))
    return g(f(n))
@workflow(name="x")
def v(n: int) -> str: return w(n)
reveal_type(f(1))
reveal_type(g(1.0))
reveal_type(w.local(1))
reveal_type(v.local(n=2))
reveal_type(w.run(1))
def plain(x: int) -> bytes: return b""
reveal_type(node(plain, name="p", timeout_s=5)(1))
reveal_type(workflow(plain, name="p", priority=2).local(1))
f("a")
w.run(m=1)
"""


def test_calls_keep_their_types(tmp_path: Path) -> None:
    (tmp_path / "typed.py").write_text(TYPED)
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--config-file=", "--cache-dir", str(tmp_path / "cache"), "typed.py"],
        cwd=tmp_path, env={"MYPYPATH": str(ROOT)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    told = [line.partition("typed.py:")[2] for line in done.stdout.splitlines() if line.startswith("typed.py")]
    revealed = [line.partition('is "')[2].rstrip('"') for line in told if "Revealed" in line]
    assert revealed == [
        "float", "list[float]", "float", "float", "str", "str", "str", "wfplatform.authoring.platform.ExecutionHandle",
        "bytes", "bytes",
    ], done.stdout  # fmt: skip
    errors = [line for line in told if "error" in line]
    assert len(errors) == 2, done.stdout
    assert 'Argument 1 to "__call__" of "NodeFunction" has incompatible type "str"; expected "int"' in errors[0]
    assert 'Unexpected keyword argument "m" for "run" of "Workflow"' in errors[1] or "Missing" in errors[1]
