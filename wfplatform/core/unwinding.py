"""How what an execution did is undone: it stops, then runs what undoes and cleans up, the last thing first. Used by `lifecycle`.

Three steps: what runs is told to stop, and how it ends is waited for; then it is settled what is to be undone; then a node's
elements are undone once everything that came after them is. Refuses to begin with anything that still runs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Final

from wfplatform.core.draft import Draft
from wfplatform.core.event import (
    Arrived,
    Claimed,
    DeadlinePassed,
    Event,
    GivenBack,
    Intended,
    Kept,
    Outcomes,
    PauseRequested,
    Rejected,
    Repeated,
    ResumeRequested,
    SegmentClosed,
    SegmentLost,
    TimerDue,
)
from wfplatform.core.execution import WHOLE, Element, ExecutionState, NodeState, Outcome, OutcomeKind, Run
from wfplatform.core.graph import Graph, Node
from wfplatform.core.retrying import fail
from wfplatform.core.unwinds import UnwindOccasion

__all__ = ["begin", "concerning", "cull", "go_on", "unread"]

_HELD: Final = "until what came after it is undone"
_UNKNOWN: Final = frozenset({"worker_lost", "effect_unknown"})
"""Why an effect failed of which nobody knows whether it happened."""
_TURNED_BACK: Final = frozenset({"upstream_failed"})
"""Why an element failed that never began."""


def begin(draft: Draft, unknown: frozenset[tuple[str, Element]] = frozenset()) -> None:
    """Nothing of the work runs any more: settle what is to be undone.

    Args:
        draft: the execution; every element of it that began has ended.
        unknown: effects that were under way when it stopped, of which nobody will say how they ended.
    """
    draft.add_unwinding()
    draft.changes["unwinding"] = True
    draft.needs_plan = True
    wanted = {node.id: list(_wanted(draft, node, unknown)) for node in draft.graph.unwinding}
    lost = {
        (node.id, element): source
        for node in draft.graph.unwinding
        for element in wanted[node.id]
        if (source := _lost_input(draft, node, element)) is not None
    }
    held = _held(
        draft.graph,
        {name: [one for one in elements if (name, one) not in lost] for name, elements in wanted.items()},
    )
    for node in draft.graph.unwinding:
        if not wanted[node.id]:
            words = "undo" if _occasion(node) is UnwindOccasion.UNDO else "clean up"
            _skip(draft, node.id, f"there was nothing to {words}")
        for element in wanted[node.id]:
            before = draft.known(node.id).get(element)
            attempt = before.attempt if before is not None else 0
            source = lost.get((node.id, element))
            if source is not None:
                error = _error(f"It needs what {source} left, which can no longer be read.")
                draft.put(node.id, element, Run(NodeState.FAILED, max(attempt, 1), error=error))
                draft.fail(node.id, element, error)
            elif held(node, element):
                draft.put(node.id, element, Run(NodeState.WAITING, attempt, reason=_HELD))
            else:
                draft.put(node.id, element, Run(NodeState.PENDING, attempt))


def cull(draft: Draft) -> None:
    """All went well: there is nothing to be undone."""
    draft.add_unwinding()
    for node in draft.graph.unwinding:
        _skip(draft, node.id, "the execution completed")


def go_on(draft: Draft) -> None:
    """Let begin what waited for what has been undone by now; when all is, the execution ends as it was to end."""
    open_: dict[str, list[Element]] = {}
    waiting: list[tuple[Node, Element, Run]] = []
    for node in draft.graph.unwinding:
        if draft.all_ended(node.id):
            continue
        for element, run in draft.known(node.id).items():
            if not run.state.final:
                open_.setdefault(node.id, []).append(element)
                if run.state is NodeState.WAITING and run.due_at is None and run.awaits is None:
                    waiting.append((node, element, run))
    if not open_:
        if not draft.has_ended:
            asked = draft.changes.get("cancel_requested_at", draft.base.cancel_requested_at)
            draft.finish(ExecutionState.FAILED if asked is None else ExecutionState.CANCELLED)
        return
    if waiting:
        held = _held(draft.graph, open_)
        for node, element, run in waiting:
            if not held(node, element):
                draft.put(node.id, element, replace(run, state=NodeState.PENDING, reason=""))
                draft.needs_plan = True


def concerning(graph: Graph, event: Event) -> Event | None:
    """What of an event matters to an execution that unwinds: what it did until then is settled, and it goes on to its end."""
    mine = {node.id for node in graph.unwinding}
    match event:
        case Claimed() | DeadlinePassed() | Rejected() | Kept() | PauseRequested() | ResumeRequested():
            return event
        case Outcomes(items):
            return Outcomes(tuple(one for one in items if one.node in mine or one.kind is OutcomeKind.UNREADABLE))
        case SegmentClosed() | GivenBack() | SegmentLost():
            return replace(event, spans=tuple(span for span in event.spans if span.node in mine))
        case Intended(items):
            return Intended(tuple(one for one in items if one[0] in mine))
        case TimerDue(node=name) | Arrived(node=name) | Repeated(node=name) if name in mine:
            return event
        case _:
            return None


def unread(draft: Draft, outcome: Outcome) -> None:
    """What an element of the work left cannot be read any more: whatever undoes something with it has failed, this time."""
    source, error = outcome.node, dict(outcome.error or {})
    draft.needs_plan = True
    for node in draft.graph.unwinding:
        links = [link for link in draft.graph.links[node.id] if link.port and link.source == source]
        for element, run in list(draft.known(node.id).items()) if links else ():
            reads = any(element[: link.shared] == outcome.element[: link.shared] for link in links)
            if reads and not run.state.final and run.due_at is None:
                told = {**error, **_error(f"It needs what {source} left: {error.get('message', '')}")}
                attempt = run.attempt if run.state is NodeState.RUNNING else run.attempt + 1
                fail(draft, Outcome(node.id, element, attempt, OutcomeKind.FAILED, error=told), run)


# -- what is to be undone


def _wanted(draft: Draft, node: Node, unknown: frozenset[tuple[str, Element]]) -> Iterator[Element]:
    """The elements of a node's own that are to run: as many as there are of the work that it takes back."""
    assert node.unwinds is not None
    name, occasion = node.unwinds.node, node.unwinds.occasion
    work = draft.graph.by_id[name]
    has_undo = any(
        other.unwinds is not None and other.unwinds.node == name and other.unwinds.occasion is UnwindOccasion.UNDO
        for other in draft.graph.unwinding
    )
    for element, run in sorted(draft.known(name).items()):
        if len(element) != work.rank or run.state is NodeState.SKIPPED:
            continue
        code = (run.error or {}).get("code")
        may_have_happened = work.policy.effect and (
            (name, element) in unknown or (run.state is NodeState.FAILED and code in _UNKNOWN)
        )
        if occasion is UnwindOccasion.UNDO:
            # What an earlier execution did is not this one's to take back.
            if (run.state is NodeState.COMPLETED and run.reused_from is None) or may_have_happened:
                yield element
        elif run.state is not NodeState.COMPLETED and run.attempt > 0 and code not in _TURNED_BACK:
            if may_have_happened and has_undo:
                continue  # that is undone
            yield element


