"""Documents lag unless something fails: links, commands, words, and what must never stand in a file."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.house.tree import ROOT, text_files

DOCUMENTS = [path for path in text_files() if path.suffix == ".md"]
LINK = re.compile(r"(?<!\\)\[[^\]\n]*\]\(<?([^)\s>]+)>?(?:\s+\"[^\"]*\")?\)")
# Written in two parts, so that this file does not hold what it forbids.
HOSTS = "|".join(
    re.escape(host + end)
    for host, end in [
        ("pypi.", "org"), ("pythonhosted.", "org"), ("registry.npmjs.", "org"), ("registry.yarnpkg.", "com"),
        ("deb.debian.", "org"), ("conda.anaconda.", "org"), ("cdn.", "jsdelivr"), ("unpkg.", "com"),
        ("cdnjs.", "cloudflare"), ("fonts.google", "apis"), ("esm.", "sh/"), ("cdn.", "bokeh"),
        ("cdn.", "holoviz"),
    ]
)  # fmt: skip
WORKPLACE = "|".join([r"/wor" + r"k/", r"/tmp/ba" + r"sh_jobs", r"\.\./sha" + r"red/", r"\bdesign\.m" + r"d\b"])


def prose(path: Path) -> str:
    """A document without its code."""
    text = re.sub(r"^(```|~~~).*?^\1", "", path.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    return re.sub(r"`[^`\n]*`", "", text)


def anchors(path: Path) -> set[str]:
    """The anchors that headings of a document make."""
    found: dict[str, int] = {}
    for heading in re.findall(r"^#{1,6}\s+(.+?)\s*$", path.read_text(encoding="utf-8"), re.MULTILINE):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
        slug = re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")
        found[slug] = found.get(slug, -1) + 1
        found.setdefault(f"{slug}-{found[slug]}", 0)
    return set(found)


def links(path: Path) -> Iterator[tuple[str, Path, str]]:
    """The links of a document that stay in the project: as written, file, anchor."""
    for target in LINK.findall(prose(path)):
        if re.match(r"[a-z][a-z0-9+.-]*:", target):
            continue
        place, _, anchor = target.partition("#")
        yield target, (path.parent / place).resolve() if place else path, anchor


def finds(pattern: str) -> list[str]:
    """Where a pattern stands in any file of the project."""
    known = re.compile(pattern, re.IGNORECASE)
    return [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()[:100]}"
        for path in text_files()
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if known.search(line)
    ]


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(path: Path) -> None:
    dead = [
        written
        for written, target, anchor in links(path)
        if not target.exists() or (anchor and target.suffix == ".md" and anchor not in anchors(target))
    ]
    assert dead == []


def test_every_document_can_be_reached() -> None:
    """From README.md, or from the index of docs/ or docs/why/."""
    indexes = [ROOT / "README.md", ROOT / "docs/README.md", ROOT / "docs/why/README.md"]
    waiting = [path for path in indexes if path.exists()]
    reached: set[Path] = set()
    while waiting:
        path = waiting.pop()
        if path not in reached:
            reached.add(path)
            if path.suffix == ".md":
                waiting += [target for _, target, _ in links(path) if target.is_file()]
    why = set((ROOT / "docs/why").glob("*.md"))
    assert sorted(str(path.relative_to(ROOT)) for path in why - reached) == []


def test_readme_names_two_commands_that_exist() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    named = set(re.findall(r"\bmake ([a-z][a-z-]*)", readme))
    assert {"demo", "test"} <= named
    assert named <= targets


def test_the_glossary_defines_every_word_and_the_verbs() -> None:
    glossary = (ROOT / "docs/glossary.md").read_text(encoding="utf-8")
    nouns = [
        "Workflow", "WorkflowVersion", "Node", "Node type", "Edge", "Parameter", "Execution", "NodeExecution",
        "Attempt", "Trigger", "Schedule", "Fire", "Plan", "Segment", "Artifact", "Event", "Effect", "Engine",
        "Worker",
    ]  # fmt: skip
    assert [noun for noun in nouns if f"\n### {noun}\n" not in glossary] == []


def test_no_file_names_a_registry_or_loads_from_elsewhere() -> None:
    assert finds(HOSTS) == []


def test_no_file_speaks_of_the_place_it_was_written_in() -> None:
    assert finds(WORKPLACE) == []
