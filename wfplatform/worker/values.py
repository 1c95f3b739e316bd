"""What a segment leaves on its worker for other segments. Dask moves it from worker to worker; nobody else opens it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

if TYPE_CHECKING:
    from wfplatform.compiler.payload import Part
    from wfplatform.worker.inputs import Scope

__all__ = ["SegmentValues"]


class SegmentValues:
    """Execution -> (index of the node, element) -> value and digest."""

    __slots__ = ("parts",)

    def __init__(self) -> None:
        self.parts: dict[UUID, tuple[dict[Any, Any], dict[Any, Any]]] = {}

    def take(self, part: Part, scope: Scope) -> None:
        """Keep what other segments may read."""
        if not part.exports:
            return
        mine = {index for index, _, _ in part.members} & part.exports
        values = {key: value for key, value in scope.values.items() if key[0] in mine}
        digests = {key: digest for key, digest in scope.digests.items() if key[0] in mine}
        known_values, known_digests = self.parts.setdefault(part.execution, ({}, {}))
        known_values.update(values)
        known_digests.update(digests)

    def fill(self, execution: UUID, scope: Scope) -> None:
        """Give the values to one who needs them."""
        found = self.parts.get(execution)
        if found is not None:
            scope.values.update(found[0])
            scope.digests.update(found[1])

    def __reduce__(self) -> tuple[Any, ...]:
        return (_rebuild, (self.parts,))

    def __sizeof__(self) -> int:
        # Dask asks to decide where to compute and when to spill; a guess by sampling is good enough and never slow.
        from dask.sizeof import sizeof

        total = 64
        for values, _ in self.parts.values():
            if len(values) > 100:
                sample = list(values.values())[:20]
                total += int(sum(map(sizeof, sample)) / len(sample) * len(values)) + 100 * len(values)
            else:
                total += sum(sizeof(value) for value in values.values()) + 100 * len(values)
        return total


def _rebuild(parts: dict[UUID, Any]) -> SegmentValues:
    made = SegmentValues()
    made.parts = parts
    return made
