"""What an execution on real processes is, seen from outside: recorded, visible, stoppable, and nobody's hostage."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.integration import workload
from tests.integration.running import (
    PATIENCE_S,
    ended,
    in_script,
    lines,
    node,
    nodes,
    pid_of,
    rss_bytes,
    script_environment,
    until,
    worker_pids,
)
from tests.integration.running import running as is_running
from wfplatform import workflow
from wfplatform.bootstrap.platform import EmbeddedPlatform
from wfplatform.errors import ExecutionCancelledError, NodeError, NodeTimeoutError

pytestmark = pytest.mark.xdist_group("platform")


@workflow
def four_places() -> Any:
    return workload.where.map(list(range(4)))


def test_what_a_node_prints_logs_and_warns_is_kept_with_it(platform: EmbeddedPlatform) -> None:
    @workflow
    def talking() -> Any:
        return workload.talk.map([1, 2, 3])

    execution = platform.run(talking, {})
    assert execution.result(PATIENCE_S) == [1, 2, 3]
    for n in (1, 2, 3):
        mine = [line for line in execution.logs() if line.element == (n - 1,)]
        assert {line.node for line in mine} == {"talk"}
        said = [(line.logger, line.level, line.message) for line in mine]
        assert ("stdout", logging.INFO, f"printed {n}") in said
        assert ("stderr", logging.INFO, f"to standard error {n}") in said
        assert ("stdout", logging.INFO, f"no end of line {n}") in said
        assert ("my.module", logging.WARNING, f"logged {n}") in said
        assert any(logger == "warnings" and f"UserWarning: careful {n}" in text for logger, _, text in said)
        assert any("noted" in text for _, _, text in said)
        assert len(said) == 6


def test_output_of_nodes_that_run_at_the_same_moment_does_not_mix(platform: EmbeddedPlatform) -> None:
    @workflow
    def chorus() -> Any:
        return workload.chatter.map(list(range(8)))

    execution = platform.run(chorus, {})
    assert execution.result(PATIENCE_S) == list(range(8))
    for n in range(8):
        said = [line.message for line in execution.logs() if line.element == (n,)]
        assert said == [f"{n} says {turn}" for turn in range(20)]


def test_progress_and_lines_are_seen_while_the_node_runs(platform: EmbeddedPlatform, mark: str) -> None:
    @workflow
    def seen(mark: str) -> Any:
        return workload.watched(mark)

    execution = platform.run(seen, {"mark": mark})
    found = until(
        lambda: next((one for one in nodes(execution, "watched") if one.progress is not None), None), "progress"
    )
    assert found is not None
    assert (str(found.state), found.progress, found.progress_message) == ("running", 0.25, "a quarter")
    assert found.worker.startswith("tls://")
    assert [line.message for line in execution.logs()] == ["began"]
    Path(mark).touch()
    assert execution.result(PATIENCE_S) == "done"
    assert [line.message for line in execution.logs()] == ["began"]


def test_memory_and_time_are_recorded(platform: EmbeddedPlatform) -> None:
    @workflow
    def weighed() -> Any:
        first = workload.small()
        return workload.large(first), workload.busy(first)

    execution = platform.run(weighed, {})
    execution.result(PATIENCE_S)
    little, much, worked = (node(execution, name) for name in ("small", "large", "busy"))
    assert much.peak_memory_bytes - little.peak_memory_bytes > 200_000_000
    assert 0.2 <= worked.cpu_s < 2
    assert (worked.finished_at - worked.started_at).total_seconds() >= 0.2
    assert little.cpu_s < 0.2


def test_a_node_that_changes_the_folder_of_its_process_changes_it_for_itself(
    platform: EmbeddedPlatform, tmp_path: Path
) -> None:
    @workflow
    def wander(folders: list[str]) -> Any:
        return workload.wandering.map(folders)

    found = platform.run(wander, {"folders": [str(tmp_path / str(n)) for n in range(6)]}).result(PATIENCE_S)
    assert len(set(found)) <= platform.settings.workers
    assert not any(one.startswith(str(tmp_path)) for one in found)


def test_scratch_folders_are_gone_when_the_node_is(platform: EmbeddedPlatform, mark: str) -> None:
    @workflow
    def scratches(mark: str) -> Any:
        return workload.scratching.map(["returns", "raises", "dies"], mark=mark)

    assert ended(platform.run(scratches, {"mark": mark})) == "failed"
    folders = {Path(line) for line in lines(mark)}
    assert len(folders) >= 4
    until(lambda: not any(folder.exists() for folder in folders), "cleaning")


@pytest.mark.parametrize("kind", ["sleeps", "spins", "holds", "swallows"])
def test_a_timed_out_node_frees_its_worker(platform: EmbeddedPlatform, kind: str, mark: str) -> None:
    @workflow
    def hanging(kind: str, mark: str) -> Any:
        return workload.endless.options(timeout_s=0.3)(kind, mark)

    execution = platform.run(hanging, {"kind": kind, "mark": mark})
    with pytest.raises(NodeTimeoutError, match="longer than its timeout"):
        execution.result(PATIENCE_S)
    assert node(execution, "endless").error["code"] == "timeout"
    assert len(platform.run(four_places, {}).result(PATIENCE_S)) == 4
    until(lambda: len(worker_pids(platform)) == 2, "two workers")


def test_a_timeout_is_tried_again_like_any_other_error(platform: EmbeddedPlatform, mark: str) -> None:
    @workflow
    def second_time(mark: str) -> Any:
        return workload.slow_once(mark)

    execution = platform.run(second_time, {"mark": mark})
    assert execution.result(PATIENCE_S) == 2
    assert lines(mark) == ["try", "try"]


@pytest.mark.parametrize("kind", ["asks", "spins", "holds later"])
def test_a_cancelled_node_frees_its_worker(platform: EmbeddedPlatform, kind: str, mark: str) -> None:
    @workflow
    def unwanted(kind: str, mark: str) -> Any:
        return workload.endless(kind, mark)

    execution = platform.run(unwanted, {"kind": kind, "mark": mark})
    until(lambda: is_running(execution, "endless"), "the start")
    if kind == "holds later":
        Path(f"{mark}.known").touch()
        until(lambda: lines(f"{mark}.holds"), "the end of all threads")
    execution.cancel()
    with pytest.raises(ExecutionCancelledError):
        execution.result(PATIENCE_S)
    # Interrupted or replaced: in any case nothing spins there any more.
    held = int(lines(mark)[0])
    until(
        lambda: held not in worker_pids(platform) or psutil.Process(held).cpu_percent(0.2) < 30, "the end of the node"
    )
    assert len(platform.run(four_places, {}).result(PATIENCE_S)) == 4


def test_what_is_cancelled_before_it_starts_never_starts(platform: EmbeddedPlatform, mark: str) -> None:
    @workflow
    def holding(mark: str) -> Any:
        return workload.hold(mark)

    @workflow
    def touching(n: int, mark: str) -> Any:
        return workload.touch(n, mark)

    holders = [platform.run(holding, {"mark": mark})]
    until(lambda: len(lines(f"{mark}.held")) == 1, "one worker held")
    holders.append(platform.run(holding, {"mark": mark}))
    until(lambda: len(set(lines(f"{mark}.held"))) == 2, "both workers held")
    waiting = platform.run_many(touching, [{"n": n, "mark": mark} for n in range(40)])
    until(lambda: all(one.state == "running" for one in waiting), "claimed")
    for one in waiting[::2]:
        one.cancel()
    assert {ended(one) for one in waiting[::2]} == {"cancelled"}
    Path(f"{mark}.go").touch()
    assert {ended(one) for one in [*holders, *waiting[1::2]]} == {"completed"}
    assert sorted(map(int, lines(mark))) == list(range(1, 40, 2))


def test_a_long_node_does_not_hold_up_others_that_came_with_it(platform: EmbeddedPlatform, mark: str) -> None:
    @workflow
    def mixed(n: int, mark: str) -> Any:
        return workload.hold_first(n, mark)

    started = platform.run_many(mixed, [{"n": n, "mark": mark} for n in range(6)])
    # They are small as far as anybody knows, so they travel together; the first one waits for the last.
    assert {ended(one) for one in started} == {"completed"}


@pytest.mark.parametrize("kind", ["exit", "interrupt", "lines"])
def test_an_error_of_user_code_is_told_with_its_own_lines(platform: EmbeddedPlatform, kind: str) -> None:
    @workflow
    def failing(kind: str) -> Any:
        return workload.wrong(kind)

    execution = platform.run(failing, {"kind": kind})
    with pytest.raises(NodeError) as caught:
        execution.result(PATIENCE_S)
    expected = {"exit": "SystemExit", "interrupt": "KeyboardInterrupt", "lines": "ZeroDivisionError"}[kind]
    assert caught.value.facts["type"] == expected
    if kind == "lines":
        assert "the line in question" in str(caught.value)
    assert "wfplatform/worker" not in str(caught.value)


def test_values_stay_on_the_workers(platform: EmbeddedPlatform) -> None:
    @workflow
    def moving(rows: int, length: int) -> Any:
        return workload.count(workload.frame(rows)), workload.text(length)

    rows, length = 12_500_000, 200_000  # 200 MB, and what is too much for a row of the database
    platform.run(moving, {"rows": 10, "length": 10}).result(PATIENCE_S)
    before = {name: rss_bytes(platform.settings, name) for name in ("engine-0", "scheduler")}
    execution = platform.run(moving, {"rows": rows, "length": length})
    counted, words = execution.result(PATIENCE_S)
    assert (counted, len(words)) == (rows, length)
    for name, bytes_before in before.items():
        assert rss_bytes(platform.settings, name) - bytes_before < 30_000_000, name
    output = node(execution, "frame").outputs["result"]
    assert output["size"] > 65_536
    assert "location" in output
    assert not {"value", "body"} & set(output)
    assert "location" in node(execution, "text").outputs["result"]


BOMB = """
    import os, sys
    from wfplatform import node, workflow

    class Bomb:
        '''Opens on workers only.'''
        def __init__(self, size):
            self.size = size
        def __reduce__(self):
            return _open, (self.size, )

    def _open(size):
        from distributed import Worker
        if not Worker._instances:
            open({mark!r}, "a").write(f"opened in {{os.getpid()}} {{sys.argv}}\\n")
            raise RuntimeError("a user's value was opened outside a worker")
        return Bomb(size)

    @node
    def make(size: int) -> object:
        return Bomb(size)

    @node
    def weigh(bomb: object, other: object) -> int:
        return bomb.size + other.size

    @node
    def code() -> str:
        open({mark!r} + ".code", "a").write(f"{{os.getpid()}}\\n")
        return "ran"

    SHARED = Bomb(5)

    @workflow
    def bombs():
        first = make(100)
        made = make.map([1, 2, 3])
        return weigh(first, SHARED), code(), len_of(made)

    @node
    def len_of(items: list) -> int:
        return len(items)

    if __name__ == "__main__":
        execution = bombs.run()
        print(execution.id, *execution.result({patience}))
