"""What a segment leaves for others: packed while its program is active, and as large as it says."""

from __future__ import annotations

import pickle
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import pytest

from wfplatform.compiler.payload import Part
from wfplatform.core.execution import Span
from wfplatform.core.identifier import DEFAULT_TENANT
from wfplatform.worker.inputs import Absent, Scope
from wfplatform.worker.values import SegmentValues

EXECUTION = DEFAULT_TENANT


def part(*nodes: int) -> Part:
    members = [(node, Span.whole(str(node)), 1) for node in nodes]
    return Part(EXECUTION, 0, "", {}, "s", members, exports=frozenset(nodes))


def scope(values: Mapping[int, Any] | None = None) -> Scope:
    made = Scope({}, {}, {}, lambda digest: digest)
    made.values.update({(node, ()): value for node, value in (values or {}).items()})
    made.digests.update({(node, ()): str(node) for node in values or {}})
    return made


def taken(*values: Any) -> SegmentValues:
    made = SegmentValues()
    made.take(part(*range(len(values))), scope(dict(enumerate(values))), nullcontext)
    return made


def sent(values: SegmentValues) -> SegmentValues:
    """As another worker gets them."""
    return pickle.loads(pickle.dumps(values))  # type: ignore[no-any-return]


def test_values_arrive() -> None:
    found = scope()
    sent(taken([1], "b")).fill(EXECUTION, found, nullcontext)
    assert found.values == {(0, ()): [1], (1, ()): "b"}
    assert found.digests == {(0, ()): "0", (1, ()): "1"}


def test_what_is_gone_does_not_hide_what_another_segment_has() -> None:
    found = scope()
    for values in (taken(1, Absent.GONE), taken(Absent.SKIPPED), taken(Absent.GONE, 2)):
        sent(values).fill(EXECUTION, found, nullcontext)
    assert found.values == {(0, ()): Absent.SKIPPED, (1, ()): 2}


def test_the_size_grows_with_what_is_taken_later() -> None:
    values = taken(b"x" * 10_000)
    first = values.__sizeof__()
    assert 10_000 <= first < 20_000
    values.take(part(5), scope({5: b"y" * 1_000_000}), nullcontext)
    assert values.__sizeof__() >= first + 1_000_000


def test_the_size_is_that_of_the_form_it_has() -> None:
    numbers = list(range(300, 20_300))
    values = sent(taken(numbers))
    packed = values.__sizeof__()
    assert packed < 100_000, "a pickle of small numbers is small"
    values.fill(EXECUTION, scope(), nullcontext)
    assert values.__sizeof__() > 4 * packed  # the numbers themselves, by sampling


def test_the_size_is_worked_out_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = 0
    estimate = SegmentValues._estimated

    def counted(self: SegmentValues) -> int:
        nonlocal asked
        asked += 1
        return estimate(self)

    monkeypatch.setattr(SegmentValues, "_estimated", counted)
    values = taken([1])
    assert len({values.__sizeof__() for _ in range(5)}) == 1
    assert asked == 1


def test_what_was_opened_is_packed_again_while_the_program_is_active() -> None:
    entered: list[str] = []

    def active(name: str) -> Callable[[], AbstractContextManager[None]]:
        @contextmanager
        def made() -> Iterator[None]:
            entered.append(name)
            yield

        return made

    values = SegmentValues()
    values.take(part(0), scope({0: "a"}), active("first"))
    second = sent(values)
    assert entered == ["first"]
    third = sent(second)
    assert entered == ["first"], "it was never opened"
    third.fill(EXECUTION, scope(), active("third"))
    found = scope()
    sent(third).fill(EXECUTION, found, nullcontext)
    assert entered == ["first", "third"]
    assert found.values == {(0, ()): "a"}


def test_it_may_be_measured_and_sent_while_it_is_opened() -> None:
    values = SegmentValues()
    executions = [DEFAULT_TENANT.__class__(int=number) for number in range(300)]
    for execution in executions:
        values.take(part(0)._replace(execution=execution), scope({0: "a"}), nullcontext)
    values = sent(values)
    wrong: list[BaseException] = []
    done = threading.Event()

    def look() -> None:
        while not done.is_set():
            try:
                values._estimated()
                values.__reduce__()
            except RuntimeError as error:
                wrong.append(error)
                return

    looker = threading.Thread(target=look)
    looker.start()
    for execution in executions:
        values.fill(execution, scope(), nullcontext)
    done.set()
    looker.join()
    assert wrong == []