def _lost_input(draft: Draft, node: Node, element: Element) -> str | None:
    """An input's source that has no result any more, though it had one."""
    own = node.unwinds.node if node.unwinds is not None else ""
    for link in draft.graph.links[node.id]:
        if not link.port or link.source == own:
            continue
        at = element[: link.shared]
        if link.shared == draft.base.nodes[link.source].rank:
            known = [draft.run(link.source, at) or Run(NodeState.PENDING)]
        else:  # all below a prefix, of which there may be none
            known = [run for place, run in draft.known(link.source).items() if place[: len(at)] == at[: len(place)]]
        if any(run.state is not NodeState.COMPLETED and run.state is not NodeState.SKIPPED for run in known):
            return link.source
    return None


def _skip(draft: Draft, name: str, reason: str) -> None:
    if WHOLE not in draft.known(name):
        draft.put(name, WHOLE, Run(NodeState.SKIPPED, reason=reason))


def _occasion(node: Node) -> UnwindOccasion | None:
    return node.unwinds.occasion if node.unwinds is not None else None


def _error(message: str) -> dict[str, Any]:
    return {"type": "ResultLost", "kinds": ["ResultLost"], "code": "result_lost", "message": message}


# -- in which order


class _Held:
    """What of the work is not undone yet, as prefixes of elements, and which elements wait for that."""

    def __init__(self, stems: Mapping[str, set[Element]]) -> None:
        self._stems = stems

    def __call__(self, node: Node, element: Element) -> bool:
        """Whether something that came after the element, whose work this node takes back, is still to be undone."""
        stems = self._stems[node.unwinds.node if node.unwinds is not None else node.id]
        return bool(stems) and any(element[:cut] in stems for cut in range(len(element) + 1))


def _held(graph: Graph, open_: Mapping[str, list[Element]]) -> _Held:
    """Which elements of the work must not be undone yet.

    From the last node to the first: a prefix is not settled as long as an element below it is to be undone, or something that
    depends on an element below it is not settled.
    """
    own: dict[str, list[Element]] = {}
    for node in graph.unwinding:
        if node.unwinds is not None:
            own.setdefault(node.unwinds.node, []).extend(open_.get(node.id, ()))
    heads: dict[str, set[Element]] = {}  # prefixes that are not settled, and the prefixes of these
    stems: dict[str, set[Element]] = {}  # prefixes below which, because of what came after, nothing is settled
    for node in reversed(graph.nodes):
        mine: set[Element] = set()
        above: set[Element] = set()
        for link in graph.dependants[node.id]:
            for prefix in heads[link.target]:
                if len(prefix) <= link.shared:
                    above.add(prefix)
                    if len(prefix) == link.shared or prefix in stems[link.target]:
                        mine.add(prefix)
        for element in own.get(node.id, ()):
            above.update(element[:cut] for cut in range(len(element) + 1))
        heads[node.id], stems[node.id] = above, mine
    return _Held(stems)
