"""`wfp` as people and programs run it: a process of its own, on a whole platform."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.integration.running import broken_engines

REPOSITORY = Path(__file__).parents[2]
ESCAPE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")

SHOP = '''
"""Workflows for the tests of the command line."""
import time
from pathlib import Path

import pandas as pd

from wfplatform import current_node, node, workflow


@node
def double(x: int) -> int:
    print("doubling", x)
    return 2 * x


@node
def total(xs: list[int]) -> int:
    return sum(xs)


@workflow
def fan(items: list[int] = [1, 2, 3], label: str = "") -> int:
    """Double and add."""
    return total(double.map(items))


@node
def picky(x: int, folder: str) -> int:
    if x == 2 and not (Path(folder) / "mended").exists():
        raise ValueError(f"no {x} today")
    (Path(folder) / f"ran-{x}").open("a").write("x")
    return x


@workflow
def mending(folder: str) -> int:
    return total(picky.map([1, 2, 3], folder))


@node
def turning(turns: int) -> int:
    for turn in range(turns):
        current_node().progress(turn / turns, f"turn {turn}")
        time.sleep(0.05)
    return turns


@workflow
def long(turns: int = 1200) -> int:
    return turning(turns)


@node
def sales(rows: int) -> pd.DataFrame:
    return pd.DataFrame({"article": [f"a{i}" for i in range(rows)], "share": [i / rows for i in range(rows)]})


@workflow
def report(rows: int = 20000) -> dict[str, object]:
    found = sales(rows)
    return {"sales": found, "count": total([1, 2])}
'''


@dataclass(frozen=True, slots=True, kw_only=True)
class Wfp:
    """The command, in a folder with a module of workflows, for one home."""

    folder: Path
    env: dict[str, str]

    def __call__(self, *words: str, timeout_s: float = 90.0, **env: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "wfplatform.cli", *words],
            cwd=self.folder, env={**self.env, **env}, capture_output=True, text=True, timeout=timeout_s, check=False,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip

    def document(self, *words: str, code: int = 0) -> Any:
        done = self(*words, "--json")
        assert done.returncode == code, done.stdout + done.stderr
        return json.loads(done.stdout)

    def in_terminal(self, *words: str, interrupt_after: Sequence[str] = ()) -> tuple[int, str]:
        """Run it in a terminal; press Ctrl-C when each of the patterns was first seen after the one before."""
        pid, terminal = pty.fork()
        if not pid:
            os.chdir(self.folder)
            # Who starts tests in the background of a shell hands down that Ctrl-C is to be ignored.
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            argv = [sys.executable, "-m", "wfplatform.cli", *words]
            os.execve(sys.executable, argv, {**self.env, "TERM": "xterm-256color", "COLUMNS": "100", "LINES": "30"})
        seen, since, waiting = "", 0, list(interrupt_after)
        deadline = time.monotonic() + 90
        try:
            while time.monotonic() < deadline:
                if select.select([terminal], [], [], 0.05)[0]:
                    try:
                        block = os.read(terminal, 65_536)
                    except OSError:
                        block = b""  # Linux says so when the other side has closed.
                    if not block:
                        break
                    seen += block.decode(errors="replace")
                if waiting and re.search(waiting[0], seen[since:]):
                    since = len(seen)
                    waiting.pop(0)
                    os.write(terminal, b"\x03")
        finally:
            os.close(terminal)
        assert not waiting, seen
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), seen


@pytest.fixture(scope="module")
def wfp(folder: Path) -> Iterator[Wfp]:
    """The command on a platform that runs."""
    (folder / "cli_shop.py").write_text(SHOP)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("WFP_", "COLUMNS", "NO_COLOR"))}
    made = Wfp(
        folder=folder,
        env={**kept, "WFP_HOME": str(folder / "home"), "WFP_WORKERS": "2", "PYTHONPATH": str(REPOSITORY)},
    )
    before = made.document("status", code=3)
    assert before == {"running": False, "home": str(folder / "home"), "release": before["release"]}
    try:
        done = made("up")
        assert done.returncode == 0, done.stdout + done.stderr
        assert "The platform is up." in done.stdout
        yield made
    finally:
        stopped = made("down")
    assert stopped.returncode == 0, stopped.stdout + stopped.stderr
    assert made.document("down")["stopped"] is False


def test_status_tells_processes_addresses_and_executions(wfp: Wfp) -> None:
    found = wfp.document("status")
    assert {row["name"] for row in found["processes"]} >= {"supervisor", "postgres", "scheduler", "workers", "engine-0"}
    assert {row["state"] for row in found["processes"]} == {"Running"}
    assert (found["workers"], found["engines"], found["schema"]["state"]) == (2, 1, "Current")
    assert set(found["executions"]["lastDay"]) == {
        "Pending", "Running", "Waiting", "Completed", "Failed", "Cancelled"
    }  # fmt: skip
    text = wfp("status").stdout
    assert "supervisor" in text
    assert found["scheduler"] in text
    assert "runs already" in wfp("up").stdout
    assert wfp.document("db", "status")["state"] == "Current"
    assert wfp.document("db", "upgrade")["before"]["state"] == "Current"


def test_run_and_watch_without_a_terminal(wfp: Wfp) -> None:
    done = wfp("run", "cli_shop:fan", "-p", "items=[1,2,3,4]", "--watch", "--tag", "plain", "--priority", "3")
    assert (done.returncode, done.stderr) == (0, "")
    assert ESCAPE.search(done.stdout) is None
    assert re.search(r"double +Completed +4/4", done.stdout)
    assert done.stdout.rstrip().endswith("20")
    forced = wfp("executions", "list", FORCE_COLOR="1", TERM="xterm-256color")
    assert ESCAPE.search(forced.stdout) is None
    [found] = wfp.document("executions", "list", "--tag", "plain")["items"]
    assert (found["state"], found["priority"], found["parameters"]["items"]) == ("Completed", 3, [1, 2, 3, 4])


def test_run_as_a_document(wfp: Wfp) -> None:
    found = wfp.document("run", "cli_shop.py:report", "-p", "rows=20000", "--watch")
    assert found["state"] == "Completed"
    assert found["result"]["count"] == 3
    assert (found["result"]["sales"]["kind"], found["result"]["sales"]["rowsTotal"]) == ("table", 20_000)
    assert {one["node"] for one in found["nodes"]} == {"sales", "total"}
    assert all(one["elementsEnded"] == one["elementsTotal"] == 1 for one in found["nodes"])
    [stored] = found["artifacts"]
    assert Path(stored["url"].removeprefix("file://")).is_file()


def test_a_document_is_json_whatever_letters_the_stream_has(wfp: Wfp) -> None:
    done = wfp("run", "cli_shop.py:nöthere", "--json", PYTHONIOENCODING="ascii")
    assert "nöthere" in json.loads(done.stdout)["error"]["message"]


def test_run_without_watching_starts_and_says_how_to_look(wfp: Wfp) -> None:
    done = wfp("run", "cli_shop:fan")
    [id] = re.findall(r"Execution (\S+) of fan was started", done.stdout)
    assert f"wfp executions show {id} --watch" in done.stdout
    watched = wfp("executions", "show", id, "--watch")
    assert watched.returncode == 0, watched.stderr
    assert watched.stdout.rstrip().endswith("12")
    shown = wfp("executions", "show", id[:18])
    assert id in shown.stdout
    elements = wfp.document("executions", "show", id, "--nodes", "--limit", "2")
    assert len(elements["elements"]) == 2
    rest = wfp.document("executions", "show", id, "--nodes", "--after", elements["next"])
    assert [(one["node"], one["element"]) for one in elements["elements"] + rest["elements"]] == [
        ("double", [0]), ("double", [1]), ("double", [2]), ("total", []),
    ]  # fmt: skip
    one = wfp.document("executions", "show", id, "--node", "total")
    assert (one["elements"][0]["outputs"]["result"]["value"], one["attempts"]) == (12, [])
    unknown = wfp("executions", "show", id, "--node", "nothing")
    assert unknown.returncode == 2
    assert "double, total" in unknown.stderr
    lines = wfp("executions", "logs", id, "--node", "double", "--follow").stdout.splitlines()
    assert sorted(line.rpartition(": ")[2] for line in lines) == ["doubling 1", "doubling 2", "doubling 3"]
    assert wfp.document("executions", "logs", id, "--level", "warning")["logs"] == []
    assert "Double and add." in wfp("workflows", "list").stdout
    known = wfp.document("workflows", "show", "fan")
    assert [one["name"] for one in known["parameters"]] == ["items", "label"]


def test_a_failure_is_told_and_mended(wfp: Wfp, folder: Path) -> None:
    place = folder / "mending"
    place.mkdir()
    done = wfp("run", "cli_shop:mending", "-p", f"folder={place}", "--watch")
    assert done.returncode == 1
    assert "picky[1] failed: ValueError: no 2 today" in done.stdout
    assert 'raise ValueError(f"no {x} today")' in done.stdout
    assert "Traceback" not in done.stderr
    [found] = wfp.document("executions", "list", "--workflow", "mending", "--state", "Failed")["items"]
    assert wfp("executions", "cancel", found["id"]).returncode == 2
    (place / "mended").touch()
    again = wfp("executions", "retry", found["id"], "--watch")
    assert again.returncode == 0, again.stdout + again.stderr
    assert again.stdout.rstrip().endswith("6")
    assert {path.name: path.read_text() for path in place.glob("ran-*")} == {"ran-1": "x", "ran-2": "x", "ran-3": "x"}


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["run", "cli_shop:nothing"], 2, "fan, mending, long, report"),
        (["run", "no_such_module:fan"], 2, "no module 'no_such_module'"),
        (["run", "cli_shop:fan", "-p", "items=[1.5]", "-p", "x=1"], 2, "2 parameters do not fit"),
        (["run", "cli_shop:fan", "-p", "items"], 2, "expected NAME=VALUE"),
        (["run", "cli_shop:fan", "--timeout", "0"], 2, "more than 0"),
        (["run", "cli_shop:fan", "--nonsense"], 2, "--nonsense"),
        (["executions", "show", "ffffffff"], 2, "No execution"),
        (["executions", "list", "--state", "done"], 2, "expected one of pending"),
        (["workflows", "show", "nothing"], 2, "nothing"),
    ],
)
def test_what_cannot_be_right_is_a_mistake_in_use(wfp: Wfp, words: list[str], code: int, said: str) -> None:
    done = wfp(*words)
    assert (done.returncode, done.stdout) == (code, "")
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    told = wfp.document(*words, code=code)["error"]
    assert said in told["message"] + told["hint"]


def test_settings_that_do_not_fit_and_a_server_that_is_not_there(wfp: Wfp, folder: Path) -> None:
    wrong = wfp("status", WFP_WORKERS="many")
    assert wrong.returncode == 2
    assert "WFP_WORKERS" in wrong.stderr
    away = {
        "WFP_HOME": str(folder / "elsewhere"), "WFP_DATABASE_URL": "postgresql://ann:secret@127.0.0.1:9/x",
        "WFP_SCHEDULER_ADDRESS": "tcp://127.0.0.1:9", "WFP_ENGINES": "0",
    }  # fmt: skip
    for words in (["executions", "list"], ["db", "status"], ["db", "upgrade"]):
        done = wfp(*words, **away)
        assert done.returncode == 3, done.stdout + done.stderr
        assert "secret" not in done.stdout + done.stderr
        assert "Traceback" not in done.stderr


@pytest.mark.parametrize("words", [["run", "cli_shop:fan", "--watch"], ["up"], ["demo"], ["db", "upgrade"]])
def test_a_home_that_cannot_be_used_is_named(wfp: Wfp, folder: Path, words: list[str]) -> None:
    done = wfp(*words, WFP_HOME=str(folder / "cli_shop.py" / "home"))
    assert (done.returncode, done.stdout) == (2, "")
    assert str(folder / "cli_shop.py" / "home") in done.stderr
    assert "WFP_HOME" in done.stderr
    assert "Traceback" not in done.stderr


def test_data_of_another_postgresql_are_refused_in_words(wfp: Wfp, folder: Path) -> None:
    data = folder / "older" / "postgres" / "server" / "data"
    data.mkdir(parents=True)
    (data / "PG_VERSION").write_text("9\n")
    for words in (["run", "cli_shop:fan", "--watch"], ["up"], ["executions", "list"]):
        done = wfp(*words, WFP_HOME=str(folder / "older"))
        assert (done.returncode, done.stdout) == (3, "")
        assert "made by PostgreSQL 9" in done.stderr
        assert "Traceback" not in done.stderr
    assert [path.name for path in data.iterdir()] == ["PG_VERSION"]


def test_nobody_waits_for_an_engine_that_cannot_run(wfp: Wfp, folder: Path) -> None:
    broken, path = broken_engines(folder / "breaking")
    broken.touch()
    home = folder / "looping"
    there = {"WFP_HOME": str(home), "PYTHONPATH": path, "WFP_WORKERS": "1"}
    try:
        for words in (["run", "cli_shop:fan", "--watch"], ["demo", str(folder / "unseen")], ["up"], ["status"]):
            done = wfp(*words, **there)
            assert done.returncode == 3, done.stdout + done.stderr
            assert "No engine runs, so no execution goes on." in done.stderr
            assert "The engine is broken on purpose." in done.stderr
            assert str(home / "log" / "engine-0.log") in done.stderr
            assert "Traceback" not in done.stderr
        assert "Backoff" in done.stdout.title()
        found = json.loads(wfp("status", "--json", **there).stdout)
        assert found["problem"]["code"] == "no_engine"
        assert [one["name"] for one in found["processes"] if one["problem"]] == ["engine-0"]
    finally:
        assert wfp("down", **there).returncode == 0
    broken.unlink()
    try:
        mended = wfp("run", "cli_shop:fan", "--watch", **there)
        assert mended.returncode == 0, mended.stdout + mended.stderr
        assert mended.stdout.rstrip().endswith("12")
    finally:
        assert wfp("down", **there).returncode == 0


def test_who_follows_lines_is_told_that_no_engine_runs_any_more(wfp: Wfp, folder: Path) -> None:
    broken, path = broken_engines(folder / "breaking-later")
    there = {"WFP_HOME": str(folder / "broken-later"), "PYTHONPATH": path, "WFP_WORKERS": "1"}
    try:
        id = json.loads(wfp("run", "cli_shop:long", "--json", **there).stdout)["id"]
        processes = json.loads(wfp("status", "--json", **there).stdout)["processes"]
        broken.touch()
        os.kill(next(one["pid"] for one in processes if one["name"] == "engine-0"), signal.SIGKILL)
        done = wfp("executions", "logs", id, "--follow", **there)
        assert done.returncode == 3, done.stdout + done.stderr
        assert "No engine runs, so no execution goes on." in done.stderr
        assert f"Watch it again with `wfp executions logs {id} --follow`." in done.stderr
    finally:
        assert wfp("down", **there).returncode == 0


def test_in_a_terminal_it_moves_and_ends_plain(wfp: Wfp) -> None:
    code, seen = wfp.in_terminal("run", "cli_shop:long", "-p", "turns=30", "--watch")
    assert code == 0, seen
    assert "turn " in seen
    assert "━" in seen
    # The picture is wiped away, the cursor is back, and what stays is the summary with the result.
    after = seen.rpartition("\x1b[?25h")[2]
    assert "turning" in after
    assert re.sub(r"\x1b\[[0-9;]*m", "", after).rstrip().endswith("30")


def test_ctrl_c_lets_go_and_the_execution_goes_on(wfp: Wfp) -> None:
    code, seen = wfp.in_terminal("run", "cli_shop:long", "-p", "turns=100", "--watch", interrupt_after=["turn [0-9]"])
    assert code == 130, seen
    [id] = re.findall(r"wfp executions show (\S+) --watch", seen)
    assert wfp.document("executions", "show", id, "--watch")["result"] == 100


def test_ctrl_c_twice_cancels(wfp: Wfp) -> None:
    code, seen = wfp.in_terminal("run", "cli_shop:long", "--watch", interrupt_after=["turn [0-9]", "Ctrl-C once more"])
    assert code == 130, seen
    assert "Cancelled." in seen
    [id] = re.findall(r"wfp executions show (\S+) --watch", seen)
    found = wfp.document("executions", "show", id)
    assert found["state"] == "Cancelled"
    assert wfp("executions", "show", id, "--watch").returncode == 1


def test_cancel_asks_and_watching_tells(wfp: Wfp) -> None:
    id = wfp.document("run", "cli_shop:long")["id"]
    assert f"{id} was asked to cancel" in wfp("executions", "cancel", id).stdout
    assert wfp.document("executions", "show", id, "--watch", code=1)["state"] == "Cancelled"


def test_the_demonstration(wfp: Wfp, folder: Path) -> None:
    done = wfp("demo", str(folder / "shown"), timeout_s=110)
    assert done.returncode == 0, done.stdout + done.stderr
    assert ESCAPE.search(done.stdout) is None
    assert "Delays by carrier  16 rows" in done.stdout
    assert (folder / "shown" / "delays.html").read_text().startswith("<!DOCTYPE html>")
    assert len(list((folder / "shown" / "flights").rglob("*.parquet"))) == 12
    [id] = re.findall(r"wfp executions logs (\S+)", done.stdout)
    assert f"default_platform as p; p().execution('{id}').result()" in done.stdout
    assert len(wfp.document("executions", "show", id)["nodes"]) == 21
