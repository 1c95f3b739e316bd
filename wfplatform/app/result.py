"""What an execution returned: put together from what its nodes left, opened in the process that asks for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from wfplatform.core.graph import Graph, Json
from wfplatform.core.ports import StoredRun
from wfplatform.engine.shape import outputs_of_runs, sizes_of_runs
from wfplatform.engine.values import EngineInputs

__all__ = ["result_output"]


def result_output(graph: Graph, parameters: Mapping[str, Json], stored: Sequence[StoredRun]) -> dict[str, Any]:
    """The result of an execution as one output.

    Args:
        graph: its definition.
        parameters: its parameters.
        stored: the committed runs of every node the result refers to.
    """
    outputs = outputs_of_runs(graph, stored)
    return EngineInputs(graph, parameters, outputs, sizes_of_runs(graph, stored)).gathered(graph.result)
