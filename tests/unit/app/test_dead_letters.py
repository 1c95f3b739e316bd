"""Dead letters in the hands of a user: what is refused before anything runs again, and what runs again with which inputs."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import pytest

from tests.integration.running import ended, node, until
from wfplatform import Cache, Retry, approval, loop, unmapped, workflow
from wfplatform import node as node_of
from wfplatform.bootstrap.inline import InlinePlatform
from wfplatform.errors import ConflictError, NotFoundError, ParameterError, UserError

WAIT_S = 30.0


@node_of
def rows(n: int) -> list[int]:
    return list(range(n))


@node_of(retry=Retry(attempts=2, delay_s=0.0))
def parse(row: int, offset: int) -> int:
    """Fails for each third row."""
    logging.getLogger("parse").warning("row %d", row)
    if row % 3 == 0:
        raise ValueError(f"row {row} is bad")
    return row + offset


@node_of
def twice(x: int) -> int:
    return 2 * x


@node_of(cache=Cache())
def picky(x: Any) -> Any:
    if x == "bad":
        raise LookupError("bad")
    return [x]


def turn(state: int, most: int) -> int:
    if state >= most:
        raise OverflowError(state)
    return state + 1


def goes_on(state: int) -> bool:
    return state < 5


@workflow
def parsed(n: int, offset: int) -> Any:
    return twice.map(parse.map(rows(n), offset=unmapped(offset)))


@workflow
def plain(word: str, words: list[str]) -> Any:
    return picky(word), picky.map(words)


@workflow
def turned(most: int) -> Any:
    return loop(turn, 0, while_=goes_on, limit=9, most=most)


@workflow
def patient(word: str) -> Any:
    return picky(word), approval("Go on?")["approved"]


@workflow
def below(word: str) -> Any:
    return picky(word)


@workflow
def above(word: str) -> Any:
    return below(word)


@pytest.fixture
def platform() -> Iterator[InlinePlatform]:
    with InlinePlatform() as made:
        yield made


def broken(platform: InlinePlatform, flow: Any, **parameters: Any) -> Any:
    execution = platform.run(flow, parameters)
    assert ended(execution) == "failed"
    return execution


def states(execution: Any, name: str) -> list[str]:
    return [str(one.state) for one in execution.nodes() if one.node == name]


def test_they_are_listed_looked_at_and_replayed_one_by_one(platform: InlinePlatform) -> None:
    execution = broken(platform, parsed, n=7, offset=1)
    found = platform.dead_letters(workflow="parsed")
    assert sorted(one.record.element for one in found) == [(0,), (3,), (6,)]
    letter = next(one for one in found if one.record.element == (3,))
    assert letter.id == f"{execution.id}/parse/3"
    assert repr(letter) == f"<dead letter {letter.id} of parsed: ValueError: row 3 is bad>"
    seen = letter.inspect()
    assert {port: (one.value, one.source) for port, one in seen.inputs.items()} == {
        "row": (3, "output result of rows"),
        "offset": (1, "parameter offset"),
    }
    assert "ValueError: row 3 is bad" in seen.traceback
    assert ([one.attempt for one in seen.attempts], [one.message for one in seen.logs]) == ([1], ["row 3"] * 2)
    assert letter.replay({"row": 4}).wait(WAIT_S) == "failed"
    assert (execution.record.error["element"], states(execution, "parse").count("failed")) == ([0], 2)
    known = node(execution, "parse", (3,))
    assert (str(known.state), known.attempt, known.edit["inputs"], known.edit["by"]) == (
        "completed",
        3,
        {"row": 4},
        "inline",
    )
    assert states(execution, "twice") == ["skipped", *["completed"] * 5, "skipped"]
    with pytest.raises(NotFoundError, match="is no dead letter, or none any more"):
        letter.replay()
    (again,) = platform.dead_letters(node="parse", error="ValueError").replay({"row": 1})
    assert again.result(WAIT_S) == [4, 4, 6, 10, 10, 12, 4]


def test_an_edit_stays_for_later_tries_until_it_is_taken_back(platform: InlinePlatform) -> None:
    execution = broken(platform, parsed, n=1, offset=1)
    platform.dead_letters()[0].replay({"row": 9, "offset": 5}).wait(WAIT_S)
    (letter,) = platform.dead_letters()
    assert letter.record.message == "row 9 is bad"
    assert {one.value: one.is_edited for one in letter.inspect().inputs.values()} == {9: True, 5: True}
    execution.retry()
    execution.wait(WAIT_S)
    assert platform.dead_letters()[0].record.message == "row 9 is bad"
    platform.dead_letters()[0].replay({"row": 2}).wait(WAIT_S)
    assert execution.result() == [6], "the offset is that of the definition again"
    other = broken(platform, parsed, n=1, offset=1)
    platform.dead_letters()[0].replay({"row": 9}).wait(WAIT_S)
    platform.dead_letters()[0].replay({}).wait(WAIT_S)
    assert (platform.dead_letters()[0].record.message, node(other, "parse", (0,)).edit) == ("row 0 is bad", None)


def test_inputs_are_checked_before_anything_runs(platform: InlinePlatform) -> None:
    execution = broken(platform, parsed, n=4, offset=1)
    letters = platform.dead_letters()
    for inputs, error, complaint in (
        ({"rwo": 1}, UserError, "has no input 'rwo'; did you mean 'row'"),
        ({"row": {1, 2}}, UserError, "must be plain JSON"),
        ({"row": float("nan")}, UserError, "must be plain JSON"),
        ({"row": "x" * 2_000_000}, UserError, "at most 1048576"),
        ({"offset": "many"}, ParameterError, "expected a whole number"),
    ):
        with pytest.raises(error, match=complaint):
            letters.replay(inputs)
    assert {one.attempt for one in execution.nodes() if str(one.state) == "failed"} == {2}
    assert letters[0].replay({"row": 1, "offset": "7"}).wait(WAIT_S) == "failed"
    assert node(execution, "parse", letters[0].record.element).edit["inputs"] == {"row": 1, "offset": 7}


def test_an_item_of_a_parameter_is_checked_by_the_type_of_its_items(platform: InlinePlatform) -> None:
    execution = broken(platform, plain, word="good", words=["good", "bad"])
    (letter,) = platform.dead_letters(error="LookupError", execution=str(execution.id))
    with pytest.raises(ParameterError, match="expected text"):
        letter.replay({"x": 5})
    assert letter.replay({"x": "fine"}).result(WAIT_S) == (["good"], [["good"], ["fine"]])


def test_what_comes_of_other_inputs_is_not_kept_for_reuse(platform: InlinePlatform) -> None:
    broken(platform, plain, word="bad", words=[])
    platform.dead_letters()[0].replay({"x": "good"}).wait(WAIT_S)
    assert not platform.store.contents.cache
    assert platform.run(plain, {"word": "good", "words": []}).result(WAIT_S) == (["good"], [])
    broken(platform, plain, word="bad", words=[])
    execution = platform.dead_letters()[0].replay({"x": "good"})
    assert execution.wait(WAIT_S) == "completed"
    assert node(execution, "picky").reused_from is None


def test_what_is_discarded_is_gone_and_its_execution_as_it_was(platform: InlinePlatform) -> None:
    execution = broken(platform, parsed, n=7, offset=1)
    before = execution.record
    found = platform.dead_letters()
    found[0].discard("nobody needs it")
    assert found[1:].discard("nor these") == 2
    assert len(platform.dead_letters()) == 0
    assert execution.record == before
    assert {one.discarded["reason"] for one in execution.nodes() if one.discarded} == {"nobody needs it", "nor these"}
    for act in (found[0].replay, found[0].discard, found.replay, found.discard):
        with pytest.raises(NotFoundError):
            act()
    execution.retry()
    until(lambda: len(platform.dead_letters()) == 3, "failing again")


def test_a_list_says_where_the_next_one_begins(platform: InlinePlatform) -> None:
    broken(platform, parsed, n=7, offset=1)
    first = platform.dead_letters(limit=2)
    rest = platform.dead_letters(limit=2, after=first.next)
    assert ([len(first), len(rest)], rest.next) == ([2, 1], None)
    assert len({one.id for one in [*first, *rest]}) == 3


def test_what_is_too_old_is_no_dead_letter() -> None:
    with InlinePlatform(dead_letters_kept_s=0.0) as platform:
        execution = broken(platform, parsed, n=1, offset=1)
        assert len(platform.dead_letters()) == 0
        execution.retry()
        assert ended(execution) == "failed", "a retry goes on from all that failed, however long ago"


def test_a_loop_goes_on_with_its_state_and_with_other_inputs(platform: InlinePlatform) -> None:
    broken(platform, turned, most=2)
    (letter,) = platform.dead_letters()
    with pytest.raises(ConflictError, match="2 turns are done"):
        letter.replay({"state": 0})
    assert letter.replay({"most": 9}).result(WAIT_S) == 5


def test_a_branch_is_replayed_while_the_execution_waits_for_somebody(platform: InlinePlatform) -> None:
    execution = platform.run(patient, {"word": "bad"})
    until(lambda: execution.state == "waiting" and len(platform.dead_letters()) == 1, "the wait")
    platform.dead_letters()[0].replay({"x": "good"})
    until(lambda: str(node(execution, "picky").state) == "completed", "the replay")
    execution.approve()
    assert execution.result(WAIT_S) == (["good"], True)


def test_a_child_execution_that_failed_begins_anew_with_other_parameters(platform: InlinePlatform) -> None:
    execution = broken(platform, above, word="bad")
    letters = {one.record.workflow_name: one for one in platform.dead_letters()}
    assert sorted(letters) == ["above", "below"]
    assert letters["above"].replay({"word": "good"}).result(WAIT_S) == ["good"]
    assert execution.state == "completed"


def test_a_cancelled_execution_has_none(platform: InlinePlatform) -> None:
    execution = platform.run(patient, {"word": "bad"})
    until(lambda: len(platform.dead_letters()) == 1, "the failure")
    (letter,) = platform.dead_letters()
    execution.cancel()
    assert ended(execution) == "cancelled"
    assert len(platform.dead_letters()) == 0
    with pytest.raises(NotFoundError, match="cancelled"):
        letter.replay()
