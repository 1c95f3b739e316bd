"""What the tests themselves keep to."""

from __future__ import annotations

import ast
import re

from tests.house.tree import ROOT, SOURCE, modules

TESTS = ROOT / "tests"
KINDS = {"acceptance", "chaos", "contract", "golden", "house", "integration", "simulation", "unit"}
NEVER = {"pytest.mark.skip", "pytest.mark.xfail", "pytest.xfail", "unittest.skip"}
REAL = ("tests.acceptance.", "tests.chaos.", "tests.contract.", "tests.integration.")


def test_every_test_is_of_a_kind() -> None:
    folders = {path.name for path in TESTS.iterdir() if path.is_dir() and not path.name.startswith(("_", "."))}
    assert folders <= KINDS
    assert sorted(path.name for path in TESTS.glob("test_*.py")) == []


def test_unit_tests_mirror_the_source() -> None:
    strays = []
    for path in sorted((TESTS / "unit").rglob("test_*.py")):
        inside = path.relative_to(TESTS / "unit")
        folder = SOURCE / inside.parent
        known = {entry.stem for entry in folder.iterdir()} if folder.is_dir() else set()
        subject = path.stem.removeprefix("test_")
        # test_plan.py and test_plan_reuse.py both belong to plan; a package as a whole goes by its own name.
        if not any(subject == name or subject.startswith(f"{name}_") for name in known | {folder.name}):
            strays.append(str(inside))
    assert strays == [], "wfplatform/compiler/plan.py is tested by tests/unit/compiler/test_plan*.py"


def test_nothing_is_skipped_for_good() -> None:
    """A test may be skipped where its subject cannot exist (another system, another account), and says so."""
    skipped = [
        f"{module.at(node)} {ast.unparse(node)[:80]}"
        for module in modules(TESTS)
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Attribute) and (ast.unparse(node) in NEVER or node.attr == "importorskip")
    ]
    silent = [
        f"{module.at(node)} {ast.unparse(node)[:80]}"
        for module in modules(TESTS)
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Call)
        and ast.unparse(node.func) == "pytest.mark.skipif"
        and not any(word.arg == "reason" for word in node.keywords)
    ]
    assert (skipped, silent) == ([], []), "a skipped check is not a check"


def test_integration_uses_the_real_thing() -> None:
    pattern = re.compile(r"\b(unittest\.mock|MagicMock|monkeypatch|MonkeyPatch|mocker)\b")
    faked = [module.name for module in modules(TESTS) if module.name.startswith(REAL) and pattern.search(module.text)]
    assert faked == []


def test_a_test_asserts_by_a_condition_never_after_a_pause() -> None:
    """A pause is allowed inside a polling loop, and inside a node or a process that has to be busy."""
    pauses = []
    for module in modules(TESTS):
        for function in ast.walk(module.tree):
            if not isinstance(function, ast.FunctionDef) or not function.name.startswith("test_"):
                continue
            pauses += [
                module.at(line) for line in straight(function.body) if re.search(r"\bsleep\(", ast.unparse(line))
            ]
    assert pauses == []


def straight(body: list[ast.stmt]) -> list[ast.stmt]:
    """The statements of a test that run once: what loops and inner functions do is theirs."""
    found: list[ast.stmt] = []
    for line in body:
        if isinstance(line, ast.With | ast.Try | ast.If):
            found += straight(line.body)
        elif not isinstance(line, ast.While | ast.For | ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.append(line)
    return [line for line in found if isinstance(line, ast.Expr)]


def test_test_files_are_short() -> None:
    long = {module.name: count for module in modules(TESTS) if (count := module.text.count("\n")) > 600}
    assert long == {}
