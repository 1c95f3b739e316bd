"""What somebody is to bring a waiting element: an event with its data, or a decision.

A signal goes to the first element that waits for it, in the order of the definition; one that nobody waits for is kept until
somebody does. Refuses to check who may decide, and forms: that is done where they are handed in.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

from wfplatform.core.event import Arrived, Began, Event, Kept, Refused, Repeated, TimerDue
from wfplatform.core.execution import Element, NodeState, Run, Signal
from wfplatform.core.graph import DEFAULT_PORT, Json, Node, NodeKind
from wfplatform.core.ports import Clock, Command
from wfplatform.engine.fault import described
from wfplatform.engine.live import Live
from wfplatform.engine.values import EngineInputs, plain_output
from wfplatform.errors import PlatformError

__all__ = ["Mail", "fits"]

_SHOWN: Final = 80


class _Place(NamedTuple):
    node: str
    element: Element
    run: Run


class Mail:
    """Begins and ends such waits.

    Args:
        clock: tells the time.
        lengths: of an output of a node, where later nodes are mapped over it.
    """

    def __init__(
        self, clock: Clock, lengths: Callable[[Live, str, Mapping[str, Any]], Mapping[str, int] | None]
    ) -> None:
        self._clock = clock
        self._lengths = lengths

    def begun(self, node: Node, element: Element, inputs: EngineInputs) -> Began:
        """An element waits from now on."""
        timeout_s = node.config.get("timeout_s")
        due_at = self._clock.now() + timedelta(seconds=timeout_s) if isinstance(timeout_s, int | float) else None
        until = f" until {due_at:%Y-%m-%d %H:%M:%S} UTC" if due_at else ""
        if node.type == NodeKind.EVENT:
            event = str(node.config["event"])
            awaits: dict[str, Json] = {"kind": "event", "event": event}
            given = ""
            if "match" in node.inputs:
                awaits["match"] = match = inputs.read(node.id, "match", element)
                given = f" with {_short(match)}"
            return Began(node.id, element, f"waits for the event {event}{given}{until}", due_at, awaits)
        awaits = {
            "kind": "approval",
            "title": node.config.get("title") or node.label or node.id,
            "assignees": node.config.get("assignees") or [],
            "form": node.config.get("form"),
        }
        if "details" in node.inputs:
            awaits["details"] = inputs.read(node.id, "details", element)
        names = awaits["assignees"]
        who = " or ".join(map(str, names)) if isinstance(names, list) and names else "somebody"
        return Began(node.id, element, f"waits for {who} to decide: {awaits['title']}{until}", due_at, awaits)

    def kept_for(self, live: Live, node: str, element: Element) -> Event | None:
        """What came before it was waited for; None if nothing did."""
        run = live.execution.nodes[node].run(element)
        if run is None or run.state is not NodeState.WAITING or run.awaits is None:
            return None
        found = next((signal for signal in live.execution.mailbox if fits(run.awaits, signal)), None)
        return self._brought(live, _Place(node, element, run), found) if found is not None else None

    def signalled(self, live: Live, command: Command) -> Event:
        """Somebody tells the execution something."""
        payload: Mapping[str, Any] = command.payload
        signal = Signal(command.id, str(payload["event"]), payload.get("data"), command.created_by)
        for node in live.graph.nodes:
            if node.type == NodeKind.EVENT:
                for element, run in sorted(live.execution.nodes[node.id].runs.items()):
                    if run.state is NodeState.WAITING and run.awaits is not None and fits(run.awaits, signal):
                        return self._brought(live, _Place(node.id, element, run), signal)
        return Kept(signal)

    def decided(self, live: Live, command: Command) -> Event | None:
        """Somebody approved or rejected; None if it is not waited for any more."""
        payload: Mapping[str, Any] = command.payload
        node, element = str(payload["node"]), tuple(payload["element"])
        known = live.graph.by_id.get(node)
        run = live.execution.nodes[node].run(element) if known is not None else None
        if known is None or run is None or run.state is not NodeState.WAITING or run.awaits is None:
            return None
        if run.awaits.get("unknown"):
            if payload["approved"]:
                return Repeated(node, element)
            said = f"{command.created_by} decided that it must not run again, though nobody knows whether it happened."
            return Arrived(node, element, error=_error("EffectUnknown", "effect_unknown", said))
        if known.type != NodeKind.APPROVAL:
            return None
        return self._decision(
            live, known, element, approved=bool(payload["approved"]), by=command.created_by, more=payload
        )

    def late(self, live: Live, node: Node, element: Element) -> Event:
        """The time of an element is over."""
        action = node.config.get("on_timeout")
        if node.type == NodeKind.APPROVAL and action in ("approve", "reject"):
            found = self._decision(
                live, node, element, approved=action == "approve", by="", more={"comment": "timeout"}
            )
            return TimerDue(node.id, element, found.outputs, found.sizes, found.error)
        if node.type == NodeKind.EVENT and action == "continue":
            output = plain_output(None)
            return TimerDue(node.id, element, {DEFAULT_PORT: output}, self._lengths(live, node.id, output))
        waited_s = node.config.get("timeout_s")
        what = f"The event {node.config.get('event')}" if node.type == NodeKind.EVENT else "A decision"
        kind = "EventTimeout" if node.type == NodeKind.EVENT else "ApprovalTimeout"
        code = "event_timeout" if node.type == NodeKind.EVENT else "approval_timeout"
        message = (
            f"{what} did not come within {waited_s:g} s."
            if isinstance(waited_s, int | float)
            else f"{what} did not come."
        )
        return TimerDue(node.id, element, error=_error(kind, code, message))

    # -- pieces

    def _brought(self, live: Live, place: _Place, signal: Signal) -> Event:
        output = plain_output(signal.data)
        try:
            sizes = self._lengths(live, place.node, output)
        except PlatformError:
            raise
        except Exception as error:  # noqa: BLE001 - it concerns this element alone
            return Refused(place.node, place.element, described(error, f"read the event {signal.name}"))
        return Arrived(place.node, place.element, {DEFAULT_PORT: output}, sizes, signal=signal.number)

    def _decision(
        self, live: Live, node: Node, element: Element, *, approved: bool, by: str, more: Mapping[str, Any]
    ) -> Arrived:
        comment = str(more.get("comment") or "")
        if not approved and node.config.get("on_reject") != "continue":
            who = by or "Nobody decided in time, so that it"
            said = f"{who} {'rejected it' if by else 'was rejected'}" + (f": {comment}" if comment and by else "") + "."
            return Arrived(node.id, element, error=_error("ApprovalRejected", "approval_rejected", said))
        value: dict[str, Json] = {
            "approved": approved,
            "by": by,
            "at": _instant(self._clock.now()),
            "comment": comment,
            "form": more.get("form"),
        }
        output = plain_output(value)
        return Arrived(node.id, element, {DEFAULT_PORT: output}, self._lengths(live, node.id, output))


def fits(awaits: Mapping[str, Any], signal: Signal) -> bool:
    """Whether a signal is what is waited for: its name, and all that `match` holds stands in its data too."""
    if awaits.get("kind") != "event" or awaits.get("event") != signal.name:
        return False
    return "match" not in awaits or _holds(signal.data, awaits["match"])


def _holds(data: Any, match: Any) -> bool:
    if isinstance(match, Mapping):
        return isinstance(data, Mapping) and all(
            name in data and _holds(data[name], one) for name, one in match.items()
        )
    # True is 1 in Python, and not in JSON.
    return bool(data == match) and isinstance(data, bool) is isinstance(match, bool)


def _error(kind: str, code: str, message: str) -> dict[str, Any]:
    return {"type": kind, "kinds": [kind], "code": code, "message": message}


def _instant(at: datetime) -> str:
    return at.isoformat(timespec="milliseconds")


def _short(value: Json) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"
