"""What users do to their code between two runs, and which nodes then run: counted by files that the nodes write."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.integration import workload
from tests.integration.running import PATIENCE_S, in_script, lines, node, script_environment
from wfplatform import Cache, workflow
from wfplatform import node as node_of
from wfplatform.authoring.platform import RunOptions
from wfplatform.bootstrap.platform import EmbeddedPlatform
from wfplatform.core.forecast import Fate

pytestmark = pytest.mark.xdist_group("platform")

DEEP = "def deep(n):\n    return n * 2\n\n\ndef lonely(n):\n    return n\n"
MID = "from garden import deep\n\n\ndef mid(n):\n    return deep.deep(n) + 1\n"
FLOW = """
from pathlib import Path
from wfplatform import node, workflow
from garden import mid


def told(mark, word):
    with Path(mark).open("a") as out:
        out.write(f"{word}\\n")


@node(cache=True)
def sown(n: int, mark: str) -> int:
    told(mark, "sown")
    return n


@node(cache=True)
def grown(n: int, mark: str) -> int:
    told(mark, "grown")
    return mid.mid(n)


@node(cache=True)
def cut(n: int, mark: str) -> int:
    told(mark, "cut")
    return n + 100


@node(cache=True)
def watered(n: int, mark: str) -> int:
    told(mark, "watered")
    return n + 1000


@workflow
def garden(n: int, mark: str):
    first = sown(n, mark)
    return cut(grown(first, mark), mark), watered(first, mark)
"""
SCRIPT = """
import json, sys
from garden.flow import garden

told = garden.plan(n=3, mark=sys.argv[1])
result = garden.run(n=3, mark=sys.argv[1]).result(60)
print(json.dumps([{one.name: str(one.fate) for one in told.nodes}, list(result)]))
"""


DECLARING = """
import sys
from pathlib import Path
from wfplatform import Cache, node, workflow


@node(cache=Cache(variables=("WFP_TEST_PLACE",), packages=("pydantic",)))
def placed(mark: str) -> int:
    with Path(mark).open("a") as out:
        out.write("placed\\n")
    return 1


@workflow
def placing(mark: str):
    return placed(mark)


if __name__ == "__main__":
    print(placing.plan(mark=sys.argv[1]).nodes[0].fate)
    execution = placing.run(mark=sys.argv[1])
    execution.result(60)
    for line in execution.logs():
        print(line.message)
