"""Nodes that the engine handles itself because they hold no worker: delays and child executions."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from wfplatform.compiler.bind import bind
from wfplatform.compiler.measure import lengths
from wfplatform.core.event import Began, ChildEnded, Event, Refused, TimerDue
from wfplatform.core.execution import Element, ExecutionState
from wfplatform.core.graph import DEFAULT_PORT, Node, NodeKind, OutputRef, passed_on, size_key
from wfplatform.core.policy import ALL_NODES
from wfplatform.core.ports import Clock, Command, EngineStore, Ids, NewCommand
from wfplatform.core.start import NewExecution
from wfplatform.engine.batch import Batch
from wfplatform.engine.committed import Outputs, committed_outputs, inputs_of, sources
from wfplatform.engine.fault import described
from wfplatform.engine.live import Live
from wfplatform.engine.mail import Mail
from wfplatform.engine.shape import outputs_of_runs, shape_sources, sizes_of_runs
from wfplatform.engine.timers import Timer
from wfplatform.engine.values import EngineInputs, plain_output, seen_value
from wfplatform.engine.versions import Versions
from wfplatform.errors import PlatformError, WfError

__all__ = ["CHILD_ENDED", "MAX_DEPTH", "Waits"]

logger = logging.getLogger(__name__)

CHILD_ENDED: Final = "child_ended"
MAX_DEPTH: Final = 10
"""How deep workflows may call each other, unless a node says otherwise for itself."""


class Waits:
    """Begins and ends waiting.

    Args:
        store: where committed outputs are read.
        versions: published workflows.
        clock: tells the time.
        ids: makes identifiers of children.
        load: opens plain data and arrays that are too large to stand in an output; None = such are not opened.
    """

    def __init__(
        self,
        store: EngineStore,
        versions: Versions,
        clock: Clock,
        ids: Ids,
        load: Callable[[Mapping[str, Any]], Any] | None = None,
    ) -> None:
        self._store = store
        self._versions = versions
        self._clock = clock
        self._ids = ids
        self._load = load
        self.mail: Final = Mail(clock, self._lengths)

    def begin(self, live: Live, actions: Sequence[tuple[str, Element]], batch: Batch) -> tuple[list[Event], bool]:
        """Begin elements whose inputs are all committed; children go into the batch.

        Returns:
            what became of them, and whether some could not be begun now because a service does not answer.

        Raises:
            PlatformError: what they read cannot be fetched; nothing was begun.
        """
        wanted = dict.fromkeys(
            key
            for node, element in actions
            # What a delay hands on is read when it is over.
            for key in sources(
                live, node, element, without="value" if live.graph.by_id[node].type == NodeKind.DELAY else ""
            )
        )
        read = committed_outputs(self._store, {live.id: wanted})
        inputs = inputs_of(live, read.get(live.id, {}))
        events: list[Event] = []
        for node, element in actions:
            try:
                events.append(self._begun(live, node, element, inputs, batch))
            except PlatformError as error:
                facts = {"execution": str(live.id), "node": node, "reason": error.message}
                logger.warning("node cannot begin now", extra=facts)
                return events, True
        return events, False

    def over(self, due: Sequence[tuple[Live, Timer]]) -> list[tuple[Live, Event]]:
        """Timers are due: those of delays, and those of tries that are to be repeated.

        Raises:
            PlatformError: the values of delays cannot be fetched.
        """
        wanted: dict[UUID, list[tuple[str, Element]]] = {}
        for live, timer in due:
            if _hands_on(live, timer.node):
                wanted.setdefault(live.id, []).extend(sources(live, timer.node, timer.element))
        read = committed_outputs(self._store, wanted)
        return [(live, self._over(live, timer.node, timer.element, read.get(live.id, {}))) for live, timer in due]

    def _over(self, live: Live, node: str, element: Element, outputs: Outputs) -> Event:
        found = live.graph.by_id[node]
        if found.type in (NodeKind.EVENT, NodeKind.APPROVAL):
            return self.mail.late(live, found, element)
        if found.type != NodeKind.DELAY:
            return TimerDue(node, element)
        if not _hands_on(live, node):
            return TimerDue(node, element, {DEFAULT_PORT: plain_output(None)})
        try:
            output = inputs_of(live, outputs).output(node, "value", element)
            run = live.execution.nodes[node].runs.get(element)
            sizes = None if run is not None and "value" in run.edited else _passed_on(live, node)
            if sizes is None:
                sizes = self._lengths(live, node, output)
        except PlatformError:
            raise
        except Exception as error:  # noqa: BLE001 - the value of this one element
            return Refused(node, element, described(error, f"read the value of {node}"))
        return TimerDue(node, element, {DEFAULT_PORT: output}, sizes)

    def tell_parent(self, live: Live, batch: Batch) -> None:
        """A child ends: its parent's engine, which may be another, finds that as a command committed with the end."""
        if live.claim.parent is None:
            return
        parent_id, node, element = live.claim.parent
        state = live.execution.state
        payload: dict[str, Any] = {
            "node": node,
            "element": list(element),
            "child": str(live.id),
            "state": state,
        }
        if state is ExecutionState.COMPLETED:
            payload |= {"version": str(live.claim.version_id), "parameters": dict(live.claim.parameters)}
        else:
            error = dict(live.execution.error or {})
            message = error.get("message", "")
            how = "was cancelled" if state is ExecutionState.CANCELLED else state
            payload["error"] = {
                **error,
                "type": error.get("type", "ChildEnded"),
                "message": f"The child execution {live.id} {how}" + (f": {message}" if message else "."),
                "child": str(live.id),
            }
        batch.commands.append(
            NewCommand(
                tenant_id=live.claim.tenant_id,
                execution_id=parent_id,
                kind=CHILD_ENDED,
                payload=payload,
                told_by=live.id,
            )
        )

    def child_ended(self, live: Live, command: Command) -> Event:
        """What the command of an ended child means for its parent.

        Raises:
            PlatformError: its result cannot be fetched.
        """
        payload: Mapping[str, Any] = command.payload
        node, element = str(payload["node"]), tuple(payload["element"])
        state = ExecutionState(payload["state"])
        if state is not ExecutionState.COMPLETED:
            return ChildEnded(node, element, state, error=payload.get("error"))
        try:
            return self._result(live, node, element, payload)
        except PlatformError:
            raise
        except Exception as error:  # noqa: BLE001 - it concerns this element alone
            described_error = described(error, f"read the result of the child execution {payload['child']}")
            return ChildEnded(node, element, ExecutionState.FAILED, error=described_error)

    def _result(self, live: Live, node: str, element: Element, payload: Mapping[str, Any]) -> Event:
        child = self._versions.get(UUID(payload["version"])).graph
        ended = UUID(payload["child"])
        wanted = [(name, None) for name in shape_sources(child, child.result)]
        stored = self._store.outputs({ended: wanted}).get(ended, ()) if wanted else ()
        known = outputs_of_runs(child, stored)
        inputs = EngineInputs(child, payload["parameters"], known, sizes_of_runs(child, stored))
        output = inputs.gathered(child.result)
        sizes = self._lengths(live, node, output)
        outputs = {DEFAULT_PORT: _without_bodies(output)}
        return ChildEnded(node, element, ExecutionState.COMPLETED, outputs=outputs, sizes=sizes)

    # -- pieces

    def _lengths(self, live: Live, node: str, output: Mapping[str, Any]) -> dict[str, int] | None:
        """Lengths of what later nodes are mapped over, as a worker measures them.

        Raises:
            UnreadableError: a length is wanted of something that only workers open.
        """
        refs = live.graph.sized.get(node)
        if not refs:
            return None
        value = seen_value(output, self._load, f"The output of {node}")
        return lengths(node, refs, live.graph.size_levels[node], value, several=False)

    def _begun(self, live: Live, node: str, element: Element, inputs: EngineInputs, batch: Batch) -> Event:
        found = live.graph.by_id[node]
        try:
            if found.type == NodeKind.DELAY:
                until = self._until(found, element, inputs)
                return Began(node, element, f"waits until {until:%Y-%m-%d %H:%M:%S} UTC", until)
            if found.type in (NodeKind.EVENT, NodeKind.APPROVAL):
                return self.mail.begun(found, element, inputs)
            child = self._child(live, found, element, inputs)
        except PlatformError:
            raise
        except Exception as error:  # noqa: BLE001 - it concerns this element alone
            return Refused(node, element, described(error, f"begin {node}"))
        batch.children.append((live.claim.tenant_id, child))
        awaits = {"kind": "child", "execution": str(child.id)}
        words = f"waits for the child execution {child.id} of {child.workflow_name}"
        return Began(node, element, words, awaits=awaits)

    def _until(self, node: Node, element: Element, inputs: EngineInputs) -> datetime:
        if "until" in node.inputs:
            told = inputs.read(node.id, "until", element)
            try:
                until = datetime.fromisoformat(str(told))
            except ValueError:
                until = None
            if until is None or until.tzinfo is None:
                raise WfError("delay_time", f"The delay {node.id} expects an instant with a time zone, got {told!r}.")
            return until
        seconds = inputs.read(node.id, "seconds", element)
        if not isinstance(seconds, int | float) or isinstance(seconds, bool) or not 0 <= seconds < 1e10:
            raise WfError("delay_time", f"The delay {node.id} expects seconds, 0 or more, got {seconds!r}.")
        return self._clock.now() + timedelta(seconds=seconds)

    def _child(self, live: Live, node: Node, element: Element, inputs: EngineInputs) -> NewExecution:
        name, depth = str(node.config["workflow"]), live.claim.depth + 1
        most = node.config.get("depth", MAX_DEPTH)
        if depth > (most if isinstance(most, int) else MAX_DEPTH):
            raise WfError(
                "too_deep",
                f"Node {node.id} would start {name} at depth {depth}; workflows may call each other {most} deep.",
                "Look for a workflow that calls itself without an end.",
            )
        child = self._versions.named(live.claim.tenant_id, name, node.config.get("version"))
        given = {port: inputs.read(node.id, port, element) for port in node.inputs}
        return NewExecution(
            id=self._ids.new(),
            version_id=child.stored.id,
            workflow_name=child.stored.name,
            parameters=bind(child.graph.parameters, given),
            priority=live.claim.priority,
            timeout_s=child.definition.policy.timeout_s,
            parent=(live.id, node.id, element),
            depth=depth,
            refresh=(ALL_NODES,) if ALL_NODES in live.claim.refresh else (),
            late_after_s=child.definition.policy.late_after_s if live.claim.hook is None else None,
            hook=live.claim.hook,
        )


def _hands_on(live: Live, node: str) -> bool:
    """Whether a node is a delay with a value."""
    found = live.graph.by_id[node]
    return found.type == NodeKind.DELAY and "value" in found.inputs


def _without_bodies(output: dict[str, Any]) -> dict[str, Any]:
    """A tree without the bytes of its items, which are kept as artifacts already."""
    if output["codec"] != "tree":
        return output
    items = [{k: v for k, v in _without_bodies(item).items() if k != "body"} for item in output["items"]]
    return {**output, "items": items}


def _passed_on(live: Live, node: str) -> dict[str, int] | None:
    """Lengths of what a delay hands on, as they were recorded where it was made; None if they are not known from there."""
    source = passed_on(live.graph, live.graph.by_id[node])
    run = live.execution.nodes[source.node].run(()) if source is not None else None
    if source is None or run is None or run.sizes is None:
        return None
    found: dict[str, int] = {}
    for ref in live.graph.sized.get(node, ()):
        theirs = size_key(OutputRef(source.node, source.port, source.path + ref.path))
        for name, size in run.sizes.items():
            if name == theirs or name.startswith(f"{theirs}/"):
                found[size_key(ref) + name.removeprefix(theirs)] = size
    return found
