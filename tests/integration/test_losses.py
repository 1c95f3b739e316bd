"""Workers, schedulers and connections are lost; executions go on, and nobody is blamed for what another did."""

from __future__ import annotations

import os
import signal
from collections import Counter
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.integration import workload
from tests.integration.running import (
    PATIENCE_S,
    client_of,
    ended,
    lines,
    node,
    nodes,
    pid_of,
    running,
    until,
    worker_pids,
)
from wfplatform import workflow
from wfplatform.bootstrap.platform import EmbeddedPlatform
from wfplatform.errors import NodeError, WorkerLostError

pytestmark = pytest.mark.xdist_group("platform")


@pytest.mark.parametrize(
    ("kind", "sentence"),
    [
        ("exit", "exit code 3"),
        ("segfault", "crashed in native code"),
        pytest.param("memory", "more memory than it may", marks=pytest.mark.full),
        ("kill", "was killed"),
    ],
)
def test_a_node_that_kills_its_worker_is_given_up_after_two(
    platform: EmbeddedPlatform, kind: str, sentence: str, mark: str
) -> None:
    @workflow
    def poisoned(kind: str, mark: str) -> Any:
        return workload.square.map(list(range(20))), workload.square(workload.poison(kind, mark))

    execution = platform.run(poisoned, {"kind": kind, "mark": mark})
    with pytest.raises(WorkerLostError) as caught:
        execution.result(PATIENCE_S)
    assert sentence in str(caught.value)
    found = node(execution, "poison")
    assert (found.error["code"], found.lost) == ("worker_lost", 2)
    # Once in company, which proves nothing, and twice alone.
    assert len(lines(mark)) <= 3
    assert {str(one.state) for one in nodes(execution, "square")} == {"completed"}
    assert {one.lost for one in nodes(execution, "square")} == {0}
    assert str(node(execution, "square-2").state) == "skipped"


def test_neighbours_of_a_poisonous_node_are_not_blamed(platform: EmbeddedPlatform, mark: str) -> None:
    @workflow
    def beside(mark: str) -> Any:
        return workload.company.map(list(range(8)), mark=mark), workload.nap.map(list(range(30)))

    execution = platform.run(beside, {"mark": mark})
    assert ended(execution) == "failed"
    states = {one.element[0]: (str(one.state), one.lost) for one in nodes(execution, "company")}
    assert states == {n: ("failed", 2) if n == 3 else ("completed", 0) for n in range(8)}
    assert {(str(one.state), one.lost) for one in nodes(execution, "nap")} == {("completed", 0)}
    assert len(nodes(execution, "nap")) == 30
    # Of those beside it in its process none was spared the first time.
    assert lines(mark).count(lines(f"{mark}.killed")[0]) >= 2


def test_what_is_committed_is_not_run_again(platform: EmbeddedPlatform, mark: str) -> None:
    @workflow
    def chained(mark: str) -> Any:
        return workload.raised(workload.measured(workload.listed(mark), mark), mark)

    execution = platform.run(chained, {"mark": mark})
    until(lambda: (one := node(execution, "listed")) is not None and str(one.state) == "completed", "the first node")
    until(lambda: running(execution, "measured"), "the second node")
    os.kill(int(lines(f"{mark}.pid")[0]), signal.SIGKILL)
    assert execution.result(PATIENCE_S) == 50_001
    assert lines(mark) == ["listed", "measured", "measured", "raised"]
    found = node(execution, "measured")
    assert (found.attempt, found.lost) == (2, 0)
    attempts = platform.reader.attempts(platform.execution(execution.id).record.tenant_id, execution.id).items
    assert [(one.node, str(one.state)) for one in attempts] == [("measured", "lost")]


def test_a_worker_that_dies_takes_nothing_with_it(platform: EmbeddedPlatform, mark: str) -> None:
    @workflow
    def gathered(mark: str, loaded: str) -> Any:
        return workload.join(workload.load.map(list(range(40)), mark=loaded), mark)

    execution = platform.run(gathered, {"mark": mark, "loaded": f"{mark}.loaded"})
    until(lambda: running(execution, "join"), "the join")
    until(lambda: len(nodes(execution, "load")) == 40, "all commits")
    for pid in worker_pids(platform):
        os.kill(pid, signal.SIGKILL)
    Path(f"{mark}.go").touch()
    assert execution.result(PATIENCE_S) == 4_000_000
    assert sorted(int(line.split()[0]) for line in lines(f"{mark}.loaded")) == list(range(40))


def test_executions_survive_the_loss_of_the_scheduler(platform: EmbeddedPlatform, mark: str) -> None:
    @workflow
    def through(mark: str) -> Any:
        return workload.total(workload.slow.map(list(range(40)), mark=mark))

    execution = platform.run(through, {"mark": mark})
    until(lambda: len(lines(mark)) >= 10, "some of it")
    engine = pid_of(platform.settings, "engine-0")
    os.kill(pid_of(platform.settings, "scheduler"), signal.SIGKILL)
    again = platform.run(through, {"mark": f"{mark}.again"})
    assert execution.result(PATIENCE_S) == again.result(PATIENCE_S) == sum(range(40))
    assert {one.lost for one in [*execution.nodes(), *again.nodes()]} == {0}
    assert {str(one.state) for one in execution.nodes()} == {"completed"}
    # Those whose outcomes were on their way at the moment of the loss, once more at most.
    assert max(Counter(lines(mark)).values()) <= 2
    assert pid_of(platform.settings, "engine-0") == engine


def test_executions_survive_that_somebody_restarts_the_cluster(platform: EmbeddedPlatform, mark: str) -> None:
    @workflow
    def through(mark: str) -> Any:
        return workload.total(workload.slow.map(list(range(40)), mark=mark))

    execution = platform.run(through, {"mark": mark})
    until(lambda: len(lines(mark)) >= 10, "some of it")
    with client_of(platform.address) as client:
        client.restart(wait_for_workers=False)
    assert execution.result(PATIENCE_S) == sum(range(40))
    assert {(one.lost, str(one.state)) for one in execution.nodes()} == {(0, "completed")}


@pytest.mark.full
def test_a_frozen_worker_with_a_timed_node_is_replaced(platform: EmbeddedPlatform, mark: str) -> None:
    @workflow
    def freezing(mark: str) -> Any:
        return workload.endless.options(timeout_s=1)("naps", mark)

    execution = platform.run(freezing, {"mark": mark})
    until(lambda: running(execution, "endless"), "the start")
    pid = int(lines(mark)[0])
    os.kill(pid, signal.SIGSTOP)
    with pytest.raises(NodeError, match="timeout"):
        execution.result(PATIENCE_S)
    until(lambda: not psutil.pid_exists(pid) or psutil.Process(pid).status() == "zombie", "the end of the worker")
    until(lambda: len(worker_pids(platform)) == 2, "another worker")


def test_the_scheduler_keeps_no_outcomes(platform: EmbeddedPlatform) -> None:
    @workflow
    def texts() -> Any:
        return workload.text.map([20_000] * 300)

    assert len(platform.run(texts, {}).result(PATIENCE_S)) == 300
    with client_of(platform.address) as client:
        kept = client.get_events()
    ours = {topic: events for topic, events in kept.items() if topic.startswith("wfplatform-")}
    assert ours == {}
