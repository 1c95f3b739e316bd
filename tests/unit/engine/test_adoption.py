"""An execution that cannot be taken up ends with the reason, and stops neither its engine nor another execution."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.engine.rig import Rig
from wfplatform import node, workflow
from wfplatform.authoring.document import to_document
from wfplatform.core.execution import ExecutionState, NodeState, Run
from wfplatform.core.graph import Definition, Graph, Node, ParameterRef
from wfplatform.core.identifier import DEFAULT_TENANT
from wfplatform.engine.testing.memory_contents import StoredElement
from wfplatform.errors import StorageError, UnreachableError


@node
def same(x: Any) -> Any:
    return x


@workflow
def sound(x: int = 1) -> Any:
    """Has nothing wrong with it."""
    return same(x)


@workflow
def other(x: int = 1) -> Any:
    """Another one."""
    return same.map([x, x])


def break_document(rig: Rig) -> None:
    version = next(iter(rig.store.contents.versions.values()))
    version.document["nodes"][0]["type"] = ""  # type: ignore[index]


def break_code(rig: Rig) -> None:
    for key in rig.store.contents.code:
        rig.store.contents.code[key] = b"\x00not code"


BROKEN: dict[str, tuple[Any, str]] = {
    "document": (break_document, "A node needs a type"),
    "code": (break_code, ""),
    "no code": (lambda rig: rig.store.contents.code.clear(), "No code with the digest"),
    "no version": (lambda rig: rig.store.contents.versions.clear(), "No workflow version"),
}


@pytest.mark.parametrize("what", BROKEN)
def test_a_version_that_does_not_load_fails_its_execution_and_no_other(what: str) -> None:
    rig = Rig()
    broken = rig.start(rig.publish(sound, document=to_document(sound.as_definition()), code_digest="c" * 64))
    harm, reason = BROKEN[what]
    harm(rig)
    good = rig.start(rig.publish(other))
    rig.turn()
    error = rig.error(broken)
    assert error["code"] == "version_unreadable"
    assert "node" not in error
    assert "sound" in error["message"]
    assert reason in error["message"]
    assert rig.record(good).state == "running"
    assert broken not in rig.engine.live
    assert [part.execution for part in rig.cluster.parts] == [good]
    assert rig.record(broken).engine_id is None


def test_the_sentence_names_the_workflow_its_version_and_what_is_wrong() -> None:
    rig = Rig()
    version = rig.publish(sound, document=to_document(sound.as_definition()))
    broken = rig.start(version)
    break_document(rig)
    rig.turn()
    said = rig.error(broken)["message"]
    assert said.startswith(f"Version 1 ({version.digest[:12]}) of the workflow sound cannot be read: ")
    assert "Publish the workflow again" in said


def test_one_that_is_to_be_cancelled_ends_cancelled() -> None:
    rig = Rig()
    broken = rig.start(rig.publish(sound))
    rig.store.contents.code.clear()
    rig.store.contents.update(broken, cancel_requested_at=rig.time.now())
    rig.turn()
    assert rig.record(broken).state == "cancelled"


def test_what_was_open_of_it_does_not_stay_open() -> None:
    rig = Rig()
    broken = rig.start(rig.publish(other))
    rig.store.contents.code.clear()
    standing = {(0,): NodeState.COMPLETED, (1,): NodeState.RUNNING}
    rig.store.contents.elements[broken] = {
        ("same", element): StoredElement(run=Run(state, 1), epoch=0, outcome=None)
        for element, state in standing.items()
    }
    rig.turn()
    rig.error(broken)
    elements = rig.store.contents.elements[broken]
    assert elements["same", (0,)].run.state == "completed"
    assert elements["same", (1,)].run.state == "cancelled"


def test_a_retry_of_one_that_still_does_not_load_says_so_and_later_works() -> None:
    rig = Rig()
    execution = rig.start(rig.publish(sound))
    kept = dict(rig.store.contents.code)
    rig.store.contents.code.clear()
    rig.turn()
    for _ in range(2):
        rig.catalog.command(DEFAULT_TENANT, execution, "retry")
        rig.turn()
        assert rig.error(execution)["code"] == "version_unreadable"
        assert rig.record(execution).engine_id is None
    rig.store.contents.code.update(kept)
    rig.catalog.command(DEFAULT_TENANT, execution, "retry")
    rig.turn()
    assert rig.record(execution).state == "running"
    rig.turn(rig.done(rig.cluster.parts[-1]))
    assert rig.record(execution).state == "completed"


def test_a_refused_parameter_is_the_executions_own_error() -> None:
    nodes = (Node(id="m", inputs={"x": ParameterRef("p")}, over={"x": 1}, config={"function": "f"}),)
    document = to_document(Definition(name="drawn", graph=Graph(nodes=nodes, parameters=())))
    document["parameters"] = [{"name": "p", "schema": {}}]
    rig = Rig()
    version = rig.publish(sound, name="drawn", document=document)
    execution = rig.start(version, p=5)
    rig.turn()
    error = rig.error(execution)
    assert error["code"] == "map_over"
    assert "it is 5" in error["message"]
    assert "node" not in error


def test_whatever_else_goes_wrong_concerns_one_execution(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any) -> Any:
        raise ZeroDivisionError("nobody has foreseen this")

    rig = Rig()
    monkeypatch.setattr("wfplatform.engine.adoption.restore", _once(refuse))
    broken = rig.start(rig.publish(sound))
    good = rig.start(rig.publish(other))
    rig.turn()
    error = rig.error(broken)
    assert error["code"] == "version_unreadable"
    assert "ZeroDivisionError: nobody has foreseen this" in error["message"]
    assert rig.record(good).state == "running"


def _once(refuse: Any) -> Any:
    from wfplatform.engine.adoption import restore

    calls: list[int] = []

    def instead(*args: Any) -> Any:
        calls.append(1)
        return refuse(*args) if len(calls) == 1 else restore(*args)

    return instead


@pytest.mark.parametrize("place", ["plan", "submit", "advance"])
def test_an_execution_the_engine_stumbles_over_later_fails_alone(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from wfplatform.core.lifecycle import advance
    from wfplatform.engine.dispatch import make_part, plan

    rig = Rig()
    broken = rig.start(rig.publish(sound), x=7)
    good = rig.start(rig.publish(other), x=1)

    def of_broken(*args: Any) -> bool:
        return any(getattr(arg, "id", getattr(arg, "execution", None)) == broken for arg in args)

    def stumble(real: Any) -> Any:
        def instead(*args: Any, **kwargs: Any) -> Any:
            if of_broken(*args) and not any(type(arg).__name__ == "Rejected" for arg in args):
                raise RecursionError("too deep")
            return real(*args, **kwargs)

        return instead

    where, real = {
        "plan": ("wfplatform.engine.dispatch.plan", plan),
        "submit": ("wfplatform.engine.dispatch.make_part", make_part),
        "advance": ("wfplatform.engine.orchestrator.advance", advance),
    }[place]
    monkeypatch.setattr(where, stumble(real))
    rig.turn()
    error = rig.error(broken)
    assert error["code"] == "engine_error"
    assert "RecursionError: too deep" in error["message"]
    assert [part.execution for part in rig.cluster.parts] == [good]
    rig.turn(*map(rig.done, rig.cluster.parts))
    assert rig.record(good).state == "completed"


class Storage:
    """An artifact storage that is away for some digests."""

    def __init__(self) -> None:
        self.away: set[str] = set()
        self.asked: list[str] = []

    def __call__(self, digest: str, body: bytes) -> None:
        self.asked.append(digest)
        if digest in self.away:
            raise StorageError("storage_full", "There is no room.")


def test_a_storage_that_does_not_take_the_program_is_asked_again_later() -> None:
    storage = Storage()
    rig = Rig(storage)
    first, second = rig.publish(sound), rig.publish(other)
    storage.away = {first.digest}
    waits = [rig.start(first) for _ in range(3)]
    good = rig.start(second)
    rig.turn()
    assert {rig.record(one).state for one in (*waits, good)} == {"running"}
    assert [part.execution for part in rig.cluster.parts] == [good]
    assert storage.asked == [first.digest, second.digest]
    for _ in range(20):
        rig.turn()
    assert storage.asked.count(first.digest) == 1  # not before its time
    patience_s = rig.engine.patience_s
    assert patience_s is not None
    assert 0 < patience_s <= 1
    waited_s = []
    while len(waited_s) < 8:
        wait_s = rig.engine.patience_s
        assert wait_s is not None
        waited_s.append(wait_s)
        rig.time.move(wait_s)
        rig.turn(look=False)
    assert storage.asked.count(first.digest) == 9
    assert waited_s == sorted(waited_s)
    assert max(waited_s) == pytest.approx(10)
    storage.away = set()
    late = rig.start(first)  # joins those that wait
    rig.turn()
    assert len(rig.cluster.parts) == 1
    rig.time.move(10)
    rig.turn(look=False)
    assert sorted({part.execution for part in rig.cluster.parts}) == sorted([*waits, good, late])
    rig.time.move(1)  # their counters are written
    rig.turn(look=False)
    assert rig.engine.patience_s is None


def test_a_storage_that_raises_something_of_its_own_blames_nobody() -> None:
    def publish(digest: str, body: bytes) -> None:
        raise PermissionError(13, "not yours")

    rig = Rig(publish)
    execution = rig.start(rig.publish(sound))
    rig.turn()
    assert rig.record(execution).state == "running"


def test_a_database_that_does_not_answer_is_asked_once_a_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    rig = Rig()
    executions = [rig.start(rig.publish(sound)), rig.start(rig.publish(other))]
    asked: list[Any] = []
    real = rig.store.version

    def away(version_id: Any) -> Any:
        asked.append(version_id)
        raise UnreachableError("database_down", "It does not answer.")

    monkeypatch.setattr(rig.store, "version", away)
    rig.turn()
    assert len(asked) == 1
    monkeypatch.setattr(rig.store, "version", real)
    rig.time.move(1)
    rig.turn(look=False)
    assert {part.execution for part in rig.cluster.parts} == set(executions)


def test_one_that_waits_to_be_taken_up_can_be_cancelled_and_given_back() -> None:
    storage = Storage()
    rig = Rig(storage)
    version = rig.publish(sound)
    storage.away = {version.digest}
    first, second = rig.start(version), rig.start(version)
    rig.turn()
    rig.catalog.command(DEFAULT_TENANT, second, "pause")
    rig.catalog.command(DEFAULT_TENANT, first, "cancel")
    rig.turn()
    assert rig.record(first).state == "cancelled"
    assert rig.record(second).paused_at is None
    storage.away = set()
    rig.time.move(1)
    rig.turn()
    assert rig.record(second).paused_at is not None  # what was asked of it was not forgotten
    third = rig.start(rig.publish(other))
    storage.away = {other.version}
    rig.turn()
    rig.engine.release_all()
    assert rig.record(third).engine_id is None
    assert rig.record(second).state is not ExecutionState.FAILED
