"""Where encoded bytes go: kept in memory while few, else into a temporary file, hashed on the way.

A file-like object for pickle, NumPy and Arrow. Refuses reading and seeking.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from wfplatform.artifacts.failure import failing

__all__ = ["Sink", "Written"]

BUFFER_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What came out.

    Args:
        digest: SHA-256, 64 hexadecimal digits.
        body: the bytes themselves, when they stayed in memory.
        temporary: the file that holds them, when they did not.
    """

    size_bytes: int
    digest: str
    body: bytes | None
    temporary: Path | None


class Sink:
    """Takes the bytes of one value.

    Args:
        temporary: makes the path of a new file, in a folder that is there.
        inline_limit_bytes: up to this size no file is made.

    Raises:
        StorageError: by `write` and `finish`, when the file cannot be written; it is removed by then.
    """

    __slots__ = (
        "_file",
        "_hash",
        "_inline_limit_bytes",
        "_parts",
        "_path",
        "_size_bytes",
        "_temporary",
        "closed",
    )

    def __init__(self, temporary: Callable[[], Path], inline_limit_bytes: int) -> None:
        self._temporary = temporary
        self._inline_limit_bytes = inline_limit_bytes
        self._path: Path | None = None
        self._file: BinaryIO | None = None
        self._start()

    def _start(self) -> None:
        self._hash = hashlib.sha256()
        self._parts: list[bytes] = []
        self._size_bytes = 0
        self.closed = False

    def write(self, data: Any) -> int:
        """Take bytes, or anything with the buffer protocol; returns how many there were."""
        view = memoryview(data)
        size_bytes = view.nbytes
        self._hash.update(view)
        self._size_bytes += size_bytes
        if self._file is None and self._size_bytes <= self._inline_limit_bytes:
            self._parts.append(bytes(view))
        else:
            with failing("write an artifact", self._path, clean=self.abandon):
                if self._file is None:
                    self._path = self._temporary()
                    # "x": a name that is taken belongs to another writer.
                    self._file = self._path.open("xb", buffering=BUFFER_BYTES)
                    self._file.writelines(self._parts)
                    self._parts.clear()
                self._file.write(view)
        return size_bytes

    def flush(self) -> None:
        """Nothing: bytes are safe only after `finish` and publishing."""

    def close(self) -> None:
        """Be closed as a file, by a library that thinks it is done; `finish` still counts."""
        self.closed = True

    def finish(self) -> Written:
        """End it.

        Returns:
            What was written; the file is complete but not yet durable.
        """
        if self._file is not None:
            with failing("write an artifact", self._path, clean=self.abandon):
                self._file.close()
        path, self._path, self._file = self._path, None, None
        return Written(
            size_bytes=self._size_bytes,
            digest=self._hash.hexdigest(),
            body=b"".join(self._parts) if path is None else None,
            temporary=path,
        )

    def abandon(self) -> None:
        """Forget everything and remove the file; the sink is as new."""
        file, path, self._file, self._path = self._file, self._path, None, None
        if file is not None:
            try:
                file.close()
            except OSError:
                # The flush of a full disk fails a second time; the descriptor is closed all the same.
                file = None
        if path is not None:
            path.unlink(missing_ok=True)
        self._start()
