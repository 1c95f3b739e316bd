"""Somebody who sees to dead letters in the middle of all trouble, and what executions come to with what they replaced."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final
from uuid import UUID

from wfplatform import Workflow
from wfplatform.app.dead_letters import DeadLetters
from wfplatform.app.executions import Executions
from wfplatform.authoring.ending import Ending
from wfplatform.authoring.local import _NodeRun
from wfplatform.core.dead_letter import DeadLetterFilter, DeadLetterRecord
from wfplatform.core.execution import Element
from wfplatform.core.graph import NodeKind
from wfplatform.core.identifier import DEFAULT_TENANT
from wfplatform.engine.testing.memory import MemoryStore
from wfplatform.engine.testing.memory_catalog import MemoryReader
from wfplatform.engine.testing.memory_dead_letters import MemoryDeadLetters
from wfplatform.engine.testing.world import World
from wfplatform.errors import ParameterError

__all__ = ["Mender", "edited"]

_MENDED: Final = "picky"
"""The function whose failures depend on its inputs alone, not on the number of the try."""


class Mender:
    """Replays what failed, with the inputs it had or with others; discards some of it.

    Args:
        world: decides what is done.
        store: where dead letters are.
        executions: how executions are asked.
        started: those that are seen to.
        call: tells engines.
        until_s: when it ends.
    """

    def __init__(
        self,
        world: World,
        store: MemoryStore,
        executions: Executions,
        started: Mapping[UUID, Any],
        call: Callable[[], None],
        until_s: float,
    ) -> None:
        self._world = world
        self._started = started
        self._call = call
        self._until_s = until_s
        self._executions = executions
        self._letters = DeadLetters(
            executions=executions,
            store=MemoryDeadLetters(store),
            records=MemoryReader(store),
            open_value=lambda output: output,
            tenant_id=DEFAULT_TENANT,
            kept_s=86_400.0,
        )

    def look(self) -> None:
        """See to what there is, and come again."""
        world = self._world
        found = [one for one in self._letters.page(DeadLetterFilter(), limit=1000).items if self._is_mine(one)]
        chosen = [one for one in found if world.chance(0.5)]
        if chosen and world.chance(0.15):
            world.note("user", f"discards {_named(chosen)}")
            self._letters.discard(chosen)
        elif chosen:
            number = world.random.randint(-5, 5)
            inputs: dict[str, Any] | None = {"x": number} if world.chance(0.6) else None
            world.note("user", f"replays {_named(chosen)} with {inputs}")
            try:
                self._letters.replay(chosen, inputs)
            except ParameterError:  # it is the parameter that is a list
                self._letters.replay(chosen, {"x": [number]})
            self._call()
        if world.now_s < self._until_s:
            world.after(world.between(0.2, 3.0), "user", self.look)

    def _is_mine(self, letter: DeadLetterRecord) -> bool:
        if letter.execution_id not in self._started:
            return False
        graph = self._executions.graph(letter.version_id)
        node = graph.by_id[letter.node]
        if any(other.type == NodeKind.EVENT for other in graph.nodes):
            return False  # nobody brings an event to who did not wait for it before the end
        return str(node.config.get("function", "")).endswith(f":{_MENDED}") and len(letter.element) == node.rank


@contextmanager
def edited(flow: Workflow[..., Any], edits: Mapping[tuple[str, Element], Mapping[str, Any]]) -> Iterator[None]:
    """Let executions of a workflow in this process have other inputs at some places."""
    own = _NodeRun._inputs

    def inputs(run: _NodeRun, element: Element, hurdles: list[Ending]) -> dict[str, Any]:
        replaced = edits.get((run.node.id, element), {}) if run.execution.workflow is flow else {}
        return {**own(run, element, hurdles), **replaced}

    _NodeRun._inputs = inputs  # type: ignore[method-assign]
    try:
        yield
    finally:
        _NodeRun._inputs = own  # type: ignore[method-assign]


def _named(letters: Collection[DeadLetterRecord]) -> str:
    return ", ".join(f"{one.node}{[*one.element]} of {one.execution_id.hex[-4:]}" for one in letters)
