"""Artifacts that nobody refers to, put aside for a while before they are deleted, since somebody may be about to refer to one.

Refuses: deciding. Whoever looks for an artifact and does not find it at its place looks here, and puts it back.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from wfplatform.artifacts.storage import Storage

__all__ = ["Aside"]

_FOLDER: Final = "aside"
_PLACE: Final = "artifacts"


class Aside:
    """The folder beside the artifacts.

    Every method takes and gives locations as outputs tell them, may be called twice, and raises StorageError.

    Args:
        storage: of the artifacts.
    """

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    def put(self, location: str) -> bool:
        """Put an artifact aside; returns whether it was at its place."""
        return self._storage.move(location, _aside(location))

    def put_back(self, location: str) -> bool:
        """Put an artifact back to its place; returns whether it was aside."""
        return self._storage.move(_aside(location), location)

    def locations(self) -> Sequence[str]:
        """What is aside."""
        return [f"{_PLACE}/{name[:2]}/{name}" for name in self._storage.names(_FOLDER)]

    def at_their_places(self) -> Iterator[Mapping[str, int]]:
        """Location -> size in bytes of all artifacts that are at their places, some at a time."""
        for number in range(256):
            folder = f"{_PLACE}/{number:02x}"
            yield {f"{folder}/{name}": size_bytes for name, size_bytes in self._storage.names(folder).items()}

    def delete(self, location: str) -> bool:
        """Delete an artifact that is aside; returns whether it was there. Processes that have it mapped keep it."""
        return self._storage.delete(_aside(location))


def _aside(location: str) -> str:
    return f"{_FOLDER}/{location.rpartition('/')[2]}"
