"""A user's code reaches workers that never saw it, from packages, scripts and notebooks; what is missing there is told first."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.integration import workload
from tests.integration.running import (
    PATIENCE_S,
    dask_process,
    dask_scheduler,
    free_port,
    in_script,
    script_environment,
    whole,
)
from wfplatform import workflow
from wfplatform.bootstrap import supervisor
from wfplatform.bootstrap.platform import EmbeddedPlatform
from wfplatform.settings import Settings

pytestmark = pytest.mark.xdist_group("platform")


def write(folder: Path, name: str, text: str) -> Path:
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(textwrap.dedent(text), encoding="utf-8")
    return file


def printed_by_cells(platform: EmbeddedPlatform, folder: Path, *cells: str) -> list[str]:
    """The lines that the cells of a notebook print, one after the other."""
    script = write(
        folder, "notebook.py",
        """
        import json, sys
        import nbformat
        from nbclient import NotebookClient

        cells = [nbformat.v4.new_code_cell(cell) for cell in json.loads(sys.argv[1])]
        notebook = nbformat.v4.new_notebook(cells=cells)
        NotebookClient(notebook, timeout=80, kernel_name="python3").execute()
        for cell in notebook.cells:
            for output in cell.outputs:
                print(output.get("text", ""), end="")
        """,
    )  # fmt: skip
    said = in_script(platform, script, json.dumps(cells))
    assert said.returncode == 0, said.stderr
    return said.stdout.splitlines()


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A script, and a package beside it whose classes move between workers."""
    write(
        tmp_path, "measures/__init__.py",
        """
        from measures.shape import Point
        """,
    )  # fmt: skip
    write(
        tmp_path, "measures/shape.py",
        """
        class Point:
            def __init__(self, x):
                self.x = x
        """,
    )  # fmt: skip
    write(
        tmp_path, "measures/scale.py",
        """
        FACTOR = 2
        def scaled(x):
            return x * FACTOR
        """,
    )  # fmt: skip
    write(
        tmp_path, "measures/work.py",
        """
        import time
        from measures import Point
        from wfplatform import node

        @node
        def place(x: int) -> Point:
            time.sleep(0.02)
            return Point(x)

        @node
        def gather(points: list[Point]) -> int:
            from measures.scale import scaled
            assert all(type(point) is Point for point in points)
            return sum(scaled(point.x) for point in points)
        """,
    )  # fmt: skip
    return write(
        tmp_path, "main.py",
        """
        from measures.work import gather, place
        from wfplatform import node, workflow

        OFFSET = 1

        @node
        def shift(total: int) -> int:
            return total + OFFSET

        @workflow
        def measured():
            return shift(gather(place.map(list(range(60)))))

        if __name__ == "__main__":
            execution = measured.run()
            print(execution.result(60), execution.record.version_id)
        """,
    )  # fmt: skip


def test_a_project_beside_a_script_travels_and_an_edit_is_a_new_version(
    platform: EmbeddedPlatform, project: Path
) -> None:
    def run() -> list[str]:
        said = in_script(platform, project)
        assert said.returncode == 0, said.stderr
        return said.stdout.split()

    total = 2 * sum(range(60)) + 1
    first, again = run(), run()
    assert first == again
    assert first[0] == str(total)
    helper = project.parent / "measures" / "scale.py"
    helper.write_text(helper.read_text(encoding="utf-8").replace("FACTOR = 2", "FACTOR = 3"), encoding="utf-8")
    edited = run()
    assert edited[0] == str(3 * sum(range(60)) + 1)
    assert edited[1] != first[1]
    helper.write_text(helper.read_text(encoding="utf-8").replace("FACTOR = 3", "FACTOR = 2"), encoding="utf-8")
    assert run() == first


def test_processes_that_a_node_starts_find_its_project(platform: EmbeddedPlatform, tmp_path: Path) -> None:
    write(
        tmp_path, "pooled.py",
        """
        import multiprocessing
        from wfplatform import node, workflow

        def squared(x):
            return x * x

        @node(timeout_s=60)
        def squares(n: int) -> list[int]:
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                return pool.map(squared, range(n))

        @workflow
        def pool(n: int):
            return squares(n)
        """,
    )  # fmt: skip
    script = write(
        tmp_path, "main.py",
        """
        import pooled
        if __name__ == "__main__":
            print(pooled.pool.run(n=3).result(90))
        """,
    )  # fmt: skip
    said = in_script(platform, script)
    assert said.stdout.split("\n")[0] == "[0, 1, 4]", said.stdout + said.stderr


