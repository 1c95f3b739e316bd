"""What README.md promises to whoever has just cloned the project."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from urllib.parse import urlparse

import pandas as pd
import pytest

from tests.acceptance.analysis import assert_is_reference
from wfplatform.bootstrap import supervisor
from wfplatform.bootstrap.platform import EmbeddedPlatform
from wfplatform.examples.flights import TITLES
from wfplatform.settings import Settings

ROOT = Path(__file__).parents[2]
WFP = [sys.executable, "-c", "from wfplatform.cli import main; main()"]

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def home(open_folder: Path) -> Iterator[Path]:
    """A home of its own, in which nothing has run."""
    place = open_folder / "readme"
    yield place
    supervisor.stop(Settings.load(home=place))


@pytest.fixture
def reader(home: Path) -> Mapping[str, str]:
    return {**os.environ, "WFP_HOME": str(home), "PYTHONPATH": str(ROOT)}


def told(command: list[str], environment: Mapping[str, str], folder: Path) -> tuple[int, str, str]:
    """Exit code, output and errors of a command."""
    done = subprocess.run(
        command, env=dict(environment), cwd=folder, capture_output=True, text=True, check=False, timeout=200
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize(
    ("target", "command"), [("demo", ".venv/bin/wfp demo"), ("test", ".venv/bin/python -m pytest")]
)
def test_the_two_commands_set_up_and_do_what_they_say(target: str, command: str) -> None:
    code, out, err = told(["make", "-n", target], os.environ, ROOT)
    assert (code, err) == (0, "")
    first, *rest = out.splitlines()
    assert first.startswith(".ci/setup")
    assert any(command in line for line in rest)


def test_what_the_readme_links_and_names_is_there() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert (ROOT / "environment.yml").is_file()
    for command in ("pip install .", "wfp demo", "conda env create -f environment.yml", "make demo", "make test"):
        assert command in text
    [example] = re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert len([line for line in example.splitlines() if line.strip()]) <= 20


def test_the_demonstration_does_all_that_it_says_and_can_be_stopped(
    home: Path, reader: Mapping[str, str], tmp_path: Path
) -> None:
    code, out, err = told([*WFP, "demo"], reader, tmp_path)
    assert code == 0, f"{out}\n{err}"
    for title in TITLES.values():
        assert title in out
    [number] = re.findall(r"as execution ([0-9a-f-]{36}) on", out)
    with closing(EmbeddedPlatform(Settings.load(home=home))) as platform:
        execution = platform.execution(number)
        assert execution.state == "completed"
        assert_is_reference(execution.result(0))
        stored = [
            output["location"]
            for one in execution.nodes()
            for output in (one.outputs or {}).values()
            if "location" in output
        ]
        folder = Path(urlparse(platform.settings.artifacts_location).path)
    assert len(stored) > 20
    assert [place for place in stored if not (folder / place).is_file()] == []
    assert "<html" in (home / "demo" / "delays.html").read_text(encoding="utf-8")
    assert len(pd.read_parquet(home / "demo" / "flights")) == 336_776
    assert list(tmp_path.iterdir()) == [], "nothing is left where the command was given"

    code, out, _ = told([*WFP, "down"], reader, tmp_path)
    assert code == 0, out
    code, out, _ = told([*WFP, "status"], reader, tmp_path)
    assert (code, "does not run" in out) == (3, True)
    assert supervisor.status(Settings.load(home=home)) == []
