"""What README.md promises to whoever has just cloned the project."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from urllib.parse import urlparse

import psycopg
import pytest

from tests.acceptance.analysis import assert_is_reference
from wfplatform.bootstrap import supervisor
from wfplatform.bootstrap.platform import EmbeddedPlatform
from wfplatform.examples.flights import TITLES
from wfplatform.settings import Settings

ROOT = Path(__file__).parents[2]
WFP = [sys.executable, "-c", "from wfplatform.cli import main; main()"]

NAMED = ("chart", "data set", "artifacts", "every node", "what it wrote", "from Python", "in SQL", "the data set")
"""What the demonstration says at its end."""

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def home(open_folder: Path) -> Iterator[Path]:
    """A home of its own, in which nothing has run."""
    place = open_folder / "readme"
    yield place
    supervisor.stop(Settings.load(home=place))


@pytest.fixture
def reader(home: Path, tmp_path: Path) -> Mapping[str, str]:
    return {**os.environ, "HOME": str(tmp_path), "WFP_HOME": str(home), "PYTHONPATH": str(ROOT)}


def told(command: list[str], environment: Mapping[str, str], folder: Path) -> tuple[int, str, str]:
    """Exit code, output and errors of a command, as if nothing of these tests had been started by make."""
    env = {name: value for name, value in environment.items() if not name.startswith(("MAKE", "MFLAGS"))}
    done = subprocess.run(command, env=env, cwd=folder, capture_output=True, text=True, check=False, timeout=200)
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


def make_demo() -> list[str]:
    """`make demo`; where the environment was not made by its first step, without that step, which would make it anew."""
    return ["make", "demo"] if (ROOT / ".venv" / ".set-up-test").is_file() else ["make", "-o", "setup", "demo"]


def test_make_demo_does_all_that_it_says_and_so_do_the_commands_it_names(
    home: Path, reader: Mapping[str, str], tmp_path: Path
) -> None:
    before = {path.name for path in ROOT.iterdir() if not path.name.startswith(".")}
    code, out, err = told(make_demo(), reader, ROOT)
    assert code == 0, f"{out}\n{err}"
    assert {path.name for path in ROOT.iterdir() if not path.name.startswith(".")} == before, "nothing is left behind"
    for title in TITLES.values():
        assert title in out
    [number] = re.findall(r"as execution ([0-9a-f-]{36}) on", out)
    with closing(EmbeddedPlatform(Settings.load(home=home))) as platform:
        execution = platform.execution(number)
        assert execution.state == "completed"
        assert_is_reference(execution.result(0))
        nodes = execution.nodes()
        outputs = [output for one in nodes for output in (one.outputs or {}).values()]
        stored = [output["location"] for output in outputs if "location" in output]
        folder = Path(urlparse(platform.settings.artifacts_location).path)
    assert len(stored) > 20
    assert [place for place in stored if not (folder / place).is_file()] == []

    says = dict(re.findall(rf"^({'|'.join(NAMED)})  +(\S.*)$", out, re.MULTILINE))
    assert tuple(says) == NAMED
    assert says["chart"] == str(home / "demo" / "delays.html")
    assert "<html" in Path(says["chart"]).read_text(encoding="utf-8")
    assert says["artifacts"].startswith(f"{folder} (")
    assert says["data set"].startswith(f"{home / 'demo' / 'flights'} (12 Parquet files, ")
    assert_they_work(says, reader, number, [one.node for one in nodes])

    code, out, _ = told([*WFP, "down"], reader, tmp_path)
    assert code == 0, out
    code, out, _ = told([*WFP, "status"], reader, tmp_path)
    assert (code, "does not run" in out) == (3, True)
    assert supervisor.status(Settings.load(home=home)) == []


def assert_they_work(says: Mapping[str, str], reader: Mapping[str, str], number: str, nodes: list[str]) -> None:
    """What the demonstration names at its end is typed where `make demo` was."""
    code, out, err = told(["bash", "-c", f"{says['every node']} --json"], reader, ROOT)
    assert code == 0, err
    shown = json.loads(out)
    assert (shown["id"], shown["state"], len(shown["nodes"])) == (number, "Completed", len(set(nodes)))
    code, _, err = told(["bash", "-c", says["what it wrote"]], reader, ROOT)
    assert code == 0, err

    first, result = says["from Python"].split("; ")
    script = f"import pandas; {first}; print(*{result}); print(len({says['the data set']}))"
    code, out, err = told([sys.executable, "-c", script], reader, ROOT)
    assert code == 0, err
    keys, rows = out.splitlines()
    assert set(TITLES) <= set(keys.split())
    assert rows == "336776"

    [dsn] = re.findall(r"^psql '([^']+)'", says["in SQL"])
    with psycopg.connect(dsn) as link:
        found = link.execute("select state from execution where id = %s", (number,)).fetchall()
        assert found == [("completed",)]
        found = link.execute("select count(*) from node_execution where execution_id = %s", (number,)).fetchall()
        assert found == [(len(nodes),)]
        link.execute("select message from node_log where execution_id = %s", (number,))
