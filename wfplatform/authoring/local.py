"""Runs a workflow as plain Python in this process: the reference for what a workflow means.

An interpreter over the graph, element by element, in the order of the definition; no server, no
parallelism. Retries and delays do not wait, timeouts and caches do not apply. Refuses node types that only
a platform has.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import cloudpickle

from wfplatform.authoring.action import Actions, Turns
from wfplatform.authoring.call import exception_names, follow, handed, items_of
from wfplatform.authoring.context import NodeContext, enter_node, leave_node
from wfplatform.authoring.coroutine import AsyncRunner
from wfplatform.authoring.ending import Completed, Ending, Failed, LocalExecution, LocalNode, Skipped, failure
from wfplatform.core.execution import WHOLE, Element
from wfplatform.core.graph import (
    DEFAULT_PORT,
    Binding,
    Constant,
    DictOf,
    ListOf,
    Literal,
    Node,
    NodeKind,
    OutputRef,
    ParameterRef,
)
from wfplatform.core.policy import OnFailure, OnSkip
from wfplatform.core.unwinds import UnwindOccasion
from wfplatform.errors import NodeError

if TYPE_CHECKING:
    from wfplatform.authoring.trace import Traced
    from wfplatform.authoring.workflow import Workflow

__all__ = ["run_here"]


def run_here(
    workflow: Workflow[..., Any],
    parameters: Mapping[str, Any],
    *,
    above: Sequence[Workflow[..., Any]] = (),
    runner: AsyncRunner | None = None,
) -> LocalExecution:
    """Run a workflow in this process, to its end even if nodes fail.

    Args:
        workflow: what to run.
        parameters: all of them, as Python objects.
        above: the workflows whose child this is, outermost first.
        runner: where async functions run; None = one of its own.
    """
    if runner is None:
        with AsyncRunner() as own:
            return _Interpreter(workflow, parameters, above, own).run()
    return _Interpreter(workflow, parameters, above, runner).run()


class _Interpreter:
    """One execution."""

    def __init__(
        self,
        workflow: Workflow[..., Any],
        parameters: Mapping[str, Any],
        above: Sequence[Workflow[..., Any]],
        runner: AsyncRunner,
    ) -> None:
        self.workflow = workflow
        self.traced: Traced = workflow.traced
        self.parameters = parameters
        self.id = uuid4()
        self.actions = Actions(
            workflow,
            above,
            runner,
            lambda child, given: run_here(child, given, above=(*above, workflow), runner=runner),
        )
        self.nodes: dict[str, LocalNode] = {}
        self.failures: list[NodeError] = []

    def run(self) -> LocalExecution:
        for node in self.traced.graph.nodes:
            _NodeRun(self, node).run()
        if self.failures:
            self._unwind()
        result = None if self.failures else self.value(self.traced.graph.result, hurdles=[])
        return LocalExecution(id=self.id, result=result, nodes=self.nodes, failures=self.failures)

    def _unwind(self) -> None:
        """Undo what was done and clean up, the last element first; what fails in doing so keeps nothing from being undone."""
        graph = self.traced.graph
        for node in reversed(graph.nodes):
            by = {one.unwinds.occasion: one for one in graph.unwinding if one.unwinds and one.unwinds.node == node.id}
            runs = {occasion: _NodeRun(self, one) for occasion, one in by.items()}
            for element, ending in sorted(self.nodes[node.id].endings.items(), reverse=True):
                occasion = UnwindOccasion.UNDO if isinstance(ending, Completed) else UnwindOccasion.CLEANUP
                began = isinstance(ending, Completed) or (isinstance(ending, Failed) and ending.attempts > 0)
                if occasion in runs and began and len(element) == node.rank:
                    runs[occasion].record.endings[element] = runs[occasion].act(element)

    # -- values. What stands in the way of one (failed or skipped elements) is noted in `hurdles`, with None
    # in its place.

    def value(self, binding: Binding, hurdles: list[Ending]) -> Any:
        """The whole value of a binding."""
        match binding:
            case Literal(value=value):
                return handed(value)
            case Constant(digest=digest):
                return cloudpickle.loads(self.traced.constants[digest])
            case ParameterRef(name=name, path=path):
                return copy.deepcopy(follow(self.parameters[name], path, f"parameter `{name}`"))
            case OutputRef():
                return self.output(binding, WHOLE, hurdles)
            case ListOf(items=items, kind=kind):
                found = [self.value(item, hurdles) for item in items]
                return tuple(found) if kind == "tuple" else found
            case DictOf(items=pairs):
                return {key: self.value(item, hurdles) for key, item in pairs}

    def output(self, ref: OutputRef, prefix: Element, hurdles: list[Ending]) -> Any:
        """An output below a prefix of its node's elements: one value, or nested lists of values."""
        source = self.nodes[ref.node]
        ending = source.ending(prefix)
        if ending is None:
            return [self.output(ref, (*prefix, i), hurdles) for i in range(source.sizes[prefix])]
        if not isinstance(ending, Completed):
            hurdles.append(ending)
            return None
        # A copy: on the platform, what one node does to its inputs reaches no other node either.
        return handed(follow(ending.values[ref.port], ref.path, f"`{ref.node}`"))


