"""While one element takes long, what does not wait for it is given back: each either begins here or is given back."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from tests.unit.core.reach import graph_of, n
from wfplatform.compiler.payload import Part, SegmentOrder
from wfplatform.core.execution import Span
from wfplatform.core.graph import Literal, Node
from wfplatform.worker.agenda import Agenda

LONG_S = 10.0


def mapped(id: str, *sources: str, **more: Any) -> Node:
    return n(id, *sources, inputs={"x": Literal([])}, over={"x": 1} | dict.fromkeys(sources, 1), **more)


def agenda(nodes: Sequence[Node], spans: Sequence[Span], *, safe: list[bool] | None = None) -> Agenda:
    """Of a part with these spans, whose task has a second."""
    graph = graph_of(*nodes)
    index = {node.id: number for number, node in enumerate(graph.nodes)}
    members = [(index[span.node], Span("", span.prefix, span.start, span.stop), 1) for span in spans]
    part = Part(UUID(int=1), 1, "v", {}, "s", members)
    return Agenda(SegmentOrder("e", [part], budget_s=1.0), part, graph, lambda: safe[0] if safe else True)


def test_what_has_not_begun_is_given_back_when_one_takes_longer_than_a_task_may() -> None:
    made = agenda([mapped("m"), n("a")], [Span("m", (), 0, 6), Span.whole("a")])
    assert made.give_back(LONG_S) == [], "nothing has begun"
    assert made.begin(0, (0,), 0.0)
    assert made.begin(0, (1,), 0.5)
    assert made.give_back(1.4) == [], "it has not lasted as long yet"
    assert made.give_back(1.6) == [(0, (), 2, 6), (1, (), -1, 0)]
    assert made.give_back(LONG_S) == []
    assert not any(made.begin(0, (i,), 2.0) for i in range(2, 6))
    assert not made.begin(1, (), 2.0)


def test_what_follows_the_one_that_runs_stays_with_it() -> None:
    nodes = [mapped("m"), mapped("p", "m"), mapped("q", "p"), n("r", "m")]
    made = agenda(nodes, [Span("m", (), 0, 3), Span("p", (), 0, 3), Span("q", (), 0, 3), Span.whole("r")])
    made.begin(0, (0,), 0.0)
    assert made.give_back(LONG_S) == [(0, (), 1, 3), (1, (), 1, 3), (2, (), 1, 3)]
    assert made.begin(1, (0,), 3.0)
    assert made.begin(2, (0,), 3.0)
    assert made.begin(3, (), 3.0), "it reads what runs"


def test_what_comes_after_a_choice_that_runs_or_is_ordered_after_it_stays_too() -> None:
    nodes = [n("if", type="choice"), n("a", guard=("if", True)), n("b", after=("if",)), n("c")]
    made = agenda(nodes, [Span.whole(node.id) for node in nodes])
    made.begin(0, (), 0.0)
    assert made.give_back(LONG_S) == [(3, (), -1, 0)]


def test_a_chain_is_kept() -> None:
    nodes = [n("a"), n("b", "a"), n("c", "b")]
    made = agenda(nodes, [Span.whole(node.id) for node in nodes])
    made.begin(0, (), 0.0)
    assert made.give_back(LONG_S) == []


def test_elements_of_several_levels_are_given_back_by_prefix() -> None:
    nodes = [mapped("m"), n("p", "m", inputs={"y": Literal([])}, over={"m": 1, "y": 2})]
    made = agenda(nodes, [Span("p", (0,), 0, 2), Span("p", (1,), 0, 2), Span("p", (2,), 1, 3)])
    made.begin(0, (0, 1), 0.0)
    assert made.give_back(LONG_S) == [(1, (1,), 0, 2), (1, (2,), 1, 3)]


def test_it_is_asked_again_until_all_before_is_safe_and_again_for_the_next_that_takes_long() -> None:
    safe = [False]
    made = agenda([n("a"), n("b"), n("c", "b"), n("d", "b")], [Span.whole(x) for x in "abcd"], safe=safe)
    made.begin(0, (), 0.0)
    assert made.give_back(LONG_S) == []
    made.begin(1, (), LONG_S)
    safe[0] = True
    assert made.give_back(2 * LONG_S) == [], "they follow"
    made.begin(2, (), 2 * LONG_S)
    assert made.give_back(3 * LONG_S) == [(3, (), -1, 0)]


def test_an_element_either_begins_or_is_given_back() -> None:
    count = 3000
    for _ in range(5):
        made = agenda([mapped("m")], [Span("m", (), 0, count)])
        begun: list[int] = []

        def work(made: Agenda = made, begun: list[int] = begun) -> None:
            begun += [i for i in range(count) if made.begin(0, (i,), 0.0)]

        thread = threading.Thread(target=work)
        thread.start()
        given: list[Any] = []
        while thread.is_alive() and not given:
            given = made.give_back(LONG_S)
        thread.join()
        returned = [i for _, _, start, stop in given for i in range(start, stop)]
        assert sorted(begun + returned) == list(range(count))
