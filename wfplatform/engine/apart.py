"""A commit in pieces, for when the database refuses something in it: all that can be stored is, and what cannot is named.

Refuses: deciding what becomes of that. Writing a commit in pieces twice changes nothing, as writing it whole does not.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from typing import Final, NamedTuple
from uuid import UUID

from wfplatform.core.execution import Element
from wfplatform.core.ports import Commit
from wfplatform.errors import UnstorableError

__all__ = ["Refusal", "write"]

_MOST_TRIES: Final = 64
"""Of one execution so many pieces are tried; what is refused then is refused as it is, together."""


class Refusal(NamedTuple):
    """Something of an execution that cannot be stored. The rest of it that was in the commit is dropped.

    Args:
        elements: of what is told about nodes. Empty when that is stored, but not what is said of the whole execution.
    """

    execution: UUID
    elements: tuple[tuple[str, Element], ...]
    error: UnstorableError


def write(store: Callable[[Commit], None], commit: Commit) -> list[Refusal]:
    """Write a commit as one transaction; if it is refused, execution by execution, and of those refused element by element.

    Args:
        store: writes a commit as one transaction.
        commit: what to write.

    Returns:
        what was refused, an entry for each execution at most.

    Raises:
        ConflictError: code `fenced`; as the store raises it.
        UnreachableError: the database does not answer; what of the commit was written is unknown.
    """
    try:
        store(commit)
    except UnstorableError:
        pass
    else:
        return []
    executions = list(dict.fromkeys(_concerned(commit)))
    refused = _by_halves(executions, lambda some: store(_of_executions(commit, frozenset(some))), 2 * len(executions))
    found = [
        refusal
        for some, _ in refused
        for one in some
        if (refusal := _write_one(store, one, _of_executions(commit, {one}))) is not None
    ]
    # Last, so that a command counts as done only when what came of it is written.
    store(_of_nobody(commit))
    return found


def _write_one(store: Callable[[Commit], None], execution: UUID, commit: Commit) -> Refusal | None:
    """Write what there is of one execution: its elements first, and if all of these can be stored the rest."""
    places = list(dict.fromkeys(_places(commit)))
    refused = _by_halves(places, lambda some: store(_of_elements(commit, frozenset(some))), _MOST_TRIES)
    if refused:
        return Refusal(execution, tuple(place for some, _ in refused for place in some), refused[0][1])
    try:
        store(_without_elements(commit))
    except UnstorableError as error:
        return Refusal(execution, (), error)
    return None


def _by_halves[T](
    pieces: Sequence[T], store: Callable[[Sequence[T]], None], tries: int
) -> list[tuple[Sequence[T], UnstorableError]]:
    """Write pieces in their order, as many together as can be; returns what is refused."""
    refused: list[tuple[Sequence[T], UnstorableError]] = []
    left = [pieces] if pieces else []
    while left:
        some = left.pop()
        tries -= 1
        try:
            store(some)
        except UnstorableError as error:
            if len(some) == 1 or tries <= 0:
                refused.append((some, error))
            else:
                middle = len(some) // 2
                left += [some[middle:], some[:middle]]
    return refused


def _concerned(commit: Commit) -> list[UUID]:
    """Whose changes are in a commit."""
    return [
        *(record.execution_id for record in commit.nodes),
        *(change.id for change in commit.executions),
        *(by for _, child in commit.children if (by := child.begun_by) is not None),
        *(command.told_by for command in commit.commands if command.told_by is not None),
        *(entry.execution_id for entry in commit.cache),
        *(execution for execution, _ in commit.progress),
    ]


def _of_executions(commit: Commit, executions: AbstractSet[UUID]) -> Commit:
    """What belongs to some executions."""
    return Commit(
        engine_id=commit.engine_id,
        nodes=[record for record in commit.nodes if record.execution_id in executions],
        executions=[change for change in commit.executions if change.id in executions],
        children=[one for one in commit.children if one[1].begun_by in executions],
        commands=[command for command in commit.commands if command.told_by in executions],
        cache=[entry for entry in commit.cache if entry.execution_id in executions],
        asleep=[one for one in commit.asleep if one.id in executions],
        progress=[one for one in commit.progress if one[0] in executions],
    )


def _of_nobody(commit: Commit) -> Commit:
    """What belongs to no execution that is changed."""
    return Commit(
        engine_id=commit.engine_id,
        children=[one for one in commit.children if one[1].begun_by is None],
        commands=[command for command in commit.commands if command.told_by is None],
        commands_done=commit.commands_done,
        released=commit.released,
    )


def _places(commit: Commit) -> list[tuple[str, Element]]:
    """The elements of one execution of which something is told."""
    return [
        *((record.recorded.node, record.recorded.element) for record in commit.nodes),
        *((outcome.node, outcome.element) for _, outcome in commit.progress),
    ]


def _of_elements(commit: Commit, places: AbstractSet[tuple[str, Element]]) -> Commit:
    """What is told of some elements of one execution."""
    return Commit(
        engine_id=commit.engine_id,
        nodes=[one for one in commit.nodes if (one.recorded.node, one.recorded.element) in places],
        progress=[one for one in commit.progress if (one[1].node, one[1].element) in places],
    )


def _without_elements(commit: Commit) -> Commit:
    """What is said of one execution as a whole, and what follows from that."""
    return Commit(
        engine_id=commit.engine_id,
        executions=commit.executions,
        children=commit.children,
        commands=commit.commands,
        cache=commit.cache,
        asleep=commit.asleep,
    )
