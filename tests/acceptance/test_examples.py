"""Every Python example of README.md and docs/ runs as printed and prints what stands below it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.acceptance.document import blocks, run

ROOT = Path(__file__).parents[2]
DOCUMENTS = [path for path in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))) if blocks(path)]

# A document is a session of many runs, some of them from the command line.
pytestmark = [pytest.mark.xdist_group("acceptance"), pytest.mark.timeout(400)]


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.stem)
def test_the_examples_of_a_document_run(path: Path, surroundings: Mapping[str, str], tmp_path: Path) -> None:
    run(path, tmp_path, surroundings)


def test_the_pages_with_examples_have_them() -> None:
    expected = {"README", "cli", "how-execution-works", "quickstart", "settings", "writing-workflows"}
    assert {path.stem for path in DOCUMENTS} == expected


def test_no_code_in_a_document_is_of_an_unknown_kind() -> None:
    kinds = {
        words.split(" ")[0]
        for path in (ROOT / "README.md", *(ROOT / "docs").rglob("*.md"))
        for words in re.findall(r"^```([^\n`]+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    }
    assert kinds <= {"console", "python", "sql", "text"}