"""


class Garden:
    """A project that is edited, and run by a new process each time."""

    def __init__(self, platform: EmbeddedPlatform, folder: Path, mark: str) -> None:
        self.platform, self.folder, self.mark = platform, folder, mark
        self.seen = 0
        (folder / "garden").mkdir()
        self.write("__init__.py", "")
        self.write("deep.py", DEEP)
        self.write("mid.py", MID)
        self.write("flow.py", FLOW)
        (folder / "script.py").write_text(SCRIPT)

    def write(self, name: str, text: str) -> None:
        (self.folder / "garden" / name).write_text(text)

    def run(self) -> tuple[dict[str, str], list[int], list[str]]:
        """What was told before, what came out, and which nodes ran."""
        done = in_script(self.platform, self.folder / "script.py", self.mark)
        assert done.returncode == 0, done.stdout + done.stderr
        told, result = json.loads(done.stdout)
        written = lines(self.mark)
        ran, self.seen = sorted(written[self.seen :]), len(written)
        return told, result, ran


def test_edits_run_what_they_change_and_nothing_else(platform: EmbeddedPlatform, tmp_path: Path, mark: str) -> None:
    garden = Garden(platform, tmp_path, mark)
    told, result, ran = garden.run()
    assert (result, ran) == ([107, 1003], ["cut", "grown", "sown", "watered"])
    assert told == {
        "sown": "run",
        "grown": "run or be reused",
        "cut": "run or be reused",
        "watered": "run or be reused",
    }
    reused = dict.fromkeys(told, "be reused")

    # Looks, and what nobody reaches.
    garden.write(
        "deep.py", '# why\ndef deep(n):\n    "Doubles."\n    return (\n        n * 2)\ndef lonely(n): return 5\n'
    )
    garden.write(
        "flow.py", "# a comment\n" + FLOW.replace('    told(mark, "cut")', '    # to be seen\n\n    told(mark, "cut")')
    )
    assert garden.run() == (reused, [107, 1003], [])

    # Two calls deep: who depends on it runs, and what gets something else from there.
    garden.write("deep.py", DEEP.replace("n * 2", "n * 3"))
    told, result, ran = garden.run()
    assert (result, ran) == ([110, 1003], ["cut", "grown"])
    assert told == {"sown": "be reused", "grown": "run", "cut": "run or be reused", "watered": "be reused"}

    # Another way to the same value: early cut-off.
    garden.write("deep.py", DEEP.replace("n * 2", "n + n + n"))
    told, result, ran = garden.run()
    assert (result, ran) == ([110, 1003], ["grown"])
    assert told["cut"] == "run or be reused"

    # Back to what was: nothing is forgotten.
    garden.write("deep.py", DEEP)
    assert garden.run() == (reused, [107, 1003], [])


def chained(salt: str, **options: Any) -> Any:
    @node_of(cache=Cache(salt=salt), **options)
    def parity(n: int, mark: str) -> int:
        workload.tell(mark, "parity")
        return n % 2

    @node_of(cache=Cache(salt=salt))
    def named(odd: int, mark: str) -> str:
        workload.tell(mark, "named")
        return "odd" if odd else "even"

    @workflow
    def parities(n: int, mark: str) -> Any:
        return named(parity(n, mark), mark)

    return parities


def test_a_result_that_is_as_before_runs_nothing_after_it(platform: EmbeddedPlatform, mark: str) -> None:
    flow = chained(mark)
    assert [platform.run(flow, {"n": n, "mark": mark}).result(PATIENCE_S) for n in (3, 5, 7, 4)] == ["odd"] * 3 + [
        "even"
    ]
    assert [lines(mark).count(name) for name in ("parity", "named")] == [4, 2]


def test_computing_anew_replaces_what_is_kept(platform: EmbeddedPlatform, mark: str) -> None:
    flow, parameters = chained(mark), {"n": 3, "mark": mark}
    first = platform.run(flow, parameters)
    assert first.result(PATIENCE_S) == "odd"
    anew = RunOptions(refresh=("*",))
    told = platform.plan(flow, parameters, anew)
    assert [one.fate for one in told.nodes] == [Fate.RUNS, Fate.RUNS]
    second = platform.run(flow, parameters, anew)
    assert second.result(PATIENCE_S) == "odd"
    assert second.record.refresh == ("*",)
    third = platform.run(flow, parameters)
    assert third.result(PATIENCE_S) == "odd"
    assert [node(third, name).reused_from for name in ("parity", "named")] == [second.id] * 2
    fourth = platform.run(flow, parameters, RunOptions(refresh=("parity",)))
    assert fourth.result(PATIENCE_S) == "odd"
    assert [node(fourth, name).reused_from for name in ("parity", "named")] == [None, second.id]
    assert [lines(mark).count(name) for name in ("parity", "named")] == [3, 2]


def test_children_are_computed_anew_with_their_parent(platform: EmbeddedPlatform, mark: str) -> None:
    inner = chained(mark)

    @workflow
    def outer(n: int, mark: str) -> Any:
        return inner(n, mark)

    parameters = {"n": 3, "mark": mark}
    for options in (RunOptions(), RunOptions(), RunOptions(refresh=("*",))):
        assert platform.run(outer, parameters, options).result(PATIENCE_S) == "odd"
    assert [lines(mark).count(name) for name in ("parity", "named")] == [2, 2]


def test_what_ran_in_another_environment_than_declared_is_not_kept(
    platform: EmbeddedPlatform, tmp_path: Path, mark: str
) -> None:
    """Workers have the environment that the platform was started in, whatever the process has that publishes."""
    script = tmp_path / "script.py"
    script.write_text(DECLARING)

    def run(**env: str) -> list[str]:
        done = subprocess.run(
            [sys.executable, str(script), mark],
            env={**script_environment(platform), **env}, capture_output=True, text=True, check=False, timeout=90,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout.splitlines()

    assert [run()[0] for _ in range(2)] == ["run", "be reused"]
    assert len(lines(mark)) == 1
    for _ in range(2):
        fate, said = run(WFP_TEST_PLACE="elsewhere")
        assert fate == "run"
        kept = "The result is not kept for reuse"
        assert said == f"{kept}: $WFP_TEST_PLACE here is not as where the workflow was published."
    assert len(lines(mark)) == 3
    assert run()[0] == "be reused"


def test_a_plan_runs_and_records_nothing_and_says_what_holds(platform: EmbeddedPlatform, mark: str) -> None:
    flow, parameters = chained(mark), {"n": 3, "mark": mark}
    before = platform.plan(flow, parameters)
    assert before.slots == 2
    assert [one.fate for one in before.nodes] == [Fate.RUNS, Fate.OPEN]
    assert lines(mark) == []
    first = platform.run(flow, parameters)
    first.result(PATIENCE_S)
    after = platform.plan(flow, parameters)
    assert [one.reused_from for one in after.nodes] == [(first.id,), (first.id,)]
    assert (after.expected_s, after.unseen) == (0.0, ())
    other = platform.plan(chained(mark, timeout_s=60), {"n": 5, "mark": mark})
    assert other["parity"].why.startswith(
        f"no result for these inputs; the last is of execution {str(first.id)[:13]}, "
    )


def test_the_command_tells_the_same(platform: EmbeddedPlatform, tmp_path: Path, mark: str) -> None:
    Garden(platform, tmp_path, mark)

    def wfp(*words: str) -> str:
        given = ("garden.flow:garden", "-p", "n=11", "-p", f"mark={mark}")
        done = subprocess.run(
            [sys.executable, "-m", "wfplatform.cli", words[0], *given, *words[1:]],
            env=script_environment(platform), cwd=tmp_path, capture_output=True, text=True, check=False, timeout=90,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def fates(*words: str) -> dict[str, str]:
        return {one["node"]: one["would"] for one in json.loads(wfp("plan", "--json", *words))["nodes"]}

    assert set(fates()) == {"sown", "grown", "cut", "watered"}
    wfp("run", "--watch")
    assert sorted(lines(mark)) == ["cut", "grown", "sown", "watered"]
    text = wfp("plan")
    assert text.startswith("garden: of 4 nodes 4 would be reused.")
    assert "result of execution " in text
    assert fates("--refresh-node", "watered") == {
        **dict.fromkeys(("sown", "grown", "cut"), "be reused"),
        "watered": "run",
    }
    assert len(lines(mark)) == 4
    wfp("run", "--watch", "--refresh-node", "watered")
    assert lines(mark)[4:] == ["watered"]
    wfp("run", "--watch", "--refresh")
    assert len(lines(mark)) == 9
