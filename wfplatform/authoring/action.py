"""What a node of each type does with its inputs when it runs in this process, as `.local()` does.

Refuses node types that only a platform has, and results that a platform could not keep.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from wfplatform.authoring.answer import answered
from wfplatform.authoring.call import caller, handed, split_outputs
from wfplatform.authoring.coroutine import AsyncRunner
from wfplatform.authoring.pickled import Storable
from wfplatform.core.graph import DEFAULT_PORT, Node, NodeKind
from wfplatform.errors import NodeError

if TYPE_CHECKING:
    from wfplatform.authoring.ending import LocalExecution
    from wfplatform.authoring.workflow import Workflow

__all__ = ["Actions", "Turns"]


@dataclass(slots=True)
class Turns:
    """How far a loop is: a further try goes on from here."""

    state: Any = None
    done: int = 0


class Actions:
    """Runs nodes of one execution.

    Args:
        workflow: what is executed.
        above: the workflows whose child this is, outermost first.
        runner: where async functions run.
        run_child: runs a workflow that is a node of this one, with its parameters.
    """

    def __init__(
        self,
        workflow: Workflow[..., Any],
        above: Sequence[Workflow[..., Any]],
        runner: AsyncRunner,
        run_child: Callable[[Workflow[..., Any], Mapping[str, Any]], LocalExecution],
    ) -> None:
        self._traced = workflow.traced
        self._line = (*above, workflow)
        self._runner = runner
        self._run_child = run_child
        self._storable = Storable()

    def act(self, node: Node, inputs: dict[str, Any], turns: Turns) -> Mapping[str, Any]:
        """Run one element.

        Args:
            inputs: by port; what the user's function changes in them is changed.
            turns: of a loop: how far it is, kept here between tries.

        Returns:
            what it returns, by output port.

        Raises:
            NodeError: the platform's own checks.
            TravelError: a worker could not store what it returns.
            Exception: whatever the user's function raises.
        """
        match node.type:
            case NodeKind.PYTHON:
                result = self._awaited(caller(self._traced.functions[str(node.config["function"])])(inputs))
                outputs = split_outputs(node.id, node.outputs, result)
                for value in outputs.values():
                    self._storable.check(value)
                return outputs
            case NodeKind.CHOICE:
                return {DEFAULT_PORT: bool(inputs["condition"])}
            case NodeKind.LOOP:
                return {DEFAULT_PORT: self._loop(node, inputs, turns)}
            case NodeKind.MERGE | NodeKind.DELAY:
                return {DEFAULT_PORT: inputs.get("value")}
            case NodeKind.EVENT | NodeKind.APPROVAL:
                return {DEFAULT_PORT: answered(node)}
            case NodeKind.WORKFLOW:
                return {DEFAULT_PORT: self._child(node, inputs)}
            case _:
                raise NodeError(
                    "unknown_node_type",
                    f"Node `{node.id}` is of type `{node.type}`, which runs on a platform only.",
                    "Run the workflow with .run().",
                    node=node.id,
                )

    def _awaited(self, value: Any) -> Any:
        return self._runner.run(value) if inspect.iscoroutine(value) else value

    def _loop(self, node: Node, inputs: dict[str, Any], turns: Turns) -> Any:
        config, functions = node.config, self._traced.functions
        body, goes_on = functions[str(config["function"])], functions[str(config["while"])]
        limit = int(config["limit"])  # type: ignore[arg-type]
        state = inputs.pop("state")
        if turns.done:
            state = handed(turns.state)  # as the last turn that was completed left it
        while self._awaited(goes_on(state)):
            if turns.done == limit:
                raise NodeError(
                    "loop_limit",
                    f"Node `{node.id}`: the condition of the loop still holds after {limit} turns, which is its limit.",
                    "Give loop(..., limit=...) a larger number, or mend the condition.",
                    node=node.id,
                )
            state = self._awaited(body(state, **inputs))
            self._storable.check(state)
            turns.state, turns.done = handed(state), turns.done + 1
        return state

    def _child(self, node: Node, inputs: Mapping[str, Any]) -> Any:
        name = str(node.config["workflow"])
        child = self._traced.children.get(name) or next(one for one in reversed(self._line) if one.name == name)
        depth = node.config.get("depth")
        if isinstance(depth, int) and sum(one.name == name for one in self._line) > depth:
            raise NodeError(
                "recursion_depth",
                f"Node `{node.id}`: workflow `{name}` called itself {depth} deep, which is its limit.",
                "Give .again(depth=...) a larger number, or mend the condition that ends it.",
                node=node.id,
            )
        found = self._run_child(child, child.parameters.from_json(child.parameters.to_json(inputs)))
        if found.failures:
            first = found.failures[0]
            message = f"Node `{node.id}`: workflow `{name}` failed: {first.message}"
            raise NodeError("child_failed", message, first.hint, node=node.id) from first
        return found.result
