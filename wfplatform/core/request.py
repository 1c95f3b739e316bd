"""What users and clocks ask of a whole execution: to stop, and to go on after a failure. Used by `lifecycle` alone."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from typing import Any, Final

from wfplatform.core.draft import Draft
from wfplatform.core.event import CancelSegments, Finish, Recorded, Replay, Retried
from wfplatform.core.execution import WHOLE, Element, ExecutionState, NodeState, Run
from wfplatform.core.graph import NodeKind
from wfplatform.core.propagation import decide
from wfplatform.core.redo import forget_undone
from wfplatform.core.stopping import ask, ask_children

__all__ = ["cancel", "expire", "reject", "retry"]

_OF_THE_END: Final = frozenset({"stopped", "not_undone", "not_undone_count"})
"""What an error says of the end of an execution, which is over when that is tried again."""


def expire(draft: Draft, timeout_s: float) -> None:
    """The execution fails, because it had work on the cluster for longer than it may."""
    error = {
        "type": "ExecutionTimeout",
        "code": "execution_timeout",
        "message": f"The execution had work on the cluster for more than its timeout of {timeout_s:g} s.",
    }
    reason = "the execution's timeout was over"
    if draft.graph.unwinding and not draft.unwinding:
        draft.changes["error"] = {**(draft.base.error or error), "stopped": reason}
        ask(draft)
        return
    if draft.unwinding:
        give_up(draft, reason)
        return
    draft.changes["error"] = draft.base.error or error
    stop_all(draft, reason)
    draft.finish(ExecutionState.FAILED)


def cancel(draft: Draft) -> None:
    """Somebody wants it to end: at once, or when what it did is undone."""
    draft.changes["cancel_requested_at"] = draft.base.cancel_requested_at or draft.now
    if draft.graph.unwinding:
        ask(draft)
        return
    stop_all(draft, "the execution was cancelled")
    draft.finish(ExecutionState.CANCELLED)


def give_up(draft: Draft, reason: str) -> None:
    """The time is over in which it was to be undone: it ends, and its error says what was not."""
    for node in draft.graph.unwinding:
        for element, run in list(draft.known(node.id).items()):
            if not run.state.final:
                draft.put(
                    node.id, element, replace(run, state=NodeState.CANCELLED, reason=reason, due_at=None, awaits=None)
                )
                draft.fail(node.id, element, {"message": f"It was not done when {reason}."})
    draft.effects.append(CancelSegments())
    # `lifecycle` ends it now, as it was to end.


def reject(draft: Draft, error: Mapping[str, Any], elements: Iterable[tuple[str, Element]] = ()) -> None:
    """The execution fails as a whole: it cannot be run, whatever its nodes did; these elements fail with it."""
    if draft.graph.unwinding and not draft.unwinding and not draft.base.stopping and not draft.has_ended:
        draft.changes["error"] = {**error, "stopped": "the execution could not be run"}
        for name, place in elements:
            if name in draft.base.nodes:
                _fail_unrecorded(draft, name, place, error)
        ask(draft)
        return
    if draft.unwinding and not draft.has_ended:
        for name, place in elements:
            if name in draft.base.nodes:
                _fail_unrecorded(draft, name, place, error)
                draft.fail(name, place, error)
        give_up(draft, "the execution could not be run")
        return
    draft.changes["error"] = dict(error)
    stop_all(draft, "the execution could not be run")
    for name, place in elements:
        if name in draft.base.nodes:
            _fail_unrecorded(draft, name, place, error)
    draft.finish(ExecutionState.FAILED)


def _fail_unrecorded(draft: Draft, name: str, place: Element, error: Mapping[str, Any]) -> None:
    """An element fails although it may have completed; of a loop, the turns that are recorded stay done."""
    rank = draft.base.nodes[name].rank
    known = draft.run(name, place[:rank])
    turns = (known.sizes or {}).get("turns") if known else None
    if turns is not None and len(place) > rank:
        turns = min(turns, place[rank])
    run = Run(
        NodeState.FAILED,
        max(known.attempt if known else 0, 1),
        tries=known.tries if known else 0,
        lost=known.lost if known else 0,
        sizes={"turns": turns} if turns else None,
        error=dict(error),
    )
    draft.put(name, place[:rank], run)


def stop_all(draft: Draft, reason: str) -> None:
    """What is under way is cancelled at once; what runs is told so, children too."""
    ask_children(draft)
    for name, before in draft.base.nodes.items():
        for element, run in before.runs.items():
            if not run.state.final:
                stopped = replace(run, state=NodeState.CANCELLED, reason=reason, due_at=None, awaits=None)
                draft.put(name, element, stopped)
    draft.effects.append(CancelSegments())


def retry(draft: Draft, event: Retried) -> None:
    """Failed and cancelled elements are pending again, and so is all that was skipped because of them.

    With `only`, of the elements that failed by themselves just these; what has not begun or was stopped with the execution
    goes on with it all the same, because an execution that ended goes on as a whole.
    """
    chosen = None if event.only is None else _chosen(draft, event.only)
    if chosen is not None and not chosen:
        if draft.base.state.final:
            draft.effects.append(Finish(draft.base.state))  # it was taken up for nothing
        return
    left = None if chosen is None else _left(draft, chosen)
    draft.changes |= {"error": None if left is None else {name: left[name] for name in left if name not in _OF_THE_END}}
    anew: frozenset[str] = frozenset()
    if draft.base.state.final:
        draft.changes |= {"state": ExecutionState.RUNNING, "finished_at": None, "cancel_requested_at": None}
        draft.changes["paused_at"] = None  # the pause was over with its end
        anew = forget_undone(draft)
    opened: dict[str, _Opened] = {name: _Opened() for name in anew}
    for one in opened.values():
        one.add(WHOLE)
    for node in draft.graph.nodes:
        for element, run in draft.base.nodes[node.id].runs.items() if node.id not in anew else ():
            if not _is_meant(draft, opened, node.id, element, run, chosen):
                continue
            # What failed stays known: word of that try may come twice.
            edit, error = run.edit, run.error if run.is_dead else None
            if chosen is not None and (node.id, element) in chosen:
                edit = _edit(draft, run, chosen[node.id, element], event.by)
            turns = run.sizes if node.type == NodeKind.LOOP else None  # those that are done stay done
            again = Run(NodeState.PENDING, run.attempt, sizes=turns, error=error, edit=edit)
            runs = draft.runs(node.id)
            if len(element) < node.rank:
                del runs[element]
            else:
                runs[element] = again
            draft.recorded.append(Recorded(node.id, element, again, None, fresh=False))
            opened.setdefault(node.id, _Opened()).add(element)
    for name in opened:
        draft.recount(name)
    for name in opened:
        decide(draft, name, WHOLE)
    draft.needs_plan = True


class _Opened:
    """Elements of one node that are open again."""

    def __init__(self) -> None:
        self._elements: set[Element] = set()
        self._prefixes: set[Element] = set()

    def add(self, element: Element) -> None:
        self._elements.add(element)
        self._prefixes.update(element[:depth] for depth in range(len(element) + 1))

    def holds_up(self, element: Element, shared: int) -> bool:
        """Whether one that agrees in the first indices with any of these is kept from running by it."""
        if element[:shared] in self._prefixes:
            return True
        return any(element[:depth] in self._elements for depth in range(min(shared, len(element))))


def _chosen(draft: Draft, only: Iterable[Replay]) -> dict[tuple[str, Element], Replay]:
    """Those that still stand as they were chosen. Who cancelled an execution decided about all of it."""
    if draft.base.state is ExecutionState.CANCELLED:
        return {}
    found: dict[tuple[str, Element], Replay] = {}
    for one in only:
        runs = draft.base.nodes.get(one.node)
        run = runs.runs.get(one.element) if runs is not None else None
        is_work = draft.graph.by_id[one.node].unwinds is None if one.node in draft.graph.by_id else False
        if run is not None and is_work and run.is_dead and run.attempt == one.attempt:
            found[one.node, one.element] = one
    return found


def _is_meant(
    draft: Draft,
    opened: Mapping[str, _Opened],
    name: str,
    element: Element,
    run: Run,
    chosen: Collection[tuple[str, Element]] | None,
) -> bool:
    """Whether an element is to be open again, `opened` being what is so far of the nodes before it."""
    if not run.state.final or run.state is NodeState.COMPLETED or (run.state is NodeState.SKIPPED and not run.upstream):
        return False
    if chosen is None or (name, element) in chosen or run.state is NodeState.CANCELLED:
        return True
    links = draft.graph.links[name] if run.upstream else ()
    return any(link.source in opened and opened[link.source].holds_up(element, link.shared) for link in links)


def _left(draft: Draft, chosen: Collection[tuple[str, Element]]) -> Mapping[str, Any] | None:
    """Why the execution fails even if what is chosen completes; None if it does not."""
    error = draft.base.error
    if error is not None and "node" in error and (error["node"], tuple(error["element"])) not in chosen:
        return error
    for node in draft.graph.nodes:
        runs = draft.base.nodes[node.id].runs
        dead = [element for element, run in runs.items() if run.is_dead and (node.id, element) not in chosen]
        if dead:
            first = min(dead)
            return {**(runs[first].error or {}), "node": node.id, "element": list(first)}
    return None


def _edit(draft: Draft, run: Run, replay: Replay, by: str) -> Mapping[str, Any] | None:
    """What of the inputs is replaced from now on."""
    if replay.inputs is None:
        return run.edit
    return {"inputs": dict(replay.inputs), "by": by, "at": draft.now.isoformat()} if replay.inputs else None
