"""An execution while one event changes it: what was touched, what is to be recorded, and what is to be done about it.

Copies the runs of a node once, when they are first touched. Refuses to decide anything: `lifecycle` and `propagation` do.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from types import MappingProxyType
from typing import Any, Final

from wfplatform.core.event import Effect, Finish, Plan, Recorded
from wfplatform.core.execution import (
    Element,
    Execution,
    ExecutionState,
    NodeRuns,
    NodeState,
    Outcome,
    Run,
    blank_runs,
    ended_among,
)
from wfplatform.core.graph import Graph

__all__ = ["Draft", "Transition"]

_MOST_SHOWN: Final = 20
"""Of what could not be undone, the error of an execution names so many; the others are found among its nodes."""
_NOT_UNDONE: Final[Mapping[str, Any]] = {
    "type": "NotUndone",
    "code": "not_undone",
    "message": "Not all that it did could be undone.",
}


@dataclass(frozen=True, slots=True)
class Transition:
    """The result of one `advance`: the new execution, what to commit, and what to do after the commit."""

    execution: Execution
    recorded: tuple[Recorded, ...] = ()
    effects: tuple[Effect, ...] = ()


class Draft:
    """An execution being changed.

    Args:
        base: as it stands.
        graph: its definition.
        now: the present instant.
        chance: a number in [0, 1) that decides retry jitter.
    """

    def __init__(self, base: Execution, graph: Graph, now: datetime, chance: float) -> None:
        self.base = base
        self.graph = graph
        self.now = now
        self.chance = chance
        self.changes: dict[str, Any] = {}
        self.needs_plan = False
        self.recorded: list[Recorded] = []
        self.effects: list[Effect] = []
        self._runs: dict[str, dict[Element, Run]] = {}
        self._sizes: dict[str, dict[Element, int]] = {}
        self._ended: dict[str, int] = {}

    # -- reading

    def known(self, node: str) -> Mapping[Element, Run]:
        """The runs of a node as they stand in this draft."""
        found = self._runs.get(node)
        return self.base.nodes[node].runs if found is None else found

    def run(self, node: str, element: Element) -> Run | None:
        """Of one element, or of the branch it belongs to if that ended as a whole; None while it is simply pending."""
        touched = self._runs.get(node)
        runs = self.base.nodes[node].runs if touched is None else touched
        found = runs.get(element)
        if found is None and element:
            for cut in range(len(element) - 1, -1, -1):
                found = runs.get(element[:cut])
                if found is not None:
                    return found
        return found

    def size(self, node: str, prefix: Element) -> int | None:
        """How many elements there are below a prefix, if that is known."""
        sizes = self._sizes.get(node)
        return self.base.nodes[node].sizes.get(prefix) if sizes is None else sizes.get(prefix)

    @property
    def has_ended(self) -> bool:
        """Whether the execution has come to its end."""
        return bool(self.changes.get("state", self.base.state).final)

    @property
    def unwinding(self) -> bool:
        """Whether what it did is being undone."""
        return bool(self.changes.get("unwinding", self.base.unwinding))

    def all_ended(self, node: str) -> bool:
        """Whether everything has ended that is recorded of a node that unwinds."""
        touched = self._runs.get(node)
        before = self.base.nodes[node]
        return self._ended[node] == len(touched) if touched is not None else before.ended == len(before.runs)

    def complete(self, node: str) -> bool:
        """Whether every element of a node has ended."""
        return self._after(node).complete

    # -- writing

    def add_unwinding(self) -> None:
        """From now on there are the nodes that unwind, too; of those that ran before, what is recorded stays."""
        found = {node.id: blank_runs(node.rank) for node in self.graph.unwinding if node.id not in self.base.nodes}
        if found:
            self.base = replace(self.base, nodes={**self.base.nodes, **found})

    def runs(self, node: str) -> dict[Element, Run]:
        """The runs of a node, to be changed."""
        found = self._runs.get(node)
        if found is None:
            before = self.base.nodes[node]
            found = self._runs[node] = dict(before.runs)
            self._ended[node] = before.ended
        return found

    def set_size(self, node: str, prefix: Element, size: int) -> None:
        """The number of elements below a prefix became known."""
        sizes = self._sizes.get(node)
        if sizes is None:
            self.runs(node)
            sizes = self._sizes[node] = dict(self.base.nodes[node].sizes)
        sizes[prefix] = size

    def forget_sizes(self, node: str) -> None:
        """How many elements there are is not known any more."""
        self.runs(node)
        self._sizes[node] = {}

    def put(self, node: str, element: Element, run: Run, outcome: Outcome | None = None) -> None:
        """Change one element, to be recorded."""
        runs = self.runs(node)
        before = runs.get(element)
        run = _as_edited(run, before)
        if run.state.final and not (before and before.state.final):
            self._ended[node] += 1
        elif before and before.state.final and not run.state.final:
            self._ended[node] -= 1
        runs[element] = run
        self.recorded.append(Recorded(node, element, run, outcome, before is None))

    def put_branch(self, node: str, prefix: Element, run: Run) -> None:
        """End all elements below a prefix that have not completed, as one; the prefix stands for those nothing is known of."""
        runs = self.runs(node)
        length = len(prefix)
        below = [one for one in runs if len(one) > length and one[:length] == prefix]
        for element in below:
            if runs[element].state is NodeState.COMPLETED:
                continue
            ended = runs[element] = _as_edited(run, runs[element])
            self.recorded.append(Recorded(node, element, ended, None, fresh=False))
        self.put(node, prefix, run)
        if below:
            self.recount(node)

    def recount(self, node: str) -> None:
        """Count anew what has ended, after more than one element was changed by hand."""
        self._ended[node] = ended_among(self.runs(node))

    def fail(self, node: str, element: Element, error: Mapping[str, Any]) -> None:
        """Keep the first cause of the execution's failure; and, besides, what could not be undone."""
        if self.unwinding:
            self._note_undone(node, element, error)
        elif self.changes.get("error", self.base.error) is None:
            # That a child was stopped does not mean that its parent is.
            first = {name: fact for name, fact in error.items() if name != "stopped"}
            self.changes["error"] = {**first, "node": node, "element": list(element)}

    def _note_undone(self, node: str, element: Element, error: Mapping[str, Any]) -> None:
        found = self.graph.by_id[node].unwinds
        if found is None:
            return
        before = dict(self.changes.get("error", self.base.error) or _NOT_UNDONE)
        count, first = before.get("not_undone_count", 0), list(before.get("not_undone", ()))
        if count < _MOST_SHOWN:
            message = str(error.get("message", ""))
            first.append({"node": found.node, "element": list(element), "by": node, "message": message})
        self.changes["error"] = {**before, "not_undone": first, "not_undone_count": count + 1}

    def finish(self, state: ExecutionState) -> None:
        """The execution has ended."""
        self.changes |= {"state": state, "finished_at": self.now}
        self.effects.append(Finish(state))

    # -- the end

    @property
    def left(self) -> int:
        """How many nodes of the work have not ended."""
        return sum(not self.complete(node.id) for node in self.graph.nodes)

    @property
    def _stops(self) -> bool:
        """Whether it is waited for how what runs ends, before it is undone."""
        return bool(self.graph.unwinding) and self.base.stopping

    def _after(self, node: str) -> NodeRuns:
        before = self.base.nodes[node]
        runs = self._runs.get(node)
        if runs is None:
            return before
        return NodeRuns(before.rank, self._sizes.get(node, before.sizes), runs, self._ended[node])

    def transition(self) -> Transition:
        """The execution as it has become; it ends when no node is open any more."""
        nodes: Mapping[str, NodeRuns] = self.base.nodes
        open_nodes = self.base.open_nodes
        if self._runs:
            changed = dict(nodes)
            for name, runs in self._runs.items():
                before = nodes[name]
                sizes = self._sizes.get(name)
                now = changed[name] = NodeRuns(
                    before.rank,
                    before.sizes if sizes is None else MappingProxyType(sizes),
                    MappingProxyType(runs),
                    self._ended[name],
                )
                open_nodes += int(before.complete) - int(now.complete)
            nodes = changed
        has_ended = self.has_ended
        if self.graph.unwinding:
            # What is counted is either the work or what takes it back.
            ended = [self.all_ended(node.id) for node in self.graph.unwinding] if self.unwinding else ()
            open_nodes = ended.count(False) if self.unwinding else self.left
        if open_nodes == 0 and not has_ended and not self.unwinding and not self._stops:
            failed = self.changes.get("error", self.base.error) is not None
            self.finish(ExecutionState.FAILED if failed else ExecutionState.COMPLETED)
        elif self.needs_plan and not has_ended:
            self.effects.insert(0, Plan())
        base, after = self.base, self.changes
        # Written out, because dataclasses.replace takes three times as long and this runs twice for every execution.
        execution = Execution(
            id=base.id,
            epoch=base.epoch,
            state=after.get("state", base.state),
            nodes=nodes,
            open_nodes=open_nodes,
            cancel_requested_at=after.get("cancel_requested_at", base.cancel_requested_at),
            paused_at=after.get("paused_at", base.paused_at),
            error=after.get("error", base.error),
            started_at=after.get("started_at", base.started_at),
            finished_at=after.get("finished_at", base.finished_at),
            mailbox=after.get("mailbox", base.mailbox),
            unwinding=after.get("unwinding", base.unwinding),
        )
        return Transition(execution, tuple(self.recorded), tuple(self.effects))


def _as_edited(run: Run, before: Run | None) -> Run:
    """An element's new standing: what somebody replaced among its inputs stays replaced, whatever becomes of it."""
    if before is None or before.edit is None or run.edit is not None:
        return run
    return replace(run, edit=before.edit)
