"""The tutorial notebook runs from its first cell to its last on a real platform, and is kept without outputs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).parents[2] / "notebooks" / "flights.ipynb"

pytestmark = [pytest.mark.xdist_group("acceptance"), pytest.mark.timeout(300)]


def printed(notebook: Any) -> str:
    """All that its cells showed as text."""
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    return "\n".join(str(one.get("text") or one.get("data", {}).get("text/plain", "")) for one in outputs)


def test_it_is_kept_without_outputs() -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.id for cell in cells if cell.outputs or cell.execution_count is not None] == []


def test_it_runs_and_shows_what_it_says(surroundings: Mapping[str, str], tmp_path: Path) -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    client = NotebookClient(
        notebook, timeout=120, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    )
    client.execute(env=dict(surroundings))
    text = printed(notebook)
    assert "completed: 76 of 76 elements" in text
    assert "['airlines', 'airports', 'planes', 'year_flights', 'year_weather']" in text
    assert "lock" in text, "what cannot travel is named"
    assert "careless failed: KeyError" in text
    assert "['arrivals']" in text, "the mended workflow reuses what was read"
    charts = [
        output.data["text/html"]
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if "<iframe" in output.get("data", {}).get("text/html", "")
    ]
    assert len(charts) == 1
