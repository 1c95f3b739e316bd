"""What a segment does for one execution, element by element.

Each element passes four phases: prepare (its inputs), execute (user code), post-process (its outputs are encoded and
hashed) and finalise (its outcome enters the stream, once its artifact is safe).
"""

from __future__ import annotations

import inspect
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from functools import partial
from hashlib import sha256
from pathlib import Path
from tempfile import mkdtemp
from time import monotonic, thread_time, time
from typing import TYPE_CHECKING, Any

from wfplatform.authoring.call import split_outputs
from wfplatform.authoring.context import NodeContext, enter_node, leave_node
from wfplatform.compiler.measure import lengths
from wfplatform.compiler.payload import Part, SegmentOrder
from wfplatform.core.execution import Element, Span
from wfplatform.core.graph import Graph, Node, NodeKind, OutputRef
from wfplatform.errors import StorageError, WfError
from wfplatform.worker.agenda import Agenda
from wfplatform.worker.attempt import Attempt
from wfplatform.worker.capture import CURRENT_LOG
from wfplatform.worker.failure import describe_error
from wfplatform.worker.inputs import Absent, Inputs, Scope
from wfplatform.worker.last_read import forget, last_reads
from wfplatform.worker.loaded import LoadedVersion
from wfplatform.worker.loop_run import run_loop
from wfplatform.worker.part_outcomes import PartOutcomes
from wfplatform.worker.values import SegmentValues

if TYPE_CHECKING:
    from wfplatform.worker.runner import NodeRunner

__all__ = ["PartRun"]


