"""What users and other executions ask of an execution, as events for the state machine.

Refuses to do anything before the execution is in the engine's hands: what cannot be followed now is not done, and comes again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any
from uuid import UUID

from wfplatform.core.event import CancelRequested, Event, PauseRequested, Replay, ResumeRequested, Retried
from wfplatform.core.ports import Command
from wfplatform.engine.adoption import Adoption
from wfplatform.engine.batch import Batch
from wfplatform.engine.live import Live
from wfplatform.engine.waits import CHILD_ENDED, Waits
from wfplatform.errors import PlatformError

__all__ = ["Wishes"]

logger = logging.getLogger(__name__)


class Wishes:
    """Follows commands.

    Args:
        live: the engine's executions.
        adoption: those that wait to be taken up.
        waits: knows what the end of a child means, and who waits for a signal.
        batch: where a command is noted as done, with what came of it.
        apply: lets the state machine decide about an event.
    """

    def __init__(
        self,
        live: Mapping[UUID, Live],
        adoption: Adoption,
        waits: Waits,
        batch: Batch,
        apply: Callable[[Live, Event], None],
    ) -> None:
        self._live = live
        self._adoption = adoption
        self._waits = waits
        self._batch = batch
        self._apply = apply

    def follow(self, command: Command) -> None:
        """Do what is asked, or leave it for later."""
        live = self._live.get(command.execution_id)
        is_held = live is None and self._adoption.holds(command.execution_id)
        if is_held and (command.kind != "cancel" or self._adoption.has_begun(command.execution_id)):
            return  # not done: it comes again
        try:
            if is_held:
                live = self._adoption.give_up(command.execution_id)
            event = self._meaning(live, command) if live is not None else None
        except PlatformError as error:
            logger.warning("command cannot be followed now", extra={"kind": command.kind, "reason": error.message})
            return  # not done: it comes again
        self._batch.commands_done.append(command.id)
        if live is not None and event is not None:
            self._apply(live, event)

    def _meaning(self, live: Live, command: Command) -> Event | None:
        match command.kind:
            case "cancel":
                return CancelRequested(command.created_by)
            case "pause":
                return PauseRequested(command.created_by)
            case "resume":
                return ResumeRequested(command.created_by)
            case "retry":
                return Retried(command.created_by, _replays(command.payload))
            case "signal":
                return self._waits.mail.signalled(live, command)
            case "decide":
                return self._waits.mail.decided(live, command)
            case _ if command.kind == CHILD_ENDED:
                return self._waits.child_ended(live, command)
            case _:
                logger.warning("unknown command", extra={"kind": command.kind, "command": command.id})
                return None


def _replays(payload: Mapping[str, Any]) -> tuple[Replay, ...] | None:
    """Which elements a retry is for; None = all that failed."""
    if "elements" not in payload:
        return None
    return tuple(
        Replay(one["node"], tuple(one["element"]), one["attempt"], one.get("inputs")) for one in payload["elements"]
    )
