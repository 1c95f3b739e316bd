"""A loop on a worker: turn after turn while its condition holds; each is recorded, so that a later engine goes on from the last.

Refuses to go on after its limit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from wfplatform.core.execution import Element
from wfplatform.core.graph import DEFAULT_PORT, Node
from wfplatform.errors import NodeError
from wfplatform.worker.inputs import Absent, Inputs

if TYPE_CHECKING:
    from wfplatform.worker.part_run import PartRun

__all__ = ["run_loop"]


def run_loop(
    run: PartRun, node: Node, index: int, element: Element, number: int, arguments: dict[str, Any], inputs: Inputs
) -> None:
    """Turn after turn while the condition holds; each is recorded, so that a later engine goes on from the last."""
    state = arguments.pop("state")
    input_digest = inputs.digest(run.scope, element)
    limit = int(str(node.config["limit"]))
    turn = 0
    for loop_index, loop_element, done, output in run.part.turns:
        if (loop_index, loop_element) == (index, element):
            turn, state = done, run.runner.open(output[DEFAULT_PORT])
    hold_key, body_key = str(node.config["while"]), str(node.config["function"])
    holds, body = run.version.caller(hold_key), run.version.caller(body_key)
    hold_names, body_names = run.version.names(hold_key), run.version.names(body_key)
    while True:
        attempt = run.attempt(index, element, number)
        go_on, error, cpu_s = run.execute(node, attempt, holds, {hold_names[0]: state})
        if error is None and go_on and turn >= limit:
            error = NodeError(
                "loop_limit",
                f"Node `{node.id}`: the condition of the loop still holds after {limit} turns, which is its limit.",
                "Give loop(..., limit=...) a larger number, or mend the condition.",
                node=node.id,
            )
        if error is None and not go_on:
            try:
                outputs, digest, stored = run.post_process(node, state)
            except Exception as raised:  # noqa: BLE001 - the result cannot be stored
                error = raised
            else:
                run.scope.values[index, element] = state
                run.scope.digests[index, element] = digest
                sizes = run.sizes(node, state, several=False)
                run.outcomes.add(attempt, "c", cpu_s, input_digest, outputs, None, sizes, None, stored)
                return
        if error is None:
            attempt = run.attempt(index, element, number)
            state, error, cpu_s = run.execute(node, attempt, body, {body_names[0]: state, **arguments})
        if error is None:
            try:
                outputs, _, stored = run.post_process(node, state)
            except Exception as raised:  # noqa: BLE001 - the state cannot be stored
                error = raised
        if error is not None:
            run.scope.values[index, element] = Absent.GONE
            described = run.describe(error, attempt)
            run.outcomes.add(attempt, "f", cpu_s, input_digest, None, described, None, None, ())
            return
        turned = run.attempt(index, (*element, turn), number)
        turned.started_at, turned.log = attempt.started_at, attempt.log
        run.outcomes.add(turned, "i", cpu_s, input_digest, outputs, None, None, True, stored)
        turn += 1
