"""A workflow means the same on a platform as in `.local()`, however its nodes are put into segments.

Held to this: states of all nodes and elements, results, failures, and that the user's code runs exactly once for each try.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from time import monotonic
from typing import Any, NamedTuple
from zlib import crc32

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.contract.drawn import LOGGER, Step, calls_counted, drawn
from wfplatform import Workflow
from wfplatform.app.handle import Execution
from wfplatform.authoring.document import from_document
from wfplatform.authoring.ending import Completed, Failed, LocalExecution, Skipped
from wfplatform.bootstrap.inline import InlinePlatform
from wfplatform.compiler.segment import Limits
from wfplatform.core.execution import Element
from wfplatform.core.graph import NodeKind

KINDS = (
    "call",
    "call",
    "call",
    "map",
    "map",
    "map",
    "map",
    "pair",
    "part",
    "zip",
    "loop",
    "delay",
    "child",
    "children",
)
WORDS = {Completed: "completed", Failed: "failed", Skipped: "skipped"}
WAIT_S = 60.0


@pytest.fixture(scope="module")
def platforms() -> Iterator[Mapping[str, InlinePlatform]]:
    """The same platform four times: segments as it likes them, one element each, such that give the rest back at once, and such
    whose elements now and then take long, so that what does not wait for them is given back while they run.
    """
    made = {
        "fused": InlinePlatform(),
        "unfused": InlinePlatform(limits=Limits(slots=1, most=1, most_unknown=1)),
        "hurried": InlinePlatform(budget_s=1e-9),
        "generous": InlinePlatform(),
    }
    yield made
    for one in reversed(made.values()):  # each put its own hooks over those of the one before
        one.close()


class _Late(logging.Handler):
    """Makes it late on a platform during some of the calls of users' code."""

    def __init__(self, platform: InlinePlatform) -> None:
        super().__init__()
        self._backlog = platform._runner.backlog
        self.returned = 0
        add = platform.stream.add

        def counted(*what: Any, returned: Sequence[Any] = (), **more: Any) -> None:
            self.returned += len(returned)
            add(*what, returned=returned, **more)

        platform.stream.add = counted  # type: ignore[method-assign]

    def emit(self, record: logging.LogRecord) -> None:
        if crc32(repr(record.call[1:]).encode()) % 3 == 0:  # type: ignore[attr-defined]
            self._backlog.give_back(monotonic() + 1000)


@pytest.fixture(scope="module", autouse=True)
def late(platforms: Mapping[str, InlinePlatform]) -> Iterator[_Late]:
    """What makes it late on the last of them."""
    made = _Late(platforms["generous"])
    logging.getLogger(LOGGER).addHandler(made)
    yield made
    logging.getLogger(LOGGER).removeHandler(made)


class Ended(NamedTuple):
    """What can be observed of an execution that has ended."""

    states: Mapping[tuple[str, Element], str]
    tries: Mapping[tuple[str, Element], int]
    failures: Mapping[tuple[str, Element], str]
    result: Any


def ended_here(flow: Workflow[..., Any], execution: LocalExecution) -> Ended:
    states: dict[tuple[str, Element], str] = {}
    tries: dict[tuple[str, Element], int] = {}
    for name, found in execution.nodes.items():
        for element, ending in found.endings.items():
            states[name, element] = WORDS[type(ending)]
            if not isinstance(ending, Skipped) and ending.attempts:
                tries[name, element] = ending.attempts
    failures = {(error.node or "", tuple(error.facts["element"])): error.facts["type"] for error in execution.failures}
    return Ended(states, tries, _comparable(flow, failures), execution.result)


def ended_there(flow: Workflow[..., Any], execution: Execution) -> Ended:
    ranks = {node.id: node.rank for node in flow.graph.nodes}
    known = {(row.node, row.element): row for row in execution.nodes() if len(row.element) <= ranks[row.node]}
    # Where a branch ended as a whole, elements below it that had been skipped before are part of it.
    rows = {
        (name, element): row
        for (name, element), row in known.items()
        if not any((name, element[:cut]) in known for cut in range(len(element)))
    }
    states = {key: str(row.state) for key, row in rows.items()}
    upstream = {"upstream_failed"}
    own = {key: row.error for key, row in rows.items() if row.error and str(row.state) == "failed"}
    failures = {key: str(error["type"]) for key, error in own.items() if error.get("code") not in upstream}
    tries = {key: row.attempt for key, row in rows.items() if str(row.state) == "completed" or key in failures}
    state = execution.state
    assert state == ("failed" if failures else "completed")
    if failures:
        first = execution.record.error or {}
        assert (first["node"], tuple(first["element"])) in failures
    return Ended(states, tries, _comparable(flow, failures), None if failures else execution.result(WAIT_S))


