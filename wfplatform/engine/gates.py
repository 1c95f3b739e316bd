"""What may begin, where executions share something: slots of limits, circuit breakers, results that one computes for all.

An element that needs slots is planned, but not handed out before it has them; until then plans leave it out. Slots are given by
the store, so that they hold across engines. Refuses to hold back what needs none.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from wfplatform.compiler.segment import Planned, Segment
from wfplatform.core.announcement import ENGINE_CHANNEL
from wfplatform.core.breaker import BreakerKey, Position, position
from wfplatform.core.event import Event, Refused
from wfplatform.core.execution import WHOLE, Element, NodeState
from wfplatform.core.graph import Node
from wfplatform.core.policy import Across, Limit, OnOpen
from wfplatform.core.ports import Clock, EngineStore, Notifier
from wfplatform.core.slot import Asked, Gate, Slot, SlotStore
from wfplatform.engine.breakers import Breakers
from wfplatform.engine.committed import committed_outputs, inputs_of, sources
from wfplatform.engine.fault import described
from wfplatform.engine.live import Live
from wfplatform.engine.ticket import Ticket
from wfplatform.errors import PlatformError

__all__ = ["Gates"]

EXECUTION: Final = ("", WHOLE)
"""In the place of an element: the execution as a whole."""


class Gates:
    """Belongs to the engine's one thread.

    Args:
        engine_id: who asks for slots.
        live: the engine's executions.
        sharing: who holds which slots.
        store: where committed outputs are read.
        breakers: how circuit breakers stand.
        notifier: tells other engines that theirs may go on.
        clock: tells the time.
        apply: lets the state machine decide about an event.
    """

    def __init__(
        self,
        engine_id: UUID,
        live: Mapping[UUID, Live],
        *,
        sharing: SlotStore,
        store: EngineStore,
        breakers: Breakers,
        notifier: Notifier,
        clock: Clock,
        apply: Callable[[Live, Event], None],
    ) -> None:
        self._engine_id = engine_id
        self._live = live
        self._sharing = sharing
        self._store = store
        self._breakers = breakers
        self._notifier = notifier
        self._clock = clock
        self._apply = apply
        self._holding: dict[UUID, Live] = {}
        self._asked: dict[Slot, Asked] = {}
        self._returned: dict[Slot, None] = {}
        self._to_plan: dict[UUID, Live] = {}
        self._known = 0
        self._is_due = False

    # -- who may begin

    def keeps_out(self, live: Live) -> bool:
        """Whether an execution must wait before it begins, because as many of its workflow run as may; `held_by` says so."""
        most, name = live.version.definition.policy.max_executions, live.version.stored.name
        if most is None:
            return False
        ticket = live.tickets.get(EXECUTION)
        if ticket is None:
            key = json.dumps(["executions", name])
            ticket = Ticket(
                gates=(Gate(key, most, f"executions of {name}"),),
                reason=f"{most} executions of {name} run, which is as many as it allows",
            )
            self._ask(live, EXECUTION, ticket)
        live.held_by = "" if ticket.is_ready else ticket.reason
        return not ticket.is_ready

    def admitted(self, live: Live, planned: Planned) -> Planned:
        """A plan without what may not begin now, and what waits for that. What has no use for its slots any more loses them.

        Raises:
            PlatformError: what tells the key of a limit cannot be fetched.
        """
        if not (live.version.gated or live.cache_keys or live.tickets):
            live.held_by = ""
            return planned
        fresh = self._fresh(live, planned)
        kept: list[Segment] = []
        dropped: set[str] = set()
        begun: set[tuple[str, Element]] = set()
        for segment in planned.segments:
            place = _place(segment)
            ticket = live.tickets.get(place)
            if place in fresh:
                ticket = fresh[place]
                if ticket is not None:
                    self._ask(live, place, ticket)
            if segment.needs & dropped or place in fresh or (ticket is not None and not ticket.is_ready):
                dropped.add(segment.id)
                continue
            kept.append(segment)
            begun.add(place)
        self._tidy(live, begun)
        waiting = next((ticket for ticket in live.tickets.values() if not ticket.is_ready), None)
        live.held_by = waiting.reason if waiting is not None else ""
        return Planned(segments=tuple(kept), actions=planned.actions)

    def left(self, live: Live) -> None:
        """An execution has ended, or is given up: its slots are free."""
        for place in list(live.tickets):
            self._return(live, place)

    # -- exchange

    @property
    def next_at(self) -> datetime | None:
        """When an open circuit breaker is to be looked at again."""
        waits = (ticket.until_at for live in self._holding.values() for ticket in live.tickets.values())
        return min((until for until in waits if until is not None), default=None)

    def look(self) -> None:
        """Others may have given slots back, or circuit breakers may stand otherwise.

        Raises:
            PlatformError: the database does not answer.
        """
        self._is_due = True
        if any(live.version.breakers for live in self._live.values()):
            self._review(self._breakers.look(self._live.values()))

    def exchange(self) -> Mapping[UUID, Live]:
        """Give back and ask for slots, if there is anything to be told or known.

        Returns:
            executions that are to be planned now, because of what came of it.

        Raises:
            ConflictError: code `fenced`.
            UnreachableError: the database does not answer; it is told the same next time.
        """
        self._review(self._breakers.report())
        now = self._clock.now()
        for live in list(self._holding.values()):
            over = [
                place
                for place, ticket in live.tickets.items()
                if ticket.until_at is not None and ticket.until_at <= now
            ]
            for place in over:
                self._forget(live, place)
        if self._asked or self._returned or (self._is_due and self._holding):
            asked, returned = list(self._asked.values()), list(self._returned)
            done = self._sharing.exchange(self._engine_id, returned=returned, asked=asked, known=self._known)
            self._asked, self._returned = {}, {}
            for slot, number in done.granted:
                self._known = max(self._known, number)
                self._take(slot)
            if done.others:
                self._notifier.notify(ENGINE_CHANNEL, ["slots"])
            if any(slot.gate.startswith(_BREAKER) for slot, _ in done.granted):
                # Whoever gave the slot back has told before how its try ended.
                self._review(self._breakers.look(self._live.values()))
        self._is_due = False
        to_plan, self._to_plan = self._to_plan, {}
        return {id: live for id, live in to_plan.items() if id in self._live}

    def _take(self, slot: Slot) -> None:
        live, place = self._live.get(slot.execution_id), (slot.node, slot.element)
        ticket = live.tickets.get(place) if live is not None and live.claim.epoch == slot.epoch else None
        if live is None or ticket is None or ticket.is_ready or ticket.gates[ticket.got].key != slot.gate:
            return
        ticket.got += 1
        if slot.gate.startswith(_CACHE):
            # Who had it before may have left the result.
            live.cache_keys.pop(place, None)
        if ticket.is_ready:
            self._to_plan[live.id] = live
        else:
            self._ask_next(live, place, ticket)

    def _review(self, changed: Iterable[BreakerKey]) -> None:
        """Circuit breakers stand otherwise: what waits because of them is judged anew."""
        keys = set(changed)
        for live in list(self._holding.values()) if keys else ():
            for (node, element), ticket in list(live.tickets.items()):
                if (live.claim.tenant_id, ticket.breaker) in keys and not _is_begun(live, node, element):
                    self._forget(live, (node, element))

    # -- tickets

    def _fresh(self, live: Live, planned: Planned) -> dict[tuple[str, Element], Ticket | None]:
        """Tickets for what is planned and has none yet; None for what has failed, because that cannot be told."""
        places = [
            place
            for segment in planned.segments
            if (segment.solo and (place := _place(segment)) not in live.tickets)
            and (live.graph.by_id[place[0]].policy.is_gated or place in live.cache_keys)
        ]
        keyed = [
            place for place in places if (limit := live.graph.by_id[place[0]].policy.limit) is not None and limit.key
        ]
        wanted = dict.fromkeys(source for place in keyed for source in sources(live, *place))
        inputs = inputs_of(live, committed_outputs(self._store, {live.id: wanted}).get(live.id, {})) if keyed else None
        found: dict[tuple[str, Element], Ticket | None] = {}
        for place in places:
            node = live.graph.by_id[place[0]]
            value: Any = None
            try:
                if inputs is not None and place in keyed and node.policy.limit is not None:
                    value = inputs.read(node.id, str(node.policy.limit.key), place[1])
            except PlatformError:
                raise
            except Exception as error:  # noqa: BLE001 - it concerns this element alone
                found[place] = None
                self._apply(live, Refused(*place, described(error, f"tell to which slots {node.id} belongs")))
                continue
            ticket = self._ticket(live, node, place[1], value)
            if ticket is None or ticket.gates or ticket.until_at is not None:
                found[place] = ticket
        return found

    def _ticket(self, live: Live, node: Node, element: Element, value: Any) -> Ticket | None:
        gates: list[Gate] = []
        limit, breaker = node.policy.limit, node.policy.breaker
        until = None
        if breaker is not None:
            state = self._breakers.state(live.claim.tenant_id, breaker.name)
            match position(state, self._clock.now()):
                case Position.OPEN if breaker.on_open is OnOpen.FAIL:
                    self._apply(live, Refused(node.id, element, _refusal(node, breaker.name, state.until_at)))
                    return None
                case Position.OPEN:
                    until = state.until_at
                case Position.HALF_OPEN:
                    gates.append(Gate(_BREAKER + breaker.name, 1, f"the circuit breaker {breaker.name}"))
                case Position.CLOSED:
                    pass
        key = live.cache_keys.get((node.id, element))
        if key is not None and (node.id, element) not in live.unshared:
            gates.append(Gate(_CACHE + key, 1, f"the result of {node.id}"))
        if limit is not None and not limit.is_own:
            gates.append(_gate(limit, live, value))
        waits = f"the circuit breaker {breaker.name} is open until {until:%H:%M:%S} UTC" if breaker and until else ""
        return Ticket(
            gates=tuple(sorted(gates)),
            until_at=until,
            breaker=breaker.name if breaker else "",
            reason=waits or _reason(gates),
        )

    def _ask(self, live: Live, place: tuple[str, Element], ticket: Ticket) -> None:
        live.tickets[place] = ticket
        self._holding[live.id] = live
        self._to_plan[live.id] = live  # with what it leaves out
        if ticket.until_at is None:
            self._ask_next(live, place, ticket)

    def _ask_next(self, live: Live, place: tuple[str, Element], ticket: Ticket) -> None:
        node = live.graph.by_id.get(place[0])
        priority = live.claim.priority + (node.policy.priority if node else 0)
        slot = _slot(live, place, ticket.gates[ticket.got])
        self._asked[slot] = Asked(slot, ticket.gates[ticket.got], priority)
        self._returned.pop(slot, None)

    def _return(self, live: Live, place: tuple[str, Element]) -> None:
        ticket = live.tickets.pop(place)
        for gate in ticket.gates[: ticket.got + 1]:
            slot = _slot(live, place, gate)
            if self._asked.pop(slot, None) is None:
                self._returned[slot] = None
        if not live.tickets:
            self._holding.pop(live.id, None)

    def _forget(self, live: Live, place: tuple[str, Element]) -> None:
        self._return(live, place)
        self._to_plan[live.id] = live

    def _tidy(self, live: Live, begun: set[tuple[str, Element]]) -> None:
        """Give back what is of no use: its element has ended, waits for something else, or is not to begin now."""
        for place, ticket in list(live.tickets.items()):
            if place == EXECUTION:
                if live.execution.paused_at is not None and live.untouched:
                    self._return(live, place)
                continue
            node, element = place
            if place in begun or _is_begun(live, node, element):
                continue
            run = live.execution.nodes[node].run(element)
            is_open = run is None or run.state is NodeState.PENDING
            if ticket.is_ready or not is_open or live.execution.paused_at is not None:
                self._return(live, place)


_BREAKER: Final = "breaker:"
_CACHE: Final = "cache:"


def _place(segment: Segment) -> tuple[str, Element]:
    span = segment.members[0].span
    return span.node, next(span.elements())


def _slot(live: Live, place: tuple[str, Element], gate: Gate) -> Slot:
    return Slot(gate.key, live.id, live.claim.epoch, *place)


def _is_begun(live: Live, node: str, element: Element) -> bool:
    """Whether an element flies, or is about to."""
    return live.flights.has(node, element) or any(
        span.node == node and element in span.elements() for one in live.intended for span in one.spans
    )


def _gate(limit: Limit, live: Live, value: Any) -> Gate:
    scope: dict[Across, list[str]] = {
        Across.EXECUTION: [str(live.id)],
        Across.WORKFLOW: [live.version.stored.name],
        Across.ALL: [],
    }
    key = [value] if limit.key is not None else []
    of = {
        Across.EXECUTION: " in this execution",
        Across.WORKFLOW: f" of {live.version.stored.name}",
        Across.ALL: "",
    }[limit.across]
    with_key = f" with {limit.key} = {json.dumps(value, ensure_ascii=False)[:80]}" if limit.key is not None else ""
    text = json.dumps([limit.name, limit.across, scope[limit.across], key], sort_keys=True)
    name = limit.name if limit.across is Across.ALL else None
    return Gate(f"limit:{text}", limit.most, f"{limit.name}{of}{with_key}", name)


def _reason(gates: list[Gate]) -> str:
    if not gates:
        return ""
    gate = gates[-1]
    if gate.key.startswith(_CACHE):
        return f"waits for {gate.called}, which another execution computes"
    if gate.key.startswith(_BREAKER):
        return f"waits for another one to try whether {gate.called.removeprefix('the ')} can be closed"
    return f"waits for one of {gate.most} slots of {gate.called}"


def _refusal(node: Node, name: str, until: datetime | None) -> dict[str, Any]:
    return {
        "type": "BreakerOpen",
        "code": "breaker_open",
        "message": f"{node.id} was not run: the circuit breaker {name} is open until {until:%H:%M:%S} UTC.",
        "retryable": False,
    }