class PartRun:
    """What a segment does for one execution."""

    def __init__(
        self,
        runner: NodeRunner,
        order: SegmentOrder,
        part: Part,
        version: LoadedVersion,
        needed: Sequence[SegmentValues],
        started_s: float,
    ) -> None:
        self.runner = runner
        self.order = order
        self.part = part
        self.version = version
        self.graph: Graph = self.version.graph
        self.scope = Scope(
            self.version.parameters(part.parameters),
            self.version.tokens(part.parameters),
            part.sizes,
            self.version.constant,
            part.edits,
        )
        self.until_s = started_s + order.budget_s if order.budget_s else None
        self.outcomes = PartOutcomes(order.engine, part, runner._stream, runner._writer, self.describe)
        self.agenda = _agenda(order, part, self.graph, self.outcomes)
        self.ran = 0
        for values in needed:
            values.fill(part.execution, self.scope, version.active)
        for known in part.known:
            key = (known.node, known.element)
            if known.outputs is None:
                self.scope.values[key] = Absent.SKIPPED
            else:
                self._load_known(key, known.outputs)

    def run(self, exported: SegmentValues) -> None:
        """Run all there is time for; what others read goes into `exported`."""
        part = self.part
        try:
            with self.version.active(), self.runner.backlog.open(self.agenda) if self.agenda else nullcontext():
                over = last_reads(self.graph, part) if len(part.members) > 1 else {}
                for place, (index, span, attempt) in enumerate(part.members):
                    if not self.run_span(place, index, span, attempt):
                        break
                    for node in over.get(place, ()):
                        forget(part, self.scope, node)
        finally:
            self.outcomes.finalise()
        exported.take(part, self.scope, self.version.active)

    def run_span(self, place: int, index: int, span: Span, attempt: int) -> bool:
        """Run the elements of one member that are not given back; False when the segment's time is over."""
        node = self.graph.every[index]
        inputs = self.version.inputs(index)
        scope = self.scope
        values = scope.values
        run = partial(run_loop, self) if node.type == NodeKind.LOOP else self.run_element
        for element in span.elements():
            if self.until_s is not None:
                now_s = monotonic()
                if self.ran and now_s > self.until_s:
                    return False
                if self.agenda is not None and not self.agenda.begin(place, element, now_s):
                    continue
            if self.runner._watch.is_cancelled(self.part.execution, self.part.stage):
                return False
            arguments: dict[str, Any] | Absent
            try:
                arguments = inputs.resolve(scope, element)
            except Exception as error:  # noqa: BLE001 - user data: an attribute or item that is not there, a class that raises
                self.fail_early(node, index, element, attempt, error)
                continue
            if isinstance(arguments, Absent):
                values[index, element] = arguments
                if arguments is Absent.SKIPPED and element:
                    # All of a branch that is not taken, not just its elements: who reads it as a whole gets None.
                    values[index, inputs.skipped_at(scope, element)] = arguments
                continue
            if node.type == NodeKind.MERGE:
                arguments = {"values": list(arguments.values()), "present": self._present(index, element)}
            run(node, index, element, attempt, arguments, inputs)
            self.ran += 1
        return True

    def _present(self, index: int, element: Element) -> list[bool]:
        """Of the inputs of a merge node, which were not skipped."""
        present = []
        node = self.graph.every[index]
        for binding in node.inputs.values():
            if isinstance(binding, OutputRef):
                source = self.version.index(binding.node)
                rank = self.graph.every[source].rank
                present.append(self.scope.values.get((source, element[:rank])) is not Absent.SKIPPED)
            else:
                present.append(True)
        return present

    # -- one element

    def run_element(
        self, node: Node, index: int, element: Element, number: int, arguments: dict[str, Any], inputs: Inputs
    ) -> None:
        """One element, through all its phases."""
        scope = self.scope
        attempt = self.attempt(index, element, number)
        input_digest = inputs.digest(scope, element)
        function = self._function(node)
        self._compare_environment(node, attempt)
        result, error, cpu_s = self.execute(node, attempt, function, arguments)
        if error is None:
            try:
                outputs, digests, stored = self.post_process(node, result)
                value = result if len(node.outputs) == 1 else split_outputs(node.id, node.outputs, result)
                sizes = self.sizes(node, value, len(node.outputs) > 1)
            except Exception as raised:  # noqa: BLE001 - the result cannot be stored: the user's to mend, like an error of the node
                error = raised
            else:
                scope.values[index, element] = value
                scope.digests[index, element] = digests
                verdict = bool(result) if node.type == NodeKind.CHOICE else None
                self.outcomes.add(attempt, "c", cpu_s, input_digest, outputs, None, sizes, verdict, stored)
                return
        scope.values[index, element] = Absent.GONE
        self.outcomes.add(attempt, "f", cpu_s, input_digest, None, self.describe(error, attempt), None, None, ())

    def execute(
        self, node: Node, attempt: Attempt, function: Callable[[Mapping[str, Any]], Any], arguments: dict[str, Any]
    ) -> tuple[Any, BaseException | None, float]:
        """Run user code with its context; returns result, error and CPU seconds."""
        runner = self.runner
        context = NodeContext(
            attempt.execution,
            node.id,
            attempt.element,
            attempt.attempt,
            attempt.report,
            attempt.is_cancelled,
            self._make_scratch,
            node.unwinds.node if node.unwinds is not None else "",
        )
        if self.order.announce:
            attempt.announced = True
            attempt.started_at = time()
            self.runner._stream.add(
                attempt.engine, attempt.execution, attempt.epoch, attempt.segment, [attempt.started()]
            )
            self.runner._stream.flush_through()
        log_token = CURRENT_LOG.set(attempt.log)
        node_token = enter_node(context)
        runner._mend(alone=not runner._watch.running)
        cpu_s = thread_time()
        result: Any = None
        error: BaseException | None = None
        attempt.started_at = time()
        try:
            runner._watch.begin(attempt, node.policy.timeout_s)
            try:
                runner._stream.watch()
                result = function(arguments)
                if inspect.isawaitable(result):
                    result = runner._loop.run(result)
            finally:
                runner._watch.end(attempt)
        except BaseException as raised:  # noqa: BLE001 - user code may raise anything, SystemExit included
            error = raised
        cpu_s = thread_time() - cpu_s
        leave_node(node_token)
        CURRENT_LOG.reset(log_token)
        context.close()
        return result, error, cpu_s

    def post_process(self, node: Node, result: Any) -> tuple[dict[str, Any], Any, tuple[Any, ...]]:
        """Encode and hash the outputs; returns them, their digests for later inputs, and what is still to be made safe."""
        store = self.runner._artifacts.store
        if len(node.outputs) == 1:
            stored = store(result)
            output = stored.output
            return {node.outputs[0]: output}, output["digest"], (stored,) if "location" in output else ()
        by_port = {port: store(value) for port, value in split_outputs(node.id, node.outputs, result).items()}
        outputs = {port: stored.output for port, stored in by_port.items()}
        return (
            outputs,
            _joint_digest(outputs),
            tuple(stored for stored in by_port.values() if "location" in stored.output),
        )

    def fail_early(self, node: Node, index: int, element: Element, number: int, error: Exception) -> None:
        """The inputs could not be made."""
        attempt = self.attempt(index, element, number)
        attempt.started_at = time()
        self.scope.values[index, element] = Absent.GONE
        described = self.describe(error)
        described["message"] = f"The inputs of {node.id} could not be prepared: {described['message']}"
        self.outcomes.add(attempt, "f", 0.0, None, None, described, None, None, ())

    # -- pieces

    def attempt(self, index: int, element: Element, number: int) -> Attempt:
        """A new attempt."""
        part = self.part
        made = Attempt(self.order.engine, part.execution, part.epoch, part.segment, index, element, number)
        made.stage = part.stage
        made.log.users_file = self.version.users_file
        return made

    def describe(self, error: BaseException, attempt: Attempt | None = None) -> dict[str, Any]:
        """An error as data; `attempt`: in which, if in any."""
        return describe_error(error, attempt, self.version.users_file)

    def sizes(self, node: Node, value: Any, several: bool) -> dict[str, int] | None:
        """Lengths of what later nodes are mapped over."""
        refs = self.version.sized.get(node.id)
        return lengths(node.id, refs, self.graph.size_levels[node.id], value, several) if refs else None

    def _load_known(self, key: tuple[int, Element], outputs: Mapping[str, Any]) -> None:
        node = self.graph.every[key[0]]
        try:
            values = {port: self.runner.open(outputs[port]) for port in node.outputs}
        except StorageError as error:
            # Whoever needs it cannot run now; the engine has it computed again.
            self.scope.values[key] = Absent.GONE
            self.outcomes.add_unreadable(*key, error)
            return
        single = len(node.outputs) == 1
        self.scope.values[key] = values[node.outputs[0]] if single else values
        self.scope.digests[key] = outputs[node.outputs[0]]["digest"] if single else _joint_digest(outputs)

    def _function(self, node: Node) -> Callable[[Mapping[str, Any]], Any]:
        match node.type:
            case NodeKind.PYTHON:
                return self.version.caller(str(node.config["function"]))
            case NodeKind.CHOICE:
                return lambda arguments: bool(arguments["condition"])
            case NodeKind.MERGE:
                return _first_present
            case _:
                return _refuse(node)

    def _compare_environment(self, node: Node, attempt: Attempt) -> None:
        """Note if what the node declares of its environment is something else here than where it was published."""
        differing = self.version.differing(node)
        if differing:
            attempt.elsewhere = True
            attempt.log.add(
                logging.WARNING,
                "wfplatform",
                f"The result is not kept for reuse: {', '.join(differing)} here {'is' if len(differing) == 1 else 'are'} "
                "not as where the workflow was published.",
            )

    def _make_scratch(self) -> Path:
        self.runner._scratch.mkdir(parents=True, exist_ok=True)
        return Path(mkdtemp(prefix="node-", dir=self.runner._scratch))


def _agenda(order: SegmentOrder, part: Part, graph: Graph, outcomes: PartOutcomes) -> Agenda | None:
    """What may be given back of a part while it runs; None if that is nothing in any case."""
    if not order.budget_s or sum(len(span) for _, span, _ in part.members) == 1:
        return None
    return Agenda(order, part, graph, outcomes.is_safe)


def _joint_digest(outputs: Mapping[str, Any]) -> str:
    digests = {port: output["digest"] for port, output in outputs.items()}
    return sha256(json.dumps(digests, sort_keys=True).encode()).hexdigest()


def _refuse(node: Node) -> Callable[[Mapping[str, Any]], Any]:
    def refuse(_: Mapping[str, Any]) -> None:
        raise WfError(
            "unknown_node_type",
            f"Node {node.id} is of type {node.type!r}, which this worker does not know.",
            "Install the package that brings this node type on the workers.",
        )

    return refuse


def _first_present(arguments: Mapping[str, Any]) -> Any:
    for value, present in zip(arguments["values"], arguments["present"], strict=True):
        if present:
            return value
    return None