class _NodeRun:
    """All elements of one node in one execution."""

    def __init__(self, execution: _Interpreter, node: Node) -> None:
        self.execution = execution
        self.node = node
        self.record = execution.nodes[node.id] = LocalNode(node.rank)
        self._items: dict[tuple[str, Element], Sequence[Any]] = {}

    def run(self) -> None:
        self._expand(WHOLE)

    def _expand(self, prefix: Element) -> None:
        """Run what is below a prefix. What the inputs say is decided at the shortest prefix at which they say it."""
        barred = self._barred(prefix)
        if barred is None and len(prefix) == self.node.rank:
            self.record.endings[prefix] = self.act(prefix)
            return
        try:
            size = self._size(prefix) if barred is None else barred
        except NodeError as error:
            size = self._failed(prefix, error, attempts=1)
        if isinstance(size, int):
            self.record.sizes[prefix] = size
            for index in range(size):
                self._expand((*prefix, index))
        else:
            self.record.endings[prefix] = size
            self._note_sizes(prefix)

    # -- may it run?

    def _barred(self, prefix: Element) -> Ending | None:
        """Why nothing below the prefix runs, if what is known there says so; None = it runs."""
        failed: list[Failed] = []
        skipped: list[Ending] = []
        for link in self.execution.traced.graph.links[self.node.id]:
            source = self.execution.nodes[link.source]
            if link.shared < len(prefix):
                continue
            if link.shared > len(prefix):
                whole = source.endings.get(prefix)
                if whole is None or len(prefix) == source.rank:
                    continue
                found = [whole]
            else:
                found = source.below(prefix)
            if link.guards:
                barred = self._not_taken(link.source, found)
                if barred is not None:
                    return barred
            failed += [one for one in found if isinstance(one, Failed)]
            # Ordering carries no data, so a node that was skipped holds nobody up.
            skipped += [one for one in found if isinstance(one, Skipped)] if link.port else []
        if failed:
            reason = f"`{failed[0].error.node}` failed"
            if self.node.policy.on_failure is OnFailure.SKIP:
                return Skipped(reason)
            message = f"Node `{self.node.id}` was not run: {reason}."
            return Failed(NodeError("upstream_failed", message, node=self.node.id), attempts=0)
        return skipped[0] if skipped and self.node.policy.on_skip is OnSkip.SKIP else None

    def _not_taken(self, choice: str, found: Sequence[Ending]) -> Ending | None:
        guard = self.node.guard
        for ending in found:
            if isinstance(ending, Skipped):
                return ending
            if isinstance(ending, Completed) and guard is not None:
                verdict = bool(ending.values[DEFAULT_PORT])
                if verdict is not guard.verdict:
                    return Skipped(f"the branch was not taken: {choice} was {str(verdict).lower()}")
        return None

    # -- how many elements?

    def _size(self, prefix: Element) -> int | Ending:
        """The number of elements below a prefix, on which all mapped ports must agree."""
        hurdles: list[Ending] = []
        sizes: dict[str, int] = {}
        for port, levels in self.node.over.items():
            if levels > len(prefix):
                size = self._size_of(port, prefix, hurdles)
                sizes |= {} if size is None else {port: size}
        if not sizes:
            return hurdles[0]  # there is nothing to be mapped over, whatever is done about skipped values
        if len(set(sizes.values())) > 1:
            lengths = ", ".join(f"`{port}` has {size}" for port, size in sizes.items())
            raise NodeError(
                "map_sizes",
                f"Node `{self.node.id}` is mapped over collections of different lengths: {lengths}.",
                "Mapping goes item by item, like zip; mark what every element is to get whole with unmapped(...).",
                node=self.node.id,
            )
        return next(iter(sizes.values()))

    def _size_of(self, port: str, prefix: Element, hurdles: list[Ending]) -> int | None:
        binding = self.node.inputs[port]
        source = self.execution.nodes[binding.node] if isinstance(binding, OutputRef) else None
        if source is not None and len(prefix) < source.rank:
            if prefix in source.sizes:
                return source.sizes[prefix]
            ending = source.ending(prefix)
            hurdles += [] if ending is None else [ending]
            return None
        before = len(hurdles)
        items = self._items_below(port, prefix, hurdles)
        return None if source is not None and len(hurdles) > before else len(items)

    def _note_sizes(self, prefix: Element) -> None:
        """How many elements there would have been: nodes that take None for what was skipped are mapped over as many."""
        for port, levels in self.node.over.items():
            if len(prefix) < min(levels, self.node.rank):
                try:
                    size = self._size_of(port, prefix, [])
                except NodeError:
                    continue
                if size is not None:
                    self.record.sizes[prefix] = size
                    for index in range(size):
                        self._note_sizes((*prefix, index))
                    return

    def _items_below(self, port: str, prefix: Element, hurdles: list[Ending]) -> Sequence[Any]:
        """The list that a port is mapped over below a prefix; looked up once, as many elements ask for it."""
        found = self._items.get((port, prefix))
        if found is not None:
            return found
        binding = self.node.inputs[port]
        is_output = isinstance(binding, OutputRef)
        rank = self.execution.nodes[binding.node].rank if isinstance(binding, OutputRef) else 0
        before = len(hurdles)
        if len(prefix) > rank:
            above = self._items_below(port, prefix[:-1], hurdles)
            value = above[prefix[-1]] if above else ()
        elif isinstance(binding, OutputRef):
            value = self.execution.output(binding, prefix, hurdles)
        else:
            value = self.execution.value(binding, hurdles)
        if is_output and len(hurdles) > before:
            return ()
        items = self._items[port, prefix] = items_of(value, f"Node `{self.node.id}`: input `{port}`")
        return items

    # -- one element

    def _input(self, port: str, element: Element, hurdles: list[Ending]) -> Any:
        binding = self.node.inputs[port]
        levels = self.node.over.get(port, 0)
        if not levels:
            return self.execution.value(binding, hurdles)
        if isinstance(binding, OutputRef) and self.execution.nodes[binding.node].rank >= levels:
            return self.execution.output(binding, element[:levels], hurdles)
        before = len(hurdles)
        items = self._items_below(port, element[: levels - 1], hurdles)
        if isinstance(binding, OutputRef) and len(hurdles) > before:
            return None
        item = items[element[levels - 1]]
        return handed(item) if isinstance(binding, OutputRef) else copy.deepcopy(item)

    def _inputs(self, element: Element, hurdles: list[Ending]) -> dict[str, Any]:
        return {port: self._input(port, element, hurdles) for port in self.node.inputs}

    def act(self, element: Element) -> Ending:
        """Run one element, whatever stands before it."""
        try:
            # What may not be missing has been seen to: what is missing now is None.
            inputs = self._merged(element) if self.node.type == NodeKind.MERGE else self._inputs(element, [])
        except NodeError as error:
            return self._failed(element, error, attempts=1)
        retry, attempt = self.node.policy.retry, 1
        turns = Turns()
        while True:
            undone = self.node.unwinds.node if self.node.unwinds is not None else ""
            context = NodeContext(self.execution.id, self.node.id, element, attempt, undone=undone)
            token = enter_node(context)
            try:
                return Completed(self.execution.actions.act(self.node, inputs, turns), attempt)
            except (Exception, SystemExit) as error:  # noqa: BLE001  # a node that exits is a node that failed
                if retry is None or attempt >= retry.attempts or not retry.covers(exception_names(error)):
                    return self._failed(element, error, attempt)
            finally:
                leave_node(token)
                context.close()
            attempt += 1
            inputs = self._inputs(element, [])  # the failed try may have changed its own

    def _merged(self, element: Element) -> dict[str, Any]:
        """The first input of a merge node that was not skipped, or None. One of which some elements were skipped is there."""
        found: list[Any] = []
        for port, binding in self.node.inputs.items():
            if isinstance(binding, OutputRef):
                source = self.execution.nodes[binding.node]
                if isinstance(source.ending(element[: source.rank]), Skipped):
                    continue
            found.append(self._input(port, element, []))
        return {"value": found[0] if found else None}

    def _failed(self, element: Element, error: BaseException, attempts: int) -> Failed:
        failed = failure(self.node.id, element, error, attempts)
        self.execution.failures.append(failed.error)
        return failed
