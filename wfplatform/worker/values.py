"""What a segment leaves on its worker for other segments. Dask moves it from worker to worker and never opens it.

Values are packed and opened while the user's program is active: Dask does both in threads where its modules cannot be found, and
a worker that cannot open what it fetched would wait for it for ever.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable
from contextlib import AbstractContextManager
from pickle import PickleBuffer
from typing import TYPE_CHECKING, Any
from uuid import UUID

import cloudpickle

from wfplatform.worker.inputs import Absent

if TYPE_CHECKING:
    from wfplatform.compiler.payload import Part
    from wfplatform.worker.inputs import Scope

__all__ = ["SegmentValues"]

type _Packed = tuple[bytes, list[Any]]
"""A pickle, and the buffers that stand beside it."""


class SegmentValues:
    """Execution -> (index of the node, element) -> value and digest."""

    __slots__ = ("_active", "_packed", "_size_bytes", "parts")

    def __init__(self) -> None:
        self.parts: dict[UUID, tuple[dict[Any, Any], dict[Any, Any]]] = {}
        self._packed: dict[UUID, _Packed] = {}
        self._active: dict[UUID, Callable[[], AbstractContextManager[None]]] = {}
        self._size_bytes: int | None = None

    def take(self, part: Part, scope: Scope, active: Callable[[], AbstractContextManager[None]]) -> None:
        """Keep what other segments may read.

        Args:
            part: what ran.
            scope: its values.
            active: makes the modules of its program importable.
        """
        if not part.exports:
            return
        mine = {index for index, _, _ in part.members} & part.exports
        # What is gone is left out, as it is for its readers: it may have been given back, and come from another segment too.
        values = {key: value for key, value in scope.values.items() if key[0] in mine and value is not Absent.GONE}
        digests = {key: digest for key, digest in scope.digests.items() if key[0] in mine}
        known_values, known_digests = self.parts.setdefault(part.execution, ({}, {}))
        known_values.update(values)
        known_digests.update(digests)
        self._active[part.execution] = active
        self._size_bytes = None

    def fill(self, execution: UUID, scope: Scope, active: Callable[[], AbstractContextManager[None]]) -> None:
        """Give the values to one who needs them, while the program is active.

        Args:
            execution: whose values.
            scope: where they go.
            active: makes the modules of the program importable; they may have to be packed again.

        Raises:
            Exception: whatever the user's classes raise when they are opened.
        """
        packed = self._packed.get(execution)
        if packed is not None:
            self._active[execution] = active
            self.parts[execution] = pickle.loads(packed[0], buffers=packed[1])
            self._packed.pop(execution, None)
            self._size_bytes = None
        found = self.parts.get(execution)
        if found is not None:
            scope.values.update(found[0])
            scope.digests.update(found[1])

    def __reduce__(self) -> tuple[Any, ...]:
        packed = dict(self._packed)
        for execution, content in list(self.parts.items()):
            active = self._active.get(execution)
            if active is None:
                packed[execution] = _pack(content)
            else:
                with active():
                    packed[execution] = _pack(content)
        return (_rebuild, (packed,))

    def __sizeof__(self) -> int:
        # Dask asks to decide where to compute and when to spill, and asks again and again.
        if self._size_bytes is None:
            self._size_bytes = self._estimated()
        return self._size_bytes

    def _estimated(self) -> int:
        """A guess by sampling: good enough and never slow."""
        from dask.sizeof import sizeof  # noqa: PLC0415  # only Dask asks, and it is loaded then

        # Copies: Dask asks from another thread than the one in which they are filled or opened.
        packed, parts = list(self._packed.values()), list(self.parts.values())
        total = 64 + sum(len(body) + sum(memoryview(buffer).nbytes for buffer in buffers) for body, buffers in packed)
        for values, _ in parts:
            if len(values) > 100:
                sample = list(values.values())[:20]
                total += int(sum(map(sizeof, sample)) / len(sample) * len(values)) + 100 * len(values)
            else:
                total += sum(sizeof(value) for value in values.values()) + 100 * len(values)
        return total


def _pack(content: Any) -> _Packed:
    buffers: list[PickleBuffer] = []
    body = io.BytesIO()
    cloudpickle.Pickler(body, protocol=5, buffer_callback=buffers.append).dump(content)
    return body.getvalue(), buffers


def _rebuild(packed: dict[UUID, _Packed]) -> SegmentValues:
    made = SegmentValues()
    made._packed = packed
    return made
