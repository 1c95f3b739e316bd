"""Where the bytes of artifacts lie: a folder of this machine, or whatever fsspec can reach by URL.

Every file appears under its name at once and whole. Refuses names that lead out of the root.
"""

from __future__ import annotations

import errno
import mmap
import os
import re
import tempfile
import uuid
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final, Protocol
from urllib.parse import unquote, urlsplit

from wfplatform.artifacts.failure import failing
from wfplatform.artifacts.leftover import SAFE_AGE_S, sweep_folder, sweep_remote
from wfplatform.artifacts.sweep import Sweeping
from wfplatform.errors import StorageError

__all__ = ["LocalStorage", "RemoteStorage", "Storage", "open_storage"]

_NAME: Final = re.compile(r"[a-z]+(/[A-Za-z0-9_-][A-Za-z0-9._-]*)+")
_TEMPORARY: Final = "temporary"
_PASSING: Final = (_TEMPORARY, "probes")
"""Folders of what is removed by whoever made or read it, unless that one was killed."""
# Uploads to these show only when they are complete.
_OBJECT_STORES: Final = frozenset(
    {"abfs", "abfss", "adl", "az", "gcs", "gs", "memory", "obs", "oci", "oss", "s3", "s3a", "tos"}
)
_WITHOUT_FSYNC: Final = {errno.EINVAL, errno.ENOTSUP, errno.EBADF, errno.EACCES}
MAPPED_BYTES: Final = 8 * 1024 * 1024
"""From this size on a remote artifact is read by way of a file, not of memory."""


class Storage(Protocol):
    """Keeps named bytes that never change."""

    def temporary(self) -> Path:
        """A path for a new file on this machine, in a folder that is there."""
        ...

    def publish(self, temporary: Path, name: str, *, replace: bool = False) -> None:
        """Make a file durable under its name; the temporary one is gone afterwards.

        Args:
            temporary: a complete file.
            name: relative to the root.
            replace: even if one of the same size is there.

        Raises:
            StorageError: it is not stored.
        """
        ...

    def read(self, name: str, *, size_bytes: int | None = None, writable: bool = False) -> Any:
        """The bytes of that name, mapped into memory where possible.

        Args:
            name: relative to the root.
            size_bytes: expected, None = unknown.
            writable: the caller may change the bytes it sees, without effect on what is stored.

        Raises:
            StorageError: code `artifact_missing` or another.
        """
        ...

    def exists(self, name: str) -> bool:
        """Whether something has that name."""
        ...

    def delete(self, name: str) -> bool:
        """Remove it; returns whether it was there."""
        ...

    def move(self, name: str, to: str) -> bool:
        """Give it another name, over whatever has that; returns whether it was there."""
        ...

    def names(self, folder: str) -> Mapping[str, int]:
        """Name -> size in bytes of what is in a folder; names without the folder's own."""
        ...

    def sweep(self, older_than_s: float) -> int:
        """Remove temporary files and probes that killed processes left; returns how many."""
        ...


def open_storage(url: str, scratch: Path | None = None) -> Storage:
    """The storage behind a URL; nothing is read or written yet.

    Args:
        url: a path, `file://...`, or a URL that fsspec knows.
        scratch: folder for temporary files of a storage that is not local; None = the system's.

    Raises:
        StorageError: nothing installed here can open such a URL.
    """
    scheme = url.partition("://")[0] if "://" in url else ""
    if scheme in {"", "file", "local"}:
        path = url if not scheme else unquote(urlsplit(url).path)
        return LocalStorage(Path(path).expanduser().absolute())
    return RemoteStorage(url, scratch or Path(tempfile.gettempdir()) / f"wfplatform-{os.getuid()}")


def _checked(name: str) -> str:
    if not _NAME.fullmatch(name) or ".." in name:
        raise StorageError(
            "storage_name",
            f"{name!r} is no name of something stored: expected a folder, and a name of letters, digits, "
            "'.', '_' and '-'.",
            "Artifacts are named by the platform; do not edit their locations.",
            name=name,
        )
    return name