def test_a_module_that_runs_its_workflow_when_imported_is_refused_on_workers(
    platform: EmbeddedPlatform, tmp_path: Path
) -> None:
    write(
        tmp_path, "eager.py",
        """
        from wfplatform import node, workflow

        @node
        def one() -> int:
            return 1

        @workflow
        def eager():
            return one()

        execution = eager.run()
        """,
    )  # fmt: skip
    script = write(
        tmp_path, "main.py",
        """
        import eager
        try:
            eager.execution.result(60)
        except Exception as error:
            print(error)
        """,
    )  # fmt: skip
    said = in_script(platform, script)
    assert "eager.run() was called on a worker" in said.stdout, said.stderr
    assert "__name__" in said.stdout


def test_functions_of_notebook_cells_travel(platform: EmbeddedPlatform, tmp_path: Path) -> None:
    said = printed_by_cells(
        platform,
        tmp_path,
        "from wfplatform import node, workflow\nbase = 10",
        "def helper(x):\n    return x + base",
        "@node\ndef step(x: int) -> int:\n    return helper(x)",
        "@workflow\ndef celled():\n    return step.map([1, 2, 3])",
        "print(celled.run().result(60))",
        "base = 20",
        "print(celled.run().result(60))",
    )
    assert said == ["[11, 12, 13]", "[21, 22, 23]"]


def test_a_traceback_names_the_users_files(platform: EmbeddedPlatform, tmp_path: Path) -> None:
    write(
        tmp_path, "faults/deep.py",
        """
        async def deep(x):
            return 1 / x  # in the package
        """,
    )  # fmt: skip
    script = write(
        tmp_path, "failing.py",
        """
        import warnings
        from faults.deep import deep
        from wfplatform import node, workflow

        @node
        async def shallow(x: int) -> float:
            warnings.warn("careful")
            return await deep(x)  # in the script

        @workflow
        def failing():
            return shallow(0)

        execution = failing.run()
        try:
            execution.result(60)
        except Exception as error:
            print(error)
        print("--")
        print(execution.nodes()[0].error["traceback"], end="")
        print("--")
        print(execution.logs()[0].message)
        """,
    )  # fmt: skip
    said = in_script(platform, script)
    assert said.returncode == 0, said.stderr
    raised, stored, logged = said.stdout.split("--\n")
    bare = "".join(line for line in stored.splitlines(keepends=True) if line.strip(" ~^\n"))
    assert bare == (
        "Traceback (most recent call last):\n"
        f'  File "{script}", line 9, in shallow\n    return await deep(x)  # in the script\n'
        f'  File "{tmp_path / "faults" / "deep.py"}", line 3, in deep\n    return 1 / x  # in the package\n'
        "ZeroDivisionError: division by zero\n"
    )
    assert stored.rstrip() in raised
    assert logged == f"UserWarning: careful ({script}:8)\n"


def test_a_traceback_names_the_cells_of_a_notebook(platform: EmbeddedPlatform, tmp_path: Path) -> None:
    said = printed_by_cells(
        platform,
        tmp_path,
        "from wfplatform import node, workflow",
        "def helper(x):\n    return 1 / x  # second cell",
        "@node\ndef step(x: int) -> float:\n    return helper(x)  # third cell",
        "@workflow\ndef celled():\n    return step(0)",
        "execution = celled.run()\nexecution.wait(60);",
        "print(execution.nodes()[0].error['traceback'])",
    )
    assert [line for line in said if line.strip(" ~^")] == [
        "Traceback (most recent call last):",
        '  File "Cell In[3]", line 3, in step',
        "    return helper(x)  # third cell",
        '  File "Cell In[2]", line 2, in helper',
        "    return 1 / x  # second cell",
        "ZeroDivisionError: division by zero",
    ]


def pretend(folder: Path, version: str) -> Path:
    """A distribution that is installed for a script and not for the workers."""
    place = folder / "site-packages"
    write(place, "wfpretend/__init__.py", f"VERSION = {version!r}\n")
    write(
        place,
        f"wfpretend-{version}.dist-info/METADATA",
        f"Metadata-Version: 2.1\nName: wfpretend\nVersion: {version}\n",
    )
    write(place, f"wfpretend-{version}.dist-info/top_level.txt", "wfpretend\n")
    write(place, f"wfpretend-{version}.dist-info/RECORD", "wfpretend/__init__.py,,\n")
    return place


NEEDING = """
import wfpretend
from wfplatform import node, workflow

@node
def version() -> str:
    return wfpretend.VERSION

@workflow
def needing():
    return version()

needing.run()
"""