"""


def test_only_workers_open_values_and_code(platform: EmbeddedPlatform, tmp_path: Path, mark: str) -> None:
    script = tmp_path / "bombs.py"
    script.write_text(textwrap.dedent(BOMB).format(mark=mark, patience=PATIENCE_S), encoding="utf-8")
    said = in_script(platform, script)
    assert said.returncode == 0, said.stderr
    assert said.stdout.split()[1:] == ["105", "ran", "3"]
    assert lines(mark) == []
    assert {int(pid) for pid in lines(f"{mark}.code")} <= worker_pids(platform)
    execution = platform.execution(said.stdout.split()[0])
    assert {str(one.state) for one in execution.nodes()} == {"completed"}
    # Killed in the middle and taken over, still nobody but a worker opens anything.
    os.kill(pid_of(platform.settings, "engine-0"), signal.SIGKILL)
    again = in_script(platform, script)
    assert again.returncode == 0, again.stderr
    assert lines(mark) == []


OUTLIVED = """
    import sys, time
    from pathlib import Path
    from wfplatform import node, workflow

    @node
    def first(go: str) -> int:
        until_s = time.monotonic() + 60
        while not Path(go).exists():
            assert time.monotonic() < until_s
            time.sleep(0.01)
        return 20

    @node
    def second(n: int) -> int:
        return n + 1

    @workflow
    def outliving(go: str):
        return second(first(go))

    execution = outliving.run(go=sys.argv[1])
    print(execution.id, flush=True)
    execution.result()
"""


def test_a_script_that_is_killed_leaves_its_execution_running(
    platform: EmbeddedPlatform, tmp_path: Path, mark: str
) -> None:
    script = tmp_path / "starts.py"
    script.write_text(textwrap.dedent(OUTLIVED), encoding="utf-8")
    starter = subprocess.Popen(
        [sys.executable, str(script), mark],
        env=script_environment(platform), cwd=tmp_path, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert starter.stdout is not None
    with starter.stdout:
        started = starter.stdout.readline().strip()
    starter.kill()
    starter.wait()
    script.unlink()
    execution = platform.execution(started[:30])
    assert str(execution.id) == started
    assert execution.state in ("pending", "running")
    Path(mark).touch()
    assert execution.result(PATIENCE_S) == 21
    assert [str(one.state) for one in nodes(execution, "second")] == ["completed"]


def test_outputs_are_plain_data_for_people(platform: EmbeddedPlatform) -> None:
    @workflow
    def plain() -> Any:
        return workload.facts()

    execution = platform.run(plain, {})
    expected = {"rows": 3, "names": ["a", "b"], "none": None, "share": 0.5}
    assert execution.result(PATIENCE_S) == expected
    assert node(execution, "facts").outputs["result"]["value"] == expected
