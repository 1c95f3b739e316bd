"""What is handed out: exactly what can start, each element once, in segments within their bounds."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Mapping
from random import Random
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tests.unit.core.reach import Reached, failed, finish, graphs, n, ok
from wfplatform.compiler.plan import plan
from wfplatform.compiler.segment import Flights, Limits, Planned
from wfplatform.compiler.stranded import stranded
from wfplatform.core.event import Began, GivenBack, SegmentLost, TimerDue
from wfplatform.core.execution import AT_ODDS, Element, NodeState, Span
from wfplatform.core.graph import Literal, Node
from wfplatform.core.policy import Cache, Lane, Limit

FAST = dict.fromkeys("abcdefghmprstuvwxyz", 0.0001)


def planned(
    reached: Reached, flights: Flights | None = None, costs: Mapping[str, float] | None = None, **limits: Any
) -> Planned:
    ids = itertools.count(1)
    return plan(
        reached.graph,
        reached.execution,
        flights or Flights(),
        FAST if costs is None else costs,
        Limits(**limits),
        lambda: f"s{next(ids)}",
        targets=None,
    )


def spans(found: Planned) -> list[list[Any]]:
    return [[tuple(member.span) for member in segment.members] for segment in found.segments]


def over(id: str, *sources: str, **more: Any) -> Node:
    """A node mapped over a list of the definition, and over its sources."""
    return n(id, *sources, inputs={"x": Literal([])}, over={"x": 1} | dict.fromkeys(sources, 1), **more)


# -- cutting and joining


def test_a_chain_is_one_segment() -> None:
    found = planned(Reached(n("a"), n("b", "a"), n("c", "b")))
    assert spans(found) == [[("a", (), -1, 0), ("b", (), -1, 0), ("c", (), -1, 0)]]
    assert (found.segments[0].needs, found.segments[0].known) == (frozenset(), ())


def test_a_map_is_cut_into_as_many_segments_as_keep_the_slots_busy() -> None:
    found = planned(Reached(over("m"), m=1000), costs={"m": 0.001}, slots=4)
    sizes = [sum(len(member.span) for member in segment.members) for segment in found.segments]
    assert sum(sizes) == 1000
    assert max(sizes) <= 50
    assert len(sizes) >= 8


def test_what_is_mapped_along_joins_its_own_elements() -> None:
    reached = Reached(over("m"), n("p", "m", over={"m": 1}), m=4)
    found = planned(reached, costs={"m": 0.01, "p": 0.01}, slots=2)
    assert sum(len(member.span) for segment in found.segments for member in segment.members) == 8
    for segment in found.segments:
        by_node = {name: [m.span[2:] for m in segment.members if m.span.node == name] for name in ("m", "p")}
        assert by_node["m"] == by_node["p"], "each runs beside the very elements it follows"


def test_where_elements_abound_all_that_follows_one_joins_it() -> None:
    # A year, its months, what each is joined with, and two that read the joined month.
    costs = {"a": 0.2, "b": 0.03, "m": 0.02, "p": 0.04, "s": 0.03, "t": 0.03}
    months = n("m", "a", inputs={"x": Literal([])}, over={"x": 1})
    nodes = (n("a"), months, n("b"), n("p", "m", "b", over={"m": 1}))
    nodes = (*nodes, over("s", "p"), over("t", "p"), n("z", "s", "t"))
    reached = Reached(*nodes, m=12, p=12, s=12, t=12)
    found = planned(reached, costs=costs, slots=2)
    monthly = [
        {member.span.node for member in segment.members} for segment in found.segments if len(segment.members) > 1
    ]
    assert monthly == [{"m", "p", "s", "t"}] * 6
    places = {segment.id: place for place, segment in enumerate(found.segments)}
    assert all(places[need] < places[segment.id] for segment in found.segments for need in segment.needs)


def test_where_elements_are_few_what_could_run_side_by_side_does() -> None:
    found = planned(
        Reached(over("m"), over("s", "m"), over("t", "m"), m=4, s=4, t=4), costs={"m": 0.1, "s": 0.1, "t": 0.1}, slots=2
    )
    assert {len(segment.members) for segment in found.segments} == {1}


def test_nobody_is_made_to_wait_for_what_begins_later() -> None:
    # `p` follows `m`, but needs what takes longer than all that is before `m`.
    found = planned(
        Reached(n("a"), n("m", "a"), n("b"), n("p", "m", "b")), costs={"a": 0.1, "m": 0.3, "b": 0.2, "p": 0.01}, slots=2
    )
    (host,) = [segment for segment in found.segments if any(member.span.node == "m" for member in segment.members)]
    assert all(member.span.node != "p" for member in host.members)


def test_nothing_is_known_of_an_unknown_node_so_it_is_cut_small() -> None:
    found = planned(Reached(over("m"), m=1000), costs={}, slots=2)
    assert max(sum(len(member.span) for member in one.members) for one in found.segments) <= 25


def test_one_element_each_if_told_so() -> None:
    found = planned(Reached(over("m"), n("r", "m"), m=3), most=1, most_unknown=1, slots=1)
    assert spans(found) == [[("m", (), 0, 1)], [("m", (), 1, 2)], [("m", (), 2, 3)], [("r", (), -1, 0)]]
    assert found.segments[3].needs == {"s1", "s2", "s3"}


def test_a_cached_node_waits_for_what_is_before_it_to_be_committed() -> None:
    reached = Reached(n("a"), n("b", "a", cache=Cache()), n("c", "b"))
    assert spans(planned(reached)) == [[("a", (), -1, 0)]]
    found = planned(reached.see(ok("a")))
    assert spans(found) == [[("b", (), -1, 0)], [("c", (), -1, 0)]]
    assert found.segments[0].solo
    assert found.segments[0].known == (("a", ()),)
    assert found.segments[1].needs == {"s1"}


def test_so_does_an_effect_and_what_comes_after_waits_for_it() -> None:
    reached = Reached(n("a"), n("b", "a", effect=True), n("c", "b"))
    assert spans(planned(reached)) == [[("a", (), -1, 0)]]
    found = planned(reached.see(ok("a")))
    assert spans(found) == [[("b", (), -1, 0)]]
    assert (found.segments[0].solo, found.segments[0].known) == (True, (("a", ()),))
    assert spans(planned(reached.see(ok("b")))) == [[("c", (), -1, 0)]]


def test_a_suspect_runs_alone_and_announced() -> None:
    reached = Reached(n("a"), n("b"))
    lost = SegmentLost("s", (Span.whole("a"), Span.whole("b")), "w", "gone", started=True)
    found = planned(reached.see(lost))
    assert spans(found) == [[("a", (), -1, 0)], [("b", (), -1, 0)]]
    assert all(segment.solo and segment.announce for segment in found.segments)


def test_nodes_of_different_lanes_and_resources_are_not_mixed() -> None:
    found = planned(Reached(n("a"), n("b", "a", resources={"GPU": 1.0}), n("c", "b", lane=Lane.IO)))
    assert len(found.segments) == 3
    assert [segment.resources for segment in found.segments] == [{}, {"GPU": 1.0}, {}]
    assert found.segments[2].lane is Lane.IO


def test_a_limit_bounds_what_starts() -> None:
    reached = Reached(over("m", limit=Limit("db", 2)), m=5)
    assert len(planned(reached).segments) == 2
    assert len(planned(reached, free={"db": 1}).segments) == 1
    assert len(planned(reached, free={"db": 0}).segments) == 0


def test_only_what_targets_need_is_planned() -> None:
    reached = Reached(n("a"), n("b", "a"), n("c"))
    found = plan(reached.graph, reached.execution, Flights(), FAST, Limits(), lambda: "s", targets=frozenset({"b"}))
    assert spans(found) == [[("a", (), -1, 0), ("b", (), -1, 0)]]


# -- where inputs come from


def test_what_is_committed_is_read_and_what_flies_is_waited_for() -> None:
    reached = Reached(over("m"), n("r", "m"), m=4).see(ok("m", 0), ok("m", 3))
    flights = Flights()
    flights.add("old", [Span("m", (), 1, 2)])
    found = planned(reached, flights, costs={})
    assert spans(found) == [[("m", (), 2, 3)], [("r", (), -1, 0)]] or len(found.segments) == 1
    needs = {need for segment in found.segments for need in segment.needs}
    assert "old" in needs
    assert ("m", ()) in {key for segment in found.segments for key in segment.known}


def test_a_choice_that_is_committed_is_read_by_its_branch() -> None:
    reached = Reached(n("if", type="choice"), n("a", guard=("if", True))).see(ok("if", verdict=True))
    assert planned(reached).segments[0].known == (("if", ()),)


def test_what_depends_on_a_wait_or_a_loop_is_planned_when_it_is_over() -> None:
    reached = Reached(n("l", type="loop"), n("b", "l"), n("d", type="delay"), n("c", "d"))
    found = planned(reached)
    assert spans(found) == [[("l", (), -1, 0)]]
    assert found.actions == (("d", ()),)
    assert spans(planned(reached.see(ok("l"), Began("d", (), "waits", reached.now)))) == [[("b", (), -1, 0)]]
    reached.see(TimerDue("d", (), {}))
    assert spans(planned(reached)) == [[("b", (), -1, 0), ("c", (), -1, 0)]]


def test_what_depends_on_a_failure_is_not_planned_even_while_its_choice_is_open() -> None:
    reached = Reached(
        n("f"), n("if", type="choice"), n("a", "f", guard=("if", True), on_failure="fail", on_skip="none")
    )
    assert spans(planned(reached.see(failed("f")))) == [[("if", (), -1, 0)]]
    assert reached.states == {"f": "failed"}


def test_an_unknown_length_blocks_and_an_empty_map_does_not() -> None:
    nodes = (n("a"), n("m", "a", over={"a": 1}), n("r", "m"))
    assert spans(planned(Reached(*nodes))) == [[("a", (), -1, 0)]]
    found = planned(Reached(*nodes).see(ok("a", sizes={"result": 0})))
    assert spans(found) == [[("r", (), -1, 0)]]


def test_a_length_that_another_list_tells_does_not_do_for_one_that_is_still_computed() -> None:
    # `z` is mapped over `m`, of two elements, and over what `a` will return: perhaps more, or fewer.
    reached = Reached(n("a"), over("m"), n("z", "m", "a", over={"m": 1, "a": 1}), m=2, z=2)
    flights = Flights()
    first = planned(reached)
    assert {member.span.node for segment in first.segments for member in segment.members} == {"a", "m"}
    for segment in first.segments:
        flights.add(segment.id, segment.spans)
    assert planned(reached, flights).segments == ()
    reached.see(ok("m", 0), ok("m", 1))
    assert planned(reached, flights).segments == ()
    reached.see(ok("a", sizes={"result": 2}))
    for segment in first.segments:
        flights.remove(segment.id)
    found = planned(reached, flights)
    assert {tuple(member.span)[:2] for segment in found.segments for member in segment.members} == {("z", ())}
    assert sum(len(member.span) for segment in found.segments for member in segment.members) == 2


def test_even_an_empty_map_waits_for_its_branch_to_be_taken() -> None:
    nodes = (n("if", type="choice"), over("m", guard=("if", True)), n("merge", "m", type="merge", on_skip="none"))
    reached = Reached(*nodes, m=0)
    assert spans(planned(reached)) == [[("if", (), -1, 0)]]
    assert spans(planned(reached.see(ok("if", verdict=False)))) == [[("merge", (), -1, 0)]]


def test_a_nested_map_waits_for_the_lengths_of_its_own_part_only() -> None:
    reached = Reached(over("m"), n("p", "m", over={"m": 2}), n("r", "p", over={"p": 1}), m=2)
    reached.see(ok("m", 1, sizes={"result": 3}))
    flights = Flights()
    flights.add("old", [Span("m", (), 0, 1)])
    listed = list(itertools.chain(*spans(planned(reached, flights))))
    assert listed == [("p", (1,), 0, 3), ("r", (), 1, 2)]


# -- properties


@given(
    graphs(),
    st.integers(0, 2**32),
    st.sampled_from([{}, {"most": 1, "most_unknown": 1}, {"slots": 1, "most_unknown": 3}]),
)
def test_all_that_can_start_is_handed_out_exactly_once(
    drawn: tuple[tuple[Node, ...], dict[str, int]], seed: int, limits: dict[str, Any]
) -> None:
    """Runs a random graph to its end: each plan is checked, some of what flies ends, and so on."""
    nodes, sizes = drawn
    random = Random(seed)
    reached = Reached(*nodes, **sizes)
    flights, ids, flying = Flights(), itertools.count(1), dict[str, list[tuple[str, Element]]]()
    cut = Limits(**limits)
    for _ in range(200):
        if reached.execution.state.final:
            break
        found = plan(reached.graph, reached.execution, flights, {}, cut, lambda: f"s{next(ids)}")
        _check_plan(reached, flights, found, cut)
        for segment in found.segments:
            flights.add(segment.id, segment.spans)
            flying[segment.id] = [(span.node, element) for span in segment.spans for element in span.elements()]
        for name, element in found.actions:
            finish(reached, reached.graph.by_id[name], element, random)
        ready = [one for one in flying if not _open_needs(reached, flying, one)]
        assert ready or found.actions, "nothing flies and nothing was planned, but it has not ended"
        if ready and random.random() < 0.3:
            _give_back(reached, flights, flying, random.choice(ready), random)
        elif ready:
            landed = random.choice(ready)
            for name, element in flying.pop(landed):
                run = reached.run(name, *element)
                if run is None or not run.state.final:
                    node = reached.graph.by_id[name]
                    if _inputs_are_there(reached, node, element):
                        finish(reached, node, element, random)
            flights.remove(landed)
    assert reached.execution.state.final
    again = plan(reached.graph, reached.execution, Flights(), {}, cut, lambda: "s")
    assert (again.segments, again.actions) == ((), ())


def _give_back(
    reached: Reached, flights: Flights, flying: dict[str, list[tuple[str, Element]]], segment: str, random: Random
) -> None:
    """One element of a segment takes long, those before it have ended; what does not wait for it is given back."""
    mine = flying[segment]
    running = random.randrange(len(mine)) if mine else 0
    for name, element in mine[:running]:
        run, node = reached.run(name, *element), reached.graph.by_id[name]
        if (run is None or not run.state.final) and _inputs_are_there(reached, node, element):
            finish(reached, node, element, random)
    held = set(mine[running : running + 1])
    for name, element in mine[running + 1 :]:
        links = reached.graph.links[name]
        if any(
            link.source == other and at[: link.shared] == element[: link.shared] for link in links for other, at in held
        ):
            held.add((name, element))
    spans = [Span.of(name, element) for name, element in mine[running:] if (name, element) not in held]
    given = flights.give_back(segment, spans)
    assert sorted(given) == sorted(spans)
    gone = {segment: list(given)}
    gone |= stranded(reached.graph, flights, segment, given)
    for other, waiting in gone.items():
        flights.give_back(other, waiting)
        elements = {(span.node, element) for span in waiting for element in span.elements()}
        flying[other] = [key for key in flying[other] if key not in elements]
    reached.see(GivenBack(segment, given))


def _open_needs(reached: Reached, flying: Mapping[str, Any], segment: str) -> bool:
    """Whether a segment reads something that another flying one computes."""
    mine = flying[segment]
    others = {key for other, keys in flying.items() if other != segment for key in keys}
    for name, element in mine:
        for link in reached.graph.links[name]:
            at = element[: link.shared]
            if any(key[0] == link.source and key[1][: len(at)] == at for key in others):
                return True
    return False


def _inputs_are_there(reached: Reached, node: Node, element: Element) -> bool:
    return all(_has_ended(reached, link.source, element[: link.shared]) for link in reached.graph.links[node.id])


def _has_ended(reached: Reached, name: str, prefix: Element) -> bool:
    """Whether all below a prefix has ended; what has no elements has when nothing can skip it any more."""
    runs = reached.execution.nodes[name]
    run = runs.run(prefix)
    if len(prefix) == runs.rank or (run is not None and run.state.final):
        return run is not None and run.state in {NodeState.COMPLETED, NodeState.SKIPPED}
    size = runs.sizes.get(prefix)
    if size == 0:
        return all(_has_ended(reached, link.source, prefix[: link.shared]) for link in reached.graph.links[name])
    return size not in {None, AT_ODDS} and all(
        _has_ended(reached, name, (*prefix, index)) for index in range(size or 0)
    )


def _check_plan(reached: Reached, flights: Flights, found: Planned, limits: Limits) -> None:
    seen: set[str] = set(flights)
    listed: Counter[tuple[str, Element]] = Counter(found.actions)
    for segment in found.segments:
        assert segment.needs <= seen, "a segment needs one that comes later"
        seen.add(segment.id)
        elements = [(span.node, element) for span in segment.spans for element in span.elements()]
        listed.update(elements)
        if segment.solo:
            assert len(elements) == 1
        assert len(elements) <= max(limits.most, 1)
        for member in segment.members:
            for element in member.span.elements():
                run = reached.run(member.span.node, *element)
                assert run is None or run.state is NodeState.PENDING, "it is known"
                assert member.attempt == (run.attempt if run else 0) + 1
    assert max(listed.values(), default=1) == 1, "an element was planned twice"
    for name, element in listed:
        assert not any(element == flown for span in _flown(flights, name) for flown in span.elements()), (
            "it flies already"
        )
    for node in reached.graph.nodes:
        runs = reached.execution.nodes[node.id]
        for element in runs.elements():
            run = runs.run(element)
            pending = len(element) == node.rank and (run is None or run.state is NodeState.PENDING)
            flown = any(element == one for span in _flown(flights, node.id) for one in span.elements())
            if (
                pending
                and not flown
                and _inputs_are_there(reached, node, element)
                and _is_sized(reached, node, element)
            ):
                assert (node.id, element) in listed, f"{node.id} {element} could start and was not planned"


def _is_sized(reached: Reached, node: Node, element: Element) -> bool:
    return all(reached.execution.nodes[node.id].sizes.get(element[:cut]) is not None for cut in range(len(element)))


def _flown(flights: Flights, name: str) -> list[Span]:
    return [span for segment in flights for span in flights.spans(segment) if span.node == name]
