"""From MODULE:WORKFLOW to the workflow."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from wfplatform.cli.target import find_workflow, workflows_in
from wfplatform.errors import NotFoundError, UserError

SOURCE = """
from wfplatform import node, workflow

@node
def one() -> int:
    return 1

@workflow
def daily() -> int:
    return one()

@workflow(name="the weekly one")
def weekly() -> int:
    return one()

number = 3
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A working folder with modules, forgotten afterwards."""
    before = set(sys.modules)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "cli_shop.py").write_text(SOURCE)
    (tmp_path / "cli_single.py").write_text(SOURCE.replace("@workflow(name", "@node\ndef two(): ...\n#("))
    (tmp_path / "cli_none.py").write_text("x = 1\n")
    (tmp_path / "cli_broken.py").write_text("import math\n\nraise RuntimeError('not today')\n")
    (tmp_path / "cli_needs.py").write_text("import there_is_no_such_package\n")
    (tmp_path / "cli_ends.py").write_text("import sys\nsys.exit(5)\n")
    package = tmp_path / "deep" / "cli_package"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "flow.py").write_text("from cli_package.other import daily\n")
    (package / "other.py").write_text(SOURCE)
    yield tmp_path
    for name in set(sys.modules) - before:
        if name.startswith("cli_"):
            del sys.modules[name]


@pytest.mark.parametrize(
    "target", ["cli_shop:daily", "cli_shop.py:daily", "./cli_shop.py:daily", "deep/cli_package/other.py:daily"]
)
def test_modules_and_paths(folder: Path, target: str) -> None:
    assert find_workflow(target).name == "daily"


def test_a_workflow_may_be_meant_by_its_own_name(folder: Path) -> None:
    assert find_workflow("cli_shop:the weekly one").name == "the weekly one"
    assert find_workflow("cli_shop:weekly").name == "the weekly one"


def test_a_module_of_a_package_is_imported_as_one(folder: Path) -> None:
    assert find_workflow("deep/cli_package/flow.py:daily").__module__ == "cli_package.other"


def test_its_own_workflows_come_first(folder: Path) -> None:
    find_workflow("cli_shop:daily")
    assert list(workflows_in(sys.modules["cli_shop"])) == ["daily", "weekly"]


def test_one_workflow_needs_no_name(folder: Path) -> None:
    assert find_workflow("cli_single").name == "daily"


@pytest.mark.parametrize(
    ("target", "code", "words"),
    [
        ("cli_shop:dayly", "workflow_not_found", ["It has: daily, weekly", "mean daily"]),
        ("cli_shop:number", "workflow_not_found", ["is a int", "daily, weekly"]),
        ("cli_none:daily", "workflow_not_found", ["cli_none has no workflow", "@workflow"]),
        ("cli_nowhere:daily", "module_not_found", ["no module 'cli_nowhere'"]),
        ("nowhere.py:daily", "module_not_found", ["no file nowhere.py"]),
        ("cli_shop", "bad_target", ["several workflows: daily, weekly"]),
        (":daily", "bad_target", ["names no workflow"]),
        ("cli_shop:", "bad_target", ["names no workflow"]),
        ("cli_broken:daily", "module_failed", ["line 3", "cli_broken.py", "RuntimeError: not today"]),
        ("cli_needs:daily", "module_failed", ["there_is_no_such_package"]),
        ("cli_ends:daily", "module_failed", ["SystemExit: 5"]),
    ],
)
def test_what_is_wrong_is_told(folder: Path, target: str, code: str, words: list[str]) -> None:
    with pytest.raises(UserError) as caught:
        find_workflow(target)
    assert caught.value.code == code
    assert [word for word in words if word not in str(caught.value)] == []
    assert caught.value.exit_code == 2


def test_a_file_that_hides_behind_another_module_is_refused(folder: Path) -> None:
    (folder / "json.py").write_text(SOURCE)
    with pytest.raises(UserError, match="belongs to"):
        find_workflow("json.py:daily")


def test_not_found_is_a_kind_of_its_own(folder: Path) -> None:
    with pytest.raises(NotFoundError):
        find_workflow("cli_shop:nothing")
