"""From segments to tasks: what goes along, and what shares one."""

from __future__ import annotations

from uuid import UUID

from tests.unit.core.reach import Reached, failed, n, ok
from wfplatform.compiler.order import Loaded, bundle, known_elements, make_part
from wfplatform.compiler.payload import KnownOutput, Part, unpack_order
from wfplatform.compiler.segment import Limits, Member, Segment
from wfplatform.core.event import Replay, Retried
from wfplatform.core.execution import Span
from wfplatform.core.graph import Literal
from wfplatform.core.policy import Lane


def loaded(reached: Reached) -> Loaded:
    index = {node.id: number for number, node in enumerate(reached.graph.nodes)}
    return Loaded(execution=reached.execution.id, epoch=1, version="v", graph=reached.graph, index=index, parameters={})


def segment(*nodes: str, id: str = "s", expected_s: float = 0.001, **more: object) -> Segment:
    return Segment(id=id, members=tuple(Member(Span.whole(x), 1) for x in nodes), expected_s=expected_s, **more)  # type: ignore[arg-type]


def mapped() -> Reached:
    return Reached(n("m", inputs={"x": Literal([1, 2, 3])}, over={"x": 1}), n("r", "m"), n("z", after=("m",)), m=3)


def test_only_what_is_committed_is_known() -> None:
    reached = mapped().see(ok("m", 0), ok("m", 2))
    assert known_elements(reached.execution, segment("r", known=(("m", ()),))) == [("m", (0,)), ("m", (2,))]


def test_a_branch_that_ended_as_a_whole_is_known_as_one() -> None:
    reached = Reached(n("f"), n("m", "f", inputs={"x": Literal([1])}, over={"x": 1}), n("r", "m", on_skip="none"), m=1)
    reached.see(failed("f"))
    assert known_elements(reached.execution, segment("r", known=(("m", ()),))) == [("m", ())]
    # Who reads single elements of it skips the whole of its own too.
    assert known_elements(reached.execution, segment("r", known=(("m", (0,)),))) == [("m", ()), ("m", (0,))]


def test_a_part_carries_sizes_of_what_it_reads_as_a_whole_and_says_what_others_read() -> None:
    reached = mapped()
    part = make_part(loaded(reached), reached.execution, segment("r"), [])
    assert (part.members, part.sizes, part.exports) == ([(1, Span.whole("r"), 1)], {0: {(): 3}}, frozenset())
    own = Segment(id="s", members=(Member(Span("m", (), 0, 3), 1),))
    assert make_part(loaded(reached), reached.execution, own, []).exports == {0}


def test_what_a_node_only_comes_after_is_told_as_ended_without_its_value() -> None:
    reached = mapped().see(ok("m", 0))
    part = make_part(loaded(reached), reached.execution, segment("z"), [])
    assert part.known == [KnownOutput(0, (0,), None)]
    reached.see(ok("m", 1), ok("m", 2))
    assert make_part(loaded(reached), reached.execution, segment("z"), []).known == [KnownOutput(0, (), None)]
    read = [KnownOutput(0, (index,), {"result": {}}) for index in range(3)]
    assert make_part(loaded(reached), reached.execution, segment("r", "z"), read).known == read


def test_a_part_carries_inputs_that_were_replaced() -> None:
    reached = mapped().see(failed("m", 0), failed("m", 1), ok("m", 2))
    reached.see(Retried("", (Replay("m", (0,), 1, {"x": 7}), Replay("m", (1,), 1))))
    own = Segment(id="s", members=(Member(Span("m", (), 0, 2), 2),))
    assert make_part(loaded(reached), reached.execution, own, []).edits == ((0, (0,), {"x": 7}),)


def part_of(one: Segment) -> tuple[Segment, Part]:
    return one, Part(UUID(int=1), 1, "v", {}, one.id, [])


def test_small_executions_share_a_task() -> None:
    keys: dict[str, str] = {}
    tasks = bundle("e", [part_of(segment("a", id=f"s{i}")) for i in range(10)], keys, Limits(shortest_s=0.005), 1.0)
    assert [len(unpack_order(task.order).parts) for task in tasks] == [5, 5]
    assert keys == {f"s{i}": "wfp-f-s0" if i < 5 else "wfp-f-s5" for i in range(10)}
    assert [unpack_order(task.order).budget_s for task in tasks] == [1.0, 1.0]


def test_what_needs_others_comes_after_them_and_is_a_task_of_its_own() -> None:
    first, second = segment("a", id="s1"), segment("b", id="s2", needs=frozenset({"s1", "old"}))
    tasks = bundle("e", [part_of(first), part_of(second)], {"old": "wfp-old"}, Limits(), 1.0)
    assert [(task.key, task.needs) for task in tasks] == [("wfp-d-s1", ()), ("wfp-d-s2", ("wfp-old", "wfp-d-s1"))]


def test_tasks_that_take_about_as_long_have_keys_that_begin_alike() -> None:
    lasting = {"s1": 0.0, "s2": 1e-4, "s3": 0.011, "s4": 0.012, "s5": 0.2, "s6": 1e9}
    parts = [part_of(segment("a", id=id, expected_s=expected_s, solo=True)) for id, expected_s in lasting.items()]
    tasks = bundle("e", [*parts, part_of(segment("a", id="s7", lane=Lane.IO))], {}, Limits(), 1.0)
    letters = [task.key.rpartition("-")[0] for task in tasks]
    assert letters == ["wfp-a", "wfp-a", "wfp-g", "wfp-g", "wfp-k", "wfp-z", "wfp-io-d"]


def test_a_single_element_is_never_given_back() -> None:
    (task,) = bundle("e", [part_of(segment("a", solo=True, announce=True))], {}, Limits(), 1.0)
    order = unpack_order(task.order)
    assert (order.budget_s, order.announce) == (0.0, True)
