"""A long segment holds no value longer than somebody may read it, and what is dropped is missed by nobody."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator
from typing import Any, Final

import pytest

from wfplatform import Workflow, each, else_, if_, loop, merge, node, workflow
from wfplatform.bootstrap.inline import InlinePlatform
from wfplatform.compiler.payload import Part
from wfplatform.compiler.segment import Limits
from wfplatform.core.execution import Element, Span
from wfplatform.core.identifier import DEFAULT_TENANT
from wfplatform.worker.inputs import Absent, Inputs, Scope
from wfplatform.worker.last_read import last_reads

WAIT_S: Final = 60.0


class Large(list[int]):
    """A list of which it can be seen whether anybody still holds it."""

    made: Final[list[weakref.ref[Large]]] = []

    def __init__(self, items: Any = ()) -> None:
        super().__init__(items)
        Large.made.append(weakref.ref(self))

    @classmethod
    def held(cls) -> int:
        """How many there are now."""
        gc.collect()
        return sum(one() is not None for one in cls.made)


@pytest.fixture
def missed(monkeypatch: pytest.MonkeyPatch) -> list[Element]:
    """Elements whose inputs were not there when they were to run; they would be given back, and come again later."""
    found: list[Element] = []
    resolve = Inputs.resolve

    def watched(self: Inputs, scope: Scope, element: Element) -> Any:
        resolved = resolve(self, scope, element)
        if resolved is Absent.GONE:
            found.append(element)
        return resolved

    monkeypatch.setattr(Inputs, "resolve", watched)
    return found


@pytest.fixture
def platform() -> Iterator[InlinePlatform]:
    """One that puts as much as it may into a segment."""
    Large.made.clear()
    with InlinePlatform(limits=Limits(slots=1, most=1000, most_unknown=1000), budget_s=0) as made:
        yield made


@node
def first(n: int) -> Large:
    return Large(range(n))


@node
def after_it(numbers: Large) -> Large:
    made = Large(number + 1 for number in numbers)
    made[0] = Large.held()
    return made


@node
def held_at_last(numbers: Large) -> tuple[int, int]:
    return numbers[0], Large.held()


@workflow
def chain(n: int) -> Any:
    return held_at_last(after_it(after_it(after_it(first(n)))))


def run(platform: InlinePlatform, flow: Workflow[..., Any], **parameters: Any) -> Any:
    """The result of an execution."""
    return platform.run(flow, parameters).result(WAIT_S)


def test_a_fused_chain_holds_two_values_at_most(platform: InlinePlatform) -> None:
    before, at_last = run(platform, chain, n=1000)
    assert before <= 2
    assert at_last <= 2
    assert len(Large.made) == 4, "nothing was made twice"
    assert Large.held() == 0


@node
def number(x: int) -> int:
    return x


@node
def add(x: int, y: int) -> int:
    return x + y


@node
def even(x: int) -> bool:
    return x % 2 == 0


@node
def upto(n: int) -> list[int]:
    return list(range(n))


@node
def total(numbers: list[Any]) -> int:
    return sum(total(one) if isinstance(one, list) else one or 0 for one in numbers)


@workflow
def ordered() -> Any:
    """`c` reads nothing of `a`, and comes after it, and after the last that reads it."""
    a = number(1)
    b = add(a, 1)
    c = number.options(after=[a, b])(5)
    return add(add(c, c), number.options(after=a)(7))


@workflow
def branched(n: int) -> Any:
    """Merges of what was skipped, in both directions, read late."""
    found = []
    for value in (number(n), add(n, 1)):
        with if_(even(value)):
            yes = add(value, 100)
        with else_():
            no = add(value, 200)
        found.append(merge(yes, no))
    return add(found[0], found[1]), found


@workflow
def looped(n: int) -> Any:
    start = number(n)
    ended = loop(lambda s, by: s + by, start, while_=lambda s: s < 20, by=start)
    return add(ended, start)


@workflow
def nested(n: int) -> Any:
    rows = upto.map(upto(n))
    cells = add.map(each(rows), 1)
    again = add.map(each(rows), cells)
    return total(cells), total(again), again, total(rows)


@pytest.mark.parametrize(
    ("flow", "given"),
    [
        (ordered, {}),
        (branched, {"n": 1}),
        (branched, {"n": 2}),
        (looped, {"n": 3}),
        (nested, {"n": 4}),
        (nested, {"n": 0}),
    ],
)
def test_what_is_dropped_is_missed_by_nobody(
    platform: InlinePlatform, missed: list[Element], flow: Workflow[..., Any], given: dict[str, Any]
) -> None:
    assert run(platform, flow, **given) == flow.local(**given)
    assert missed == []


def part(flow: Workflow[..., Any], *names: str, exports: tuple[str, ...] = ()) -> Part:
    """A part that runs these nodes whole, in this order."""
    index = {one.id: place for place, one in enumerate(flow.graph.nodes)}
    return Part(
        DEFAULT_TENANT, 0, "", {}, "s",
        [(index[name], Span.whole(name), 1) for name in names],
        exports=frozenset(index[name] for name in exports),
    )  # fmt: skip


def test_who_reads_last() -> None:
    def dropped(*names: str, exports: tuple[str, ...] = ()) -> dict[str, list[str]]:
        ids = [one.id for one in chain.graph.nodes]
        found = last_reads(chain.graph, part(chain, *names, exports=exports))
        return {names[place]: sorted(ids[index] for index in nodes) for place, nodes in found.items()}

    assert [one.id for one in chain.graph.nodes] == ["first", "after_it", "after_it-2", "after_it-3", "held_at_last"]
    assert dropped("first", "after_it", "after_it-2") == {
        "after_it": ["first"], "after_it-2": ["after_it", "after_it-2"],
    }  # fmt: skip
    assert dropped("first", "after_it", exports=("first",)) == {"after_it": ["after_it"]}
    assert dropped("after_it", "after_it-2", exports=("after_it-2",)) == {"after_it-2": ["after_it"]}
