"""What the documents say of commands, settings and the picture is what the code has."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

from wfplatform.examples.flights import flights
from wfplatform.settings import Settings

DOCS = Path(__file__).parents[2] / "docs"


def loaded(path: Path) -> ModuleType:
    """A script of the documents as a module."""
    spec = importlib.util.spec_from_file_location(f"docs_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def reference() -> ModuleType:
    return loaded(DOCS / "reference.py")


def test_every_setting_is_documented(reference: ModuleType) -> None:
    text = (DOCS / "settings.md").read_text(encoding="utf-8")
    assert text == reference.documented(text, reference.settings_table()), "python docs/reference.py"
    assert [name for name in Settings.model_fields if f"| `WFP_{name.upper()}` |" not in text] == []


def test_every_command_and_option_is_documented(reference: ModuleType) -> None:
    text = (DOCS / "cli.md").read_text(encoding="utf-8")
    written = reference.commands()
    assert text == reference.documented(text, written), "python docs/reference.py"
    named = set(re.findall(r"^### `wfp ([^`]+)`$", written, re.MULTILINE))
    assert {"demo", "run", "up", "down", "status", "executions show", "workflows list", "db upgrade"} <= named
    assert {"--json", "--debug", "| 130 |"} <= {word for word in ("--json", "--debug", "| 130 |") if word in text}


def test_the_picture_shows_the_workflow() -> None:
    picture = (DOCS / "images" / "flights.svg").read_text(encoding="utf-8")
    assert picture == loaded(DOCS / "images" / "draw.py").drawing(flights.graph), "python docs/images/draw.py"
    nodes = set(re.findall(r'data-node="([^"]+)"', picture))
    edges = set(re.findall(r'data-edge="([^"]+)"', picture))
    assert nodes == {node.id for node in flights.graph.nodes}
    assert edges == {f"{link.source} {link.target}" for links in flights.graph.links.values() for link in links}
    assert "prefers-color-scheme: dark" in picture