def _new_file(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"{os.getpid()}-{uuid.uuid4().hex}"


def _mapped(path: Path, *, writable: bool) -> Any:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        size_bytes = os.fstat(descriptor).st_size
        if size_bytes == 0:
            return b""
        return mmap.mmap(descriptor, size_bytes, access=mmap.ACCESS_COPY if writable else mmap.ACCESS_READ)
    finally:
        os.close(descriptor)


class LocalStorage:
    """A folder, possibly shared between machines.

    Args:
        root: absolute; made when first written to, readable by its owner only.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    def __str__(self) -> str:
        return str(self._root)

    def temporary(self) -> Path:
        """See Storage: inside the root, so that renaming stays within one file system."""
        if not self._root.is_dir():
            self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
        return _new_file(self._root / _TEMPORARY)

    def publish(self, temporary: Path, name: str, *, replace: bool = False) -> None:
        """See Storage: fsync, rename, fsync of the folder.

        Any failure removes the temporary file: after a failed fsync nobody knows what it holds.
        """
        target = self._root / _checked(name)
        with failing("store an artifact", target, clean=partial(temporary.unlink, missing_ok=True)):
            if not replace and self._size_bytes(target) == temporary.stat().st_size:
                temporary.unlink()
            else:
                _fsync(temporary)
                self._make_folder(target.parent)
                temporary.replace(target)
            # Also for a file that was there: its writer may not have come this far.
            _fsync(target.parent)

    def read(self, name: str, *, size_bytes: int | None = None, writable: bool = False) -> Any:
        """See Storage."""
        path = self._root / _checked(name)
        with failing("read an artifact", path):
            return _mapped(path, writable=writable)

    def exists(self, name: str) -> bool:
        """See Storage."""
        return self._size_bytes(self._root / _checked(name)) is not None

    def delete(self, name: str) -> bool:
        """See Storage."""
        path = self._root / _checked(name)
        with failing("remove an artifact", path):
            try:
                path.unlink()
            except FileNotFoundError:
                return False
        return True

    def move(self, name: str, to: str) -> bool:
        """See Storage."""
        path, target = self._root / _checked(name), self._root / _checked(to)
        with failing("move an artifact", path):
            self._make_folder(target.parent)
            try:
                path.replace(target)
            except FileNotFoundError:
                return False
        return True

    def names(self, folder: str) -> Mapping[str, int]:
        """See Storage."""
        path = self._root / folder
        with failing("list artifacts", path):
            found = {one.name: self._size_bytes(one) for one in path.iterdir()} if path.is_dir() else {}
        return {name: size_bytes for name, size_bytes in found.items() if size_bytes is not None}

    def sweep(self, older_than_s: float) -> int:
        """See Storage."""
        with failing("remove temporary files", self._root):
            return sum(sweep_folder(self._root / name, older_than_s) for name in _PASSING)

    def _size_bytes(self, path: Path) -> int | None:
        try:
            return path.stat().st_size
        except FileNotFoundError:
            return None

    def _make_folder(self, folder: Path) -> None:
        if folder.is_dir():
            return
        self._make_folder(folder.parent)
        folder.mkdir(exist_ok=True)
        _fsync(folder.parent)


def _fsync(path: Path) -> None:
    folder = path.is_dir()
    descriptor = os.open(path, os.O_RDONLY if folder else os.O_RDWR)
    try:
        os.fsync(descriptor)
    except OSError as error:
        # Some network file systems know no fsync of a folder: they write names through.
        if not folder or error.errno not in _WITHOUT_FSYNC:
            raise
    finally:
        os.close(descriptor)


class RemoteStorage:
    """An object store or another remote file system.

    Args:
        url: fsspec URL of the root.
        scratch: folder of this machine for temporary files.
    """

    def __init__(self, url: str, scratch: Path) -> None:
        # Half of the installations never need it, and it is slow to load.
        from fsspec.core import url_to_fs  # noqa: PLC0415

        self._url = url.rstrip("/")
        self._scratch = scratch
        self._atomic = url.partition("://")[0] in _OBJECT_STORES
        try:
            self._files, root = url_to_fs(url)
        except (ImportError, ValueError) as error:
            raise StorageError(
                "storage_protocol",
                f"The artifact storage {url} cannot be opened: {error}.",
                "Install the fsspec package for it, or use a folder.",
                url=url,
            ) from error
        self._root = root.rstrip("/")
        # No engine sees the scratch folders of other machines.
        self._scratch_sweeping = Sweeping(partial(sweep_folder, scratch / _TEMPORARY, SAFE_AGE_S))

    def __str__(self) -> str:
        return self._url

    def temporary(self) -> Path:
        """See Storage. Whoever writes here also sees to what others left here."""
        if not self._scratch.is_dir():
            self._scratch.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._scratch_sweeping.look_after()
        return _new_file(self._scratch / _TEMPORARY)

    def publish(self, temporary: Path, name: str, *, replace: bool = False) -> None:
        """See Storage. A failed upload leaves the temporary file: it may be tried again."""
        key, place = self._key(name)
        with failing("store an artifact", place):
            if replace or self._size_bytes(key) != temporary.stat().st_size:
                self._upload(temporary, key)
            temporary.unlink()

    def read(self, name: str, *, size_bytes: int | None = None, writable: bool = False) -> Any:
        """See Storage: large ones by way of a file, so that they need not fit in memory."""
        key, place = self._key(name)
        with failing("read an artifact", place):
            if size_bytes is None or size_bytes < MAPPED_BYTES:
                return self._files.cat_file(key)
            path = self.temporary()
            try:
                self._files.get_file(key, str(path))
                # The mapping outlives the name.
                return _mapped(path, writable=writable)
            finally:
                path.unlink(missing_ok=True)

    def exists(self, name: str) -> bool:
        """See Storage."""
        key, place = self._key(name)
        with failing("look for an artifact", place):
            return self._size_bytes(key) is not None

    def delete(self, name: str) -> bool:
        """See Storage."""
        key, place = self._key(name)
        with failing("remove an artifact", place):
            if self._size_bytes(key) is None:
                return False
            self._files.rm_file(key)
        return True

    def move(self, name: str, to: str) -> bool:
        """See Storage. Killed in the middle of it, an object store has both names."""
        (key, place), (target, _) = self._key(name), self._key(to)
        with failing("move an artifact", place):
            if self._size_bytes(key) is None:
                return False
            if not self._atomic:
                self._files.makedirs(target.rpartition("/")[0], exist_ok=True)
                if self._size_bytes(target) is not None:
                    self._files.rm_file(target)  # Not every file system puts one over another.
            self._files.mv(key, target)
        return True

    def names(self, folder: str) -> Mapping[str, int]:
        """See Storage."""
        self._files.invalidate_cache()
        with failing("list artifacts", f"{self._url}/{folder}"):
            try:
                found = self._files.ls(f"{self._root}/{folder}", detail=True)
            except FileNotFoundError:
                return {}
            return {one["name"].rpartition("/")[2]: int(one["size"]) for one in found if one["type"] == "file"}

    def sweep(self, older_than_s: float) -> int:
        """See Storage: here and there. Parts of an upload that an object store does not show are the store's own affair."""
        with failing("remove temporary files", self._scratch):
            removed = sweep_folder(self._scratch / _TEMPORARY, older_than_s)
        with failing("remove temporary files", self._url):
            return removed + sum(sweep_remote(self._files, f"{self._root}/{name}", older_than_s) for name in _PASSING)

    def _key(self, name: str) -> tuple[str, str]:
        return f"{self._root}/{_checked(name)}", f"{self._url}/{name}"

    def _size_bytes(self, key: str) -> int | None:
        self._files.invalidate_cache()
        try:
            size_bytes = self._files.info(key)["size"]
        except FileNotFoundError:
            return None
        return int(size_bytes)

    def _upload(self, temporary: Path, key: str) -> None:
        if self._atomic:
            self._files.put_file(str(temporary), key)
            return
        # In a folder of its own, so that what is left of a killed upload is found without going through all artifacts.
        waiting = f"{self._root}/{_TEMPORARY}/{uuid.uuid4().hex}"
        for place in (waiting, key):
            self._files.makedirs(place.rpartition("/")[0], exist_ok=True)
        self._files.put_file(str(temporary), waiting)
        self._files.mv(waiting, key)