def _comparable(
    flow: Workflow[..., Any], failures: Mapping[tuple[str, Element], str]
) -> dict[tuple[str, Element], str]:
    """Failures by the name of the error's class; a child's, which is told in other words, and a loop's limit without."""
    told_apart = {node.id for node in flow.graph.nodes if node.type not in (NodeKind.WORKFLOW, NodeKind.LOOP)}
    return {key: kind.rpartition(".")[2] if key[0] in told_apart else "" for key, kind in failures.items()}


def check(flow: Workflow[..., Any], platforms: Mapping[str, InlinePlatform], **parameters: Any) -> None:
    """Run a workflow everywhere and compare."""
    plain = {node.id for node in flow.graph.nodes if node.type == NodeKind.PYTHON}
    with calls_counted() as calls:
        here = flow.local_execution(**parameters)
        expected = ended_here(flow, here)
        given_json = flow.parameters.to_json(parameters)
        running = {name: platform.run(flow, given_json) for name, platform in platforms.items()}
        for name, execution in running.items():
            assert execution.wait(WAIT_S) in {"completed", "failed"}, name
    assert max(Counter(calls).values(), default=1) == 1, "a try ran twice"
    called_here = Counter((node, element) for id, node, element, _ in calls if id == str(here.id))
    for name, execution in running.items():
        found = ended_there(flow, execution)
        assert _differences(found.states, expected.states) == {}, name
        assert _differences(found.tries, expected.tries) == {}, name
        assert _differences(found.failures, expected.failures) == {}, name
        assert (name, found.result) == (name, expected.result)
        called = Counter((node, element) for id, node, element, _ in calls if id == str(execution.id))
        assert _differences(called, called_here) == {}, name
        assert called == {key: count for key, count in found.tries.items() if key[0] in plain and key in called}


def _differences(there: Mapping[Any, Any], here: Mapping[Any, Any]) -> dict[Any, tuple[Any, Any]]:
    keys = [key for key in (*here, *there) if there.get(key) != here.get(key)]
    return {key: (there.get(key), here.get(key)) for key in keys}


# -- drawn workflows


def steps(kinds: tuple[str, ...], inner: Any) -> st.SearchStrategy[Step]:
    few = st.integers(0, 11)
    return st.builds(
        Step,
        kind=st.sampled_from(kinds),
        number=st.integers(0, 7),
        reads=st.tuples(few, few),
        flags=st.tuples(few, few, few, few),
        inner=inner,
    )


def blocks(depth: int) -> st.SearchStrategy[tuple[Step, ...]]:
    plain = steps(KINDS, st.just(((), ())))
    one = plain
    if depth:
        one = plain | steps(("choice",), st.tuples(blocks(depth - 1), blocks(depth - 1)))
    return st.lists(one, max_size=4 if depth == 2 else 3).map(tuple)


DIFFERENT_LENGTHS = (
    Step(
        kind="choice",
        flags=(1, 0, 0, 0),
        inner=((), (Step(kind="call"), Step(kind="map"), Step(kind="pair"))),
    ),
    Step(kind="zip", reads=(1, 2)),
)
"""One list is told by a parameter, and the other by a node that may run beside what is mapped over both."""


@pytest.mark.timeout(600)  # for making a failure small; it takes seconds otherwise
@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
@example(plan=DIFFERENT_LENGTHS, returned=0, n=0, xs=[0])
@given(plan=blocks(2), returned=st.integers(0, 2), n=st.integers(-3, 3), xs=st.lists(st.integers(0, 5), max_size=3))
def test_a_drawn_workflow_means_the_same_everywhere(
    plan: tuple[Step, ...], returned: int, n: int, xs: list[int], platforms: Mapping[str, InlinePlatform]
) -> None:
    flow = drawn(plan, returned)
    assert from_document(flow.definition).graph == flow.graph
    check(flow, platforms, n=n, xs=xs)


def test_what_is_given_back_while_others_run_runs_once(platforms: Mapping[str, InlinePlatform], late: _Late) -> None:
    before = late.returned
    steps = (Step(kind="map", reads=(1, 0)), Step(kind="map", number=3, reads=(2, 1)), Step(kind="call", reads=(3, 2)))
    check(drawn(steps, 2), platforms, n=1, xs=list(range(12)))
    assert late.returned > before