def test_a_package_that_workers_lack_is_told_before_anything_starts(platform: EmbeddedPlatform, tmp_path: Path) -> None:
    script = write(tmp_path, "needs.py", NEEDING)
    site = pretend(tmp_path, "1.2.3")
    environment = script_environment(platform)
    environment["PYTHONPATH"] += os.pathsep + str(site)
    said = subprocess.run(
        [sys.executable, str(script)], env=environment, capture_output=True, text=True, check=False, timeout=90
    )
    assert said.returncode != 0
    last = said.stderr.strip().split("\n")
    assert any("wfpretend 1.2.3 is needed, and is not installed on tls://127.0.0.1:" in line for line in last), last
    listed = platform.reader.executions(platform.run(one, {}).record.tenant_id, limit=50)
    assert "needing" not in {record.workflow_name for record in listed.items}


def test_that_holds_for_the_first_run_of_a_platform_too(open_folder: Path, tmp_path: Path) -> None:
    script = write(tmp_path, "first.py", NEEDING)
    settings = Settings.load(home=open_folder / "cold", workers=1)
    # Not by its environment, which the workers it starts would share.
    found = f"import sys; sys.path.append({str(pretend(tmp_path, '1.2.3'))!r})\n"
    script.write_text(found + script.read_text(encoding="utf-8"), encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    environment |= {"WFP_HOME": str(settings.home), "WFP_WORKERS": "1"}
    try:
        said = subprocess.run(
            [sys.executable, str(script)], env=environment, capture_output=True, text=True, check=False, timeout=90
        )
    finally:
        supervisor.stop(settings)
        shutil.rmtree(settings.home, ignore_errors=True)
    assert said.returncode != 0
    assert "needing cannot run: wfpretend 1.2.3 is needed, and is not installed on" in said.stderr, said.stderr


@workflow
def one() -> Any:
    return workload.small()


@pytest.fixture(scope="module")
def elsewhere(open_folder: Path) -> Iterator[EmbeddedPlatform]:
    """A platform on a Dask cluster that somebody else started, with one worker of two threads and without nanny."""
    address = f"tcp://127.0.0.1:{free_port()}"
    path = [pretend(open_folder / "worker", "1.0.0")]
    settings = Settings.load(
        home=open_folder / "elsewhere", scheduler_address=address, lease_s=2, stop_grace_s=0.5, idle_stop_s=600
    )
    worker = ("worker", address, "--nthreads", "2", "--no-nanny", "--no-dashboard", "--host", "127.0.0.1")
    with ExitStack() as stack:
        stack.enter_context(dask_scheduler(address, path=path))
        stack.enter_context(dask_process(*worker, "--local-directory", str(open_folder), path=path))
        yield stack.enter_context(whole(settings))


def test_a_cluster_that_exists_is_used(elsewhere: EmbeddedPlatform, tmp_path: Path) -> None:
    mark = str(tmp_path / "mark")

    @workflow
    def both(mark: str, asked: str) -> Any:
        return workload.spell.map(list(range(4)), mark=mark), workload.ask.map(list(range(8)), mark=asked, beside=2)

    assert {row.name for row in supervisor.status(elsewhere.settings)} == {"supervisor", "postgres", "engine-0"}
    spells, asked = elsewhere.run(both, {"mark": mark, "asked": f"{mark}.asked"}).result(PATIENCE_S)
    assert len({pid for pid, _, _ in [*spells, *asked]}) == 1
    ordered = sorted((began_s, ended_s) for _, began_s, ended_s in spells)
    assert all(before[1] <= after[0] for before, after in itertools.pairwise(ordered)), "one at a time"
    assert any(b < e2 and b2 < e for _, b, e in asked for _, b2, e2 in asked if b != b2), "beside each other"


def test_another_version_on_the_workers_is_a_warning(elsewhere: EmbeddedPlatform, tmp_path: Path) -> None:
    script = write(
        tmp_path, "differs.py",
        """
        import wfpretend
        from wfplatform import node, workflow

        @node
        def version() -> str:
            return wfpretend.VERSION

        @workflow
        def differing():
            return version()

        print(differing.run().result(60))
        """,
    )  # fmt: skip
    site = pretend(tmp_path, "1.2.3")
    environment = script_environment(elsewhere)
    environment["PYTHONPATH"] += os.pathsep + str(site)
    environment["WFP_SCHEDULER_ADDRESS"] = elsewhere.address.scheduler_address
    said = subprocess.run(
        [sys.executable, str(script)], env=environment, capture_output=True, text=True, check=False, timeout=90
    )
    assert said.returncode == 0, said.stderr
    assert said.stdout.strip() == "1.0.0"
    assert "RequirementWarning" in said.stderr
    assert "wfpretend 1.2.3 is needed, and 1.0.0 is installed on tcp://127.0.0.1:" in said.stderr
