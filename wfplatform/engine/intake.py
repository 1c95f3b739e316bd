"""What the cluster reports, as events for the state machine: outcomes, closed segments, lost ones.

Judges who may be to blame for a lost worker. Refuses outcomes of an older epoch.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final
from uuid import UUID

from wfplatform.compiler.payload import Delivery, read_outcomes, read_returned, unpack_delivery
from wfplatform.core.event import Event, GivenBack, Outcomes, SegmentClosed, SegmentLost
from wfplatform.core.execution import Element, NodeRuns, NodeState, Outcome, OutcomeKind, Span
from wfplatform.core.ports import Clock
from wfplatform.engine.breakers import Breakers
from wfplatform.engine.cluster import ClusterAway, ClusterBack, ClusterReport, OutcomesArrived, TaskLost
from wfplatform.engine.costs import Costs
from wfplatform.engine.dispatch import Dispatch
from wfplatform.engine.live import Live
from wfplatform.engine.overdue import Overdue

__all__ = ["Intake"]

logger = logging.getLogger(__name__)

_COMPUTED_AGAIN: Final = 3
"""So often a result that cannot be read is computed again: who cannot read any of them is not helped by another one."""
_SUSPECTS: Final = 8
"""When a worker dies before it said which segments it had begun, so many of its first ones are run again on their own."""


class Intake:
    """Takes reports in.

    Args:
        live: the engine's executions.
        apply: lets the state machine decide about an event.
        replan: called when everything may have to be planned anew.
        dispatch: knows what flies.
        overdue: knows what lasts.
        breakers: count what ended.
        costs: learns from outcomes.
        clock: tells the time.

    `away` is whether the cluster is. `received` holds (worker, stream) -> numbers of messages taken in and not yet acknowledged.
    """

    def __init__(
        self,
        live: Mapping[UUID, Live],
        *,
        apply: Callable[[Live, Event], None],
        replan: Callable[[], None],
        dispatch: Dispatch,
        overdue: Overdue,
        breakers: Breakers,
        costs: Costs,
        clock: Clock,
    ) -> None:
        self._live = live
        self._apply = apply
        self._replan = replan
        self._dispatch = dispatch
        self._overdue = overdue
        self._breakers = breakers
        self._costs = costs
        self._clock = clock
        self._seen: dict[UUID, list[Outcome]] = {}
        self.away = False
        self.received: dict[tuple[str, str], list[int]] = {}

    def take(self, reports: Iterable[ClusterReport]) -> None:
        """Turn reports into events, outcomes first: what a worker told before it died came before its death."""
        arrived: dict[UUID, list[tuple[Delivery, str]]] = {}
        lost: list[TaskLost] = []
        for report in reports:
            match report:
                case OutcomesArrived(body):
                    message = unpack_delivery(body)
                    self.received.setdefault((message.worker, message.stream), []).append(message.number)
                    for delivery in message.deliveries:
                        arrived.setdefault(delivery.execution, []).append((delivery, message.worker))
                case TaskLost():
                    lost.append(report)
                case ClusterAway():
                    self.away = True
                case ClusterBack():
                    self.away = False
                    self._replan()
        for execution, deliveries in arrived.items():
            live = self._live.get(execution)
            if live is not None:
                self._deliver(live, deliveries)
            for delivery, _ in deliveries:
                if delivery.closed:
                    self._overdue.closed(execution, delivery.segment)
        seen, self._seen = self._seen, {}
        for version, outcomes in seen.items():
            self._costs.see(version, outcomes)
        self._lose(lost)

    def _deliver(self, live: Live, deliveries: Sequence[tuple[Delivery, str]]) -> None:
        outcomes: list[Outcome] = []
        failed: list[tuple[str, str, Element]] = []
        returned: list[Delivery] = []
        closed: list[str] = []
        for delivery, worker in deliveries:
            if delivery.epoch != live.claim.epoch:
                logger.info("stale outcome refused", extra={"execution": str(live.id), "epoch": delivery.epoch})
                continue
            read = read_outcomes(live.graph, delivery, worker)
            if delivery.segment not in live.flights:
                read = _without_replaced(live, read)
            outcomes.extend(_judged(live, outcome) for outcome in read)
            if delivery.returned:
                returned.append(delivery)
            if delivery.closed:
                closed.append(delivery.segment)
            else:
                failed += [(delivery.segment, one.node, one.element) for one in read if one.kind is OutcomeKind.FAILED]
            live.begun.add(delivery.segment)
        if outcomes:
            self._breakers.see(live, outcomes)
            self._overdue.see(live.id, live.graph.by_id, outcomes, self._clock.monotonic_s())
            self._seen.setdefault(live.version.stored.id, []).extend(outcomes)
            self._apply(live, Outcomes(tuple(outcomes)))
        for segment, node, element in failed:
            run = live.execution.nodes[node].run(element)
            if run is not None and run.state is NodeState.WAITING:
                # Its next try need not wait for what else is in its segment.
                self._dispatch.give_back(live, segment, [Span.of(node, element)])
        for delivery in returned:
            given = self._dispatch.give_back(live, delivery.segment, read_returned(live.graph, delivery))
            if given and not live.execution.state.final:
                self._apply(live, GivenBack(delivery.segment, given))
        limited = live.limited
        for segment in closed:
            flew = segment in live.flights
            spans = self._dispatch.land(live, segment)
            live.begun.discard(segment)
            if live.execution.state.final or not (spans or (flew and live.stops)):
                continue
            if limited or live.stops or _any_open(live.execution.nodes, spans):
                self._apply(live, SegmentClosed(segment, spans))
        live.note_work(self._clock.now())

    def _lose(self, reports: Sequence[TaskLost]) -> None:
        """Tasks will not end. Suspected is what had begun; if that is not known, the first ones of those lost together."""
        lost: list[tuple[TaskLost, Live, str, tuple[Span, ...], bool]] = []
        for report in reports:
            segments = self._dispatch.lost(report.key)
            for execution, segment in sorted(segments, key=lambda one: _number(one[1])):
                live = self._live.get(execution)
                spans = self._dispatch.land(live, segment) if live is not None else ()
                if live is None:
                    continue
                if not spans:  # given back, all of them
                    live.note_work(self._clock.now())
                    if live.stops:
                        self._apply(live, SegmentClosed(segment, spans))
                    continue
                lost.append((report, live, segment, spans, segment in live.begun))
                live.begun.discard(segment)
        known = {report.worker for report, _, _, _, begun in lost if begun and not report.blameless}
        unknown = 0
        for report, live, segment, spans, begun in lost:
            suspected = begun and not report.blameless
            if not report.blameless and report.worker not in known and unknown < _SUSPECTS:
                unknown += 1
                suspected = True
            # A task that fails without its worker (its inputs cannot be fetched or opened there) does so by itself.
            began = begun or not report.worker
            self._lose_segment(live, report, segment, spans, began=began, suspected=suspected)

    def _lose_segment(
        self, live: Live, report: TaskLost, segment: str, spans: tuple[Span, ...], *, began: bool, suspected: bool
    ) -> None:
        logger.warning(
            "segment lost",
            extra={
                "execution": str(live.id),
                "segment": segment,
                "worker": report.worker,
                "reason": report.reason,
                "suspected": suspected,
            },
        )
        late = self._overdue.lost(live.id, segment, self._clock.monotonic_s(), self._clock.now())
        if late is not None:
            self._breakers.see(live, (late,))
            self._apply(live, Outcomes((late,)))
        if not live.execution.state.final:
            event = SegmentLost(segment, spans, report.worker, report.reason, started=began, blameless=not suspected)
            self._apply(live, event)
        live.note_work(self._clock.now())


def _without_replaced(live: Live, outcomes: Sequence[Outcome]) -> tuple[Outcome, ...]:
    """What a segment says that was given up: of elements that run anew elsewhere, nothing; these may have begun."""
    found = []
    for outcome in outcomes:
        element = outcome.element[: live.graph.by_id[outcome.node].rank]
        if live.flights.has(outcome.node, element):
            facts = {"execution": str(live.id), "node": outcome.node, "element": element, "attempt": outcome.attempt}
            logger.info("stale attempt refused", extra=facts)
        else:
            found.append(outcome)
    return tuple(found)


def _judged(live: Live, outcome: Outcome) -> Outcome:
    """An outcome; of a result that cannot be read whether it is worth while to compute it again."""
    if outcome.kind is not OutcomeKind.UNREADABLE:
        return outcome
    run = live.execution.nodes[outcome.node].run(outcome.element)
    if run is None or run.state is not NodeState.COMPLETED:
        return outcome
    computed = live.unread.setdefault((outcome.node, outcome.element), set())
    computed.add(run.attempt)
    if len(computed) <= _COMPUTED_AGAIN:
        return outcome
    error = dict(outcome.error or {})
    message = f"None of its last {len(computed)} results could be read by who needs it: {error.get('message', '')}"
    return outcome._replace(error={**error, "message": message, "retryable": False})


def _number(segment: str) -> int:
    """The place of a segment in the order in which segments were made."""
    return int(segment.rpartition("-")[2])


def _any_open(nodes: Mapping[str, NodeRuns], spans: Sequence[Span]) -> bool:
    for span in spans:
        runs = nodes[span.node]
        if runs.complete:
            continue
        known = runs.runs
        for element in span.elements():
            run = known.get(element)
            if run is None or not run.state.final:
                return True
    return False
