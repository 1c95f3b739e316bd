"""From a claim to an execution in the engine's hands: its version loaded, its state restored.

What can never be taken up is ended, with the reason. What a service that does not answer keeps from being taken up now is
held and tried again, so that no execution stops an engine, or another execution.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple
from uuid import UUID

from wfplatform.compiler.expand import known_sizes
from wfplatform.compiler.order import Loaded
from wfplatform.core.event import CancelRequested, Claimed, Event, Rejected
from wfplatform.core.execution import NodeRuns, Run, ended_among
from wfplatform.core.graph import Definition, Graph
from wfplatform.core.ports import Claim, Clock, StoredVersion
from wfplatform.engine.again import Again
from wfplatform.engine.fault import described
from wfplatform.engine.live import Live, Version
from wfplatform.engine.restore import restore
from wfplatform.engine.telling import Telling
from wfplatform.engine.versions import Versions
from wfplatform.errors import PlatformError, UnreachableError

__all__ = ["Adopted", "Adoption", "rejection"]

logger = logging.getLogger(__name__)


class Adopted(NamedTuple):
    """An execution and what is to be told it first. One that is not `sound` is only ended: its definition is not known."""

    live: Live
    events: Sequence[Event]
    sound: bool


class Adoption:
    """Takes claims up.

    Args:
        versions: published workflows.
        clock: tells the time.
    """

    def __init__(self, versions: Versions, clock: Clock) -> None:
        self._versions = versions
        self._clock = clock
        self._held: dict[UUID, dict[UUID, Claim]] = {}
        self._again: Again[UUID] = Again()

    def adopt(self, claims: Sequence[Claim] = ()) -> list[Adopted]:
        """Take up these, and those held whose time has come.

        Returns:
            those that could be taken up, and those that are to be ended.
        """
        now_s = self._clock.monotonic_s()
        due = [claim for version in self._again.due(now_s) for claim in self._held.pop(version).values()]
        found: list[Adopted] = []
        is_reachable = True
        for claim in (*due, *claims):
            version_id = claim.version_id
            known = version_id in self._versions
            if version_id not in self._again and (is_reachable or known):
                try:
                    found.append(self._sound(claim))
                except PlatformError as error:
                    # Who does not answer about one does not answer about the others either.
                    is_reachable = is_reachable and not isinstance(error, UnreachableError)
                    facts = {"workflow": claim.workflow_name, "version": str(version_id), "reason": error.message}
                    logger.warning("version cannot be loaded now", extra=facts)
                except Exception as error:  # noqa: BLE001 - whatever it is, it concerns this execution alone
                    ended = self._ended(claim, error)
                    if ended is not None:
                        found.append(ended)
                        self._again.drop(version_id)
                        continue
                else:
                    self._again.drop(version_id)
                    continue
            # One that has done something may have to undo it, which its definition says.
            if claim.cancel_requested_at is not None and not claim.state.final and not claim.runs:
                ended = self._ended(claim)
                if ended is not None:
                    found.append(ended)
                    continue
            self._held.setdefault(version_id, {})[claim.id] = claim
            if version_id not in self._again:
                self._again.put(version_id, now_s)
        return found

    def held(self) -> list[UUID]:
        """Executions that wait to be taken up."""
        return [execution for held in self._held.values() for execution in held]

    def holds(self, execution_id: UUID) -> bool:
        """Whether an execution waits to be taken up."""
        return any(execution_id in held for held in self._held.values())

    def has_begun(self, execution_id: UUID) -> bool:
        """Whether anything is recorded of one that waits, so that its definition may say how to undo it."""
        return any(bool(held[execution_id].runs) for held in self._held.values() if execution_id in held)

    def give_up(self, execution_id: UUID) -> Live:
        """One that waits, to be ended without its definition.

        Raises:
            PlatformError: what is to be told of its end cannot be found out now; it waits on.
        """
        for held in self._held.values():
            if execution_id in held:
                made = _blank(held[execution_id], self._versions.telling_of(held[execution_id].version_id))
                del held[execution_id]
                return made
        raise KeyError(execution_id)

    def _ended(self, claim: Claim, error: Exception | None = None) -> Adopted | None:
        """One that cannot be run, or is not to be; None while it cannot be found out what is to be told of its end."""
        try:
            telling = self._versions.telling_of(claim.version_id)
        except PlatformError as unknown:
            logger.warning("hooks are not known", extra={"execution": str(claim.id), "reason": unknown.message})
            return None
        if error is not None:
            return _unsound(claim, error, telling)
        return Adopted(_blank(claim, telling), [CancelRequested()], sound=False)

    @property
    def next_s(self) -> float | None:
        """When the next try is due, by the monotonic clock."""
        return self._again.next_s

    def _sound(self, claim: Claim) -> Adopted:
        version = self._versions.get(claim.version_id, claim.workflow_name)
        sizes = known_sizes(version.graph, claim.parameters)
        live = Live(
            claim=claim,
            version=version,
            execution=restore(claim, version.graph, sizes),
            loaded=Loaded(
                execution=claim.id,
                epoch=claim.epoch,
                version=version.stored.digest,
                graph=version.graph,
                index=version.index,
                parameters=claim.parameters,
            ),
            worked_s=claim.worked_s,
            told_at_s=self._clock.monotonic_s(),
        )
        events: list[Event] = [Claimed(sizes)]
        if claim.cancel_requested_at is not None:
            events.append(CancelRequested())
        return Adopted(live, events, sound=True)


def rejection(claim: Claim, error: Exception, doing: str) -> Event:
    """How an execution ends that cannot be run: failed, or cancelled if that was asked for before."""
    if claim.cancel_requested_at is not None and not claim.state.final:
        return CancelRequested()
    return Rejected(described(error, doing))


def _unsound(claim: Claim, error: Exception, telling: Telling) -> Adopted:
    doing = f"take up the execution {claim.id} of {claim.workflow_name}, version {claim.version_id}"
    event = rejection(claim, error, doing)
    if isinstance(event, Rejected):
        logger.warning("execution cannot be run", extra={"execution": str(claim.id), "reason": event.error["message"]})
        if event.error["code"] == "engine_error":
            event = Rejected({**event.error, "code": "version_unreadable"})
    return Adopted(_blank(claim, telling), [event], sound=False)


def _blank(claim: Claim, telling: Telling) -> Live:
    """An execution of which only that is known which is committed: good for ending it, and what of it is recorded as open."""
    stored = StoredVersion(
        id=claim.version_id,
        tenant_id=claim.tenant_id,
        workflow_id=claim.version_id,
        name=claim.workflow_name,
        number=0,
        digest="",
        document={},
        code_digest="",
    )
    graph = Graph(nodes=())
    found: dict[str, dict[tuple[int, ...], Run]] = {}
    for one in claim.runs:
        found.setdefault(one.node, {})[one.element] = one.run
    nodes = {name: NodeRuns(max(map(len, runs)), {}, runs, ended_among(runs)) for name, runs in found.items()}
    return Live(
        claim=claim,
        version=Version(
            stored=stored,
            definition=Definition(name=claim.workflow_name, graph=graph),
            index={},
            functions={},
            telling=telling,
        ),
        execution=replace(restore(replace(claim, runs=()), graph), nodes=nodes, open_nodes=len(nodes)),
        loaded=Loaded(
            execution=claim.id, epoch=claim.epoch, version="", graph=graph, index={}, parameters=claim.parameters
        ),
        worked_s=claim.worked_s,
    )
