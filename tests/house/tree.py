"""The project as the house tests see it: its files, its modules and what stands in them.

Refuses: judging; each test says itself what it wants.
"""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

__all__ = ["ROOT", "SOURCE", "Module", "imported_names", "modules", "pyproject", "text_files", "words"]

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "wfplatform"
_LEFT_OUT = {
    ".git", ".hypothesis", ".import_linter_cache", ".mypy_cache", ".pytest_cache", ".ruff_cache", ".tools",
    ".venv", "__pycache__", "build", "dask-scratch-space", "dist", "node_modules",
}  # fmt: skip
_TEXT = {
    "", ".cfg", ".css", ".html", ".in", ".ini", ".ipynb", ".js", ".json", ".mako", ".md", ".py", ".sh",
    ".sql", ".toml", ".ts", ".tsx", ".txt", ".yaml", ".yml",
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Module:
    """A Python file: its dotted name, its place, its text and its tree."""

    name: str
    path: Path
    text: str
    tree: ast.Module

    @property
    def layer(self) -> str:
        """The first name below the package: `wfplatform.core.graph` stands in `core`."""
        return [*self.name.split("."), ""][1]

    @property
    def public(self) -> bool:
        """Whether no part of the name begins with an underscore, `__init__` and `__main__` apart."""
        return not any(part.startswith("_") and not part.startswith("__") for part in self.name.split("."))

    def at(self, node: ast.AST) -> str:
        """`path:line`, as editors read it."""
        return f"{self.path.relative_to(ROOT)}:{getattr(node, 'lineno', 1)}"


@cache
def modules(folder: Path = SOURCE) -> tuple[Module, ...]:
    """All modules below a folder of the project, by name."""
    found = []
    for path in sorted(folder.rglob("*.py")):
        inside = path.relative_to(ROOT)
        if _LEFT_OUT.isdisjoint(inside.parts):
            text = path.read_text(encoding="utf-8")
            parts = inside.with_suffix("").parts
            name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
            found.append(Module(name=name, path=path, text=text, tree=ast.parse(text, str(path))))
    return tuple(found)


def imported_names(module: Module) -> Iterator[tuple[str, ast.stmt]]:
    """Every imported dotted name with its statement, those inside functions and `TYPE_CHECKING` too."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, node
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module, node


@cache
def text_files() -> tuple[Path, ...]:
    """Every file of the project that is text, caches and what was set up left out."""
    return tuple(
        path
        for path in sorted(ROOT.rglob("*"))
        if path.suffix in _TEXT and _LEFT_OUT.isdisjoint(path.relative_to(ROOT).parts) and path.is_file()
    )


@cache
def pyproject() -> dict[str, Any]:
    """pyproject.toml, read."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def words(name: str) -> list[str]:
    """The words of an identifier, lower case: `HTTPRequestNode` -> http, request, node."""
    parted = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|_+", " ", name)
    return parted.lower().split()
