"""What becomes ready is planned and handed out: reuse first, effects only when it is committed that they run, waits begun.

What cannot be told before more is committed, or while a service does not answer, comes again. Refuses to plan what has ended.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Final
from uuid import UUID

from wfplatform.compiler.segment import Planned
from wfplatform.core.event import Event, Rejected, Stopped
from wfplatform.core.execution import Element
from wfplatform.core.ports import Clock
from wfplatform.engine.adoption import rejection
from wfplatform.engine.again import Again
from wfplatform.engine.batch import Batch
from wfplatform.engine.dispatch import Dispatch
from wfplatform.engine.effects import flown, with_effects
from wfplatform.engine.fault import described
from wfplatform.engine.gates import Gates
from wfplatform.engine.live import Live
from wfplatform.engine.reuse import Reuse
from wfplatform.engine.waits import Waits
from wfplatform.errors import PlatformError, UnreachableError

__all__ = ["Planning"]

logger = logging.getLogger(__name__)

_NOTHING: Final = Planned(segments=(), actions=())


class Planning:
    """Plans what the batch says is to be planned. Belongs to the engine's one thread.

    Args:
        live: the engine's executions.
        apply: lets the state machine decide about an event.
        batch: says what is to be planned, and takes up children.
        gates: who must wait for what other executions do.
        dispatch: makes plans and hands them over.
        reuse: knows results of earlier executions.
        waits: begins what the engine handles itself.
        clock: tells the time.
    """

    def __init__(
        self,
        live: Mapping[UUID, Live],
        *,
        apply: Callable[[Live, Event], None],
        batch: Batch,
        gates: Gates,
        dispatch: Dispatch,
        reuse: Reuse,
        waits: Waits,
        clock: Clock,
    ) -> None:
        self._live = live
        self._apply = apply
        self._batch = batch
        self._gates = gates
        self._dispatch = dispatch
        self._reuse = reuse
        self._waits = waits
        self._clock = clock
        self._again: Again[UUID] = Again()

    @property
    def next_s(self) -> float | None:
        """When something is to be planned again that could not be, by the monotonic clock."""
        return self._again.next_s

    def wake(self) -> None:
        """What could not be planned is to be planned again, where it is time for that."""
        for execution in self._again.due(self._clock.monotonic_s()):
            if execution in self._live:
                self._batch.to_plan[execution] = self._live[execution]

    def hand_out(self) -> bool:
        """Plan what may have become ready and hand it over.

        Returns:
            whether there is more to plan by now, once everything is committed.

        Raises:
            PlatformError: a service does not answer; what was to be planned still is.
        """
        waiting, self._batch.to_plan = self._batch.to_plan, {}
        planned: list[tuple[Live, Planned]] = []
        try:
            for live in waiting.values():
                if live.execution.state.final or live.id not in self._live:
                    continue
                if live.stops:
                    if not len(live.flights):
                        self._apply(live, Stopped())
                    continue
                if live.execution.paused_at is not None and not live.intended:
                    self._gates.admitted(live, _NOTHING)
                    continue
                held_by = live.held_by
                one = None if self._gates.keeps_out(live) else self._planned(live)
                if live.held_by != held_by:
                    self._batch.changed[live.id] = live
                if one is not None:
                    planned.append((live, one))
            refused = self._dispatch.submit(planned)
        except PlatformError:
            self._batch.to_plan = waiting | self._batch.to_plan
            raise
        for live, error in refused:
            self._apply(live, _refusal(live, error, f"hand out nodes of the execution {live.id}"))
        for live, _ in planned:
            flown(live)
            live.note_work(self._clock.now())
        more = self._gates.exchange()
        self._batch.to_plan |= more
        return bool(more)

    def _hand_over_mail(self, live: Live, begun: Sequence[tuple[str, Element]]) -> None:
        """What came before it was waited for."""
        for node, element in begun:
            if not live.execution.mailbox:
                return
            event = self._waits.mail.kept_for(live, node, element)
            if event is not None:
                self._apply(live, event)

    def _planned(self, live: Live) -> Planned | None:
        """What of one execution is to be handed out; None if that cannot be told before more is committed, or not now.

        Raises:
            UnreachableError: the database does not answer.
        """
        try:
            paused = live.execution.paused_at is not None
            one = _NOTHING if paused else self._dispatch.plan(live)
            hits = self._reuse.hits(live, one)
            for event in hits:
                self._apply(live, event)
            if hits:
                # What hangs on them can now be planned with them; that comes when they are committed.
                self._batch.to_plan[live.id] = live
                return None
            one = self._gates.admitted(live, one)
            one = with_effects(live, one, self._apply)
            is_late = False
            if one.actions:
                events, is_late = self._waits.begin(live, one.actions, self._batch)
                for event in events:
                    self._apply(live, event)
                self._hand_over_mail(live, one.actions)
        except UnreachableError:
            raise
        except PlatformError as error:
            logger.warning(
                "execution cannot be planned now", extra={"execution": str(live.id), "reason": error.message}
            )
            is_late, one = True, None
        except Exception as error:  # noqa: BLE001 - one that cannot be planned must not stop the others
            self._apply(live, _refusal(live, error, f"plan the execution {live.id}"))
            return None
        if is_late:
            self._again.put(live.id, self._clock.monotonic_s())
        else:
            self._again.drop(live.id)
        return one


def _refusal(live: Live, error: Exception, doing: str) -> Event:
    """What becomes of an execution that cannot be run; one that is being undone has been cancelled already, if it was."""
    if live.execution.unwinding:
        return Rejected(described(error, doing))
    return rejection(live.claim, error, doing)
