"""Stored values: encoded, hashed, and either carried along or written at their digest.

Refuses to hand out a value whose bytes are not the ones that were stored.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import socket
import threading
import uuid
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Final

from wfplatform.artifacts import codec, plain
from wfplatform.artifacts.aside import Aside
from wfplatform.artifacts.failure import missing
from wfplatform.artifacts.leftover import SAFE_AGE_S
from wfplatform.artifacts.sink import Sink, Written
from wfplatform.artifacts.storage import LocalStorage, Storage, open_storage
from wfplatform.authoring.call import length_of
from wfplatform.errors import StorageError, WfError

__all__ = ["Artifacts", "Stored"]

_logger: Final = logging.getLogger(__name__)
_sha256: Final = hashlib.sha256
_TOKEN: Final = re.compile(r"([0-9a-f]{32})\.([0-9]+)\.(\S+)")


class Stored:
    """A value that was encoded.

    Attributes:
        output: travels and is recorded: "codec", "size" (bytes), "digest", sometimes "kind", and one of
            "value" (plain data), "body" (bytes) or "location" (text, relative to the storage's root); of lists
            and arrays the "length" too, for who does not open them. A digest alone does not tell values apart:
            codec, kind and digest together do.
    """

    __slots__ = ("_pending", "output")

    def __init__(self, output: dict[str, Any], pending: _Pending | None = None) -> None:
        self.output = output
        self._pending = pending

    def make_durable(self) -> None:
        """Bring a located value to its place, to stay; nothing to do for others. Called from any thread.

        Raises:
            StorageError: it is not stored. A full disk leaves nothing behind.
        """
        if self._pending is not None:
            self._pending.publish()

    def discard(self) -> None:
        """Drop what was written if it is not durable yet: nobody will ask for the value."""
        if self._pending is not None:
            self._pending.drop()


class _Pending:
    """A temporary file on its way to its place."""

    __slots__ = ("_done", "_location", "_lock", "_storage", "_temporary")

    def __init__(self, storage: Storage, temporary: Path, location: str) -> None:
        self._storage = storage
        self._temporary = temporary
        self._location = location
        self._lock = threading.Lock()
        self._done = False

    def publish(self) -> None:
        with self._lock:
            if not self._done:
                self._storage.publish(self._temporary, self._location)
                self._done = True

    def drop(self) -> None:
        with self._lock:
            self._done = True
            self._temporary.unlink(missing_ok=True)


class Artifacts:
    """Stores and loads values; one a process, used from any thread.

    Args:
        url: a path, `file://...`, or any URL fsspec knows (`s3://bucket/prefix`).
        inline_limit_bytes: values up to this size, encoded, are carried in their output and not written.
        scratch: folder for temporary files when the storage is not local; None = the system's.
        allow_pickle: whether pickled values may be opened here: on workers and in the user's own process,
            never on a server.

    Raises:
        StorageError: nothing installed here can open such a URL.
    """

    def __init__(
        self,
        url: str,
        *,
        inline_limit_bytes: int = 65536,
        scratch: Path | None = None,
        allow_pickle: bool = True,
    ) -> None:
        self._storage = open_storage(url, scratch)
        self.aside: Final = Aside(self._storage)
        self._inline_limit_bytes = inline_limit_bytes
        self._allow_pickle = allow_pickle
        # Locally the processor is what is short, and a plain file is shared by all who map it; elsewhere
        # it is the wire.
        self._compression = None if isinstance(self._storage, LocalStorage) else "lz4"

    def store(self, value: object) -> Stored:
        """Encode a value and compute its digest; a large one is on disk afterwards but not yet durable.

        Args:
            value: anything.

        Returns:
            The output to record, and the means to make it durable.

        Raises:
            TravelError: the value cannot be stored, with the part that cannot and what to do.
            StorageError: the storage cannot be written.
        """
        form = plain.encode(value)
        if form is not None:
            body, narrow, copy = form
            size_bytes = len(body)
            if size_bytes <= self._inline_limit_bytes:
                output = {"codec": "json", "size": size_bytes, "digest": _sha256(body).hexdigest()}
                if not narrow:
                    # An integer of more than 64 bits does not travel as a number.
                    output["body"] = body
                else:
                    # A copy: whoever gets the value next may change it in place before the output is sent.
                    output["value"] = value if copy is None else copy(value)
                return Stored(output)
        sink = self._sink()
        try:
            if form is not None:
                sink.write(form[0])
                name, kind = "json", None
            else:
                name, kind = codec.encode(value, sink, self._compression)
            return self._stored(sink.finish(), name, kind, length_of(value))
        except BaseException:
            sink.abandon()
            raise

    def load(self, output: Mapping[str, Any]) -> object:
        """The value behind an output, made anew.

        Args:
            output: as `Stored.output`.

        Returns:
            The value, of exactly the type that was stored.

        Raises:
            StorageError: `artifact_missing`; `artifact_corrupt` (a corrupt file is removed, so that computing
                it again mends it); `artifact_pickled` where pickles are not opened; `artifact_unreadable`
                when the environment lacks something.
        """
        name, kind = output["codec"], output.get("kind")
        if "value" in output:
            form = plain.encode(output["value"])
            if form is None:
                raise _corrupt(output, "it is no plain data")
            _verify(form[0], output)
            return output["value"] if form[2] is None else form[2](output["value"])
        if name == "pickle" and not self._allow_pickle:
            codec.decode(name, kind, b"", allow_pickle=False)
        if "body" in output:
            body = output["body"]
            _verify(body, output)
        elif "location" in output:
            body = self._located(output)
        else:
            raise missing(f"the artifact {_called(output)}, whose output has neither value nor body nor location")
        try:
            return codec.decode(name, kind, body, allow_pickle=self._allow_pickle)
        except (WfError, MemoryError):
            raise
        # Unpickling runs any code; and another version of a library may not read what this one wrote.
        except Exception as error:
            raise StorageError(
                "artifact_unreadable",
                f"The artifact {_called(output)} is whole, but cannot be read here: {type(error).__name__}: {error}.",
                "See that the packages are here, in the same versions, that were there where it was stored."
                if isinstance(error, (ImportError, AttributeError))
                else "If the error is of a class of your own, see to what its __reduce__ or __setstate__ does.",
                digest=output.get("digest"),
                codec=name,
                reason=f"{type(error).__name__}: {error}",
            ) from error

    def exists(self, location: str) -> bool:
        """Whether an artifact is at its place.

        Args:
            location: relative to the root, from an output.
        """
        return self._storage.exists(location) or self.aside.put_back(location)

    def delete(self, location: str) -> bool:
        """Remove an artifact; processes that have it mapped keep it.

        Args:
            location: relative to the root, from an output.

        Returns:
            Whether it was there.
        """
        return self._storage.delete(location)

    def sweep(self, older_than_s: float = SAFE_AGE_S) -> int:
        """Remove temporary files, unfinished uploads and probes that killed processes left behind.

        Args:
            older_than_s: younger ones may still be written to.

        Returns:
            How many were removed.
        """
        return self._storage.sweep(older_than_s)

    def put_bytes(self, name: str, body: bytes) -> None:
        """Store bytes under a name that tells their content, as `programs/<digest>`; once there, they stay.

        Args:
            name: a folder, a slash, a name.
            body: what to store.

        Raises:
            StorageError: it is not stored.
        """
        if self._storage.exists(name):
            try:
                self.get_bytes(name)
            except StorageError as error:
                if error.code not in {"artifact_corrupt", "artifact_missing"}:
                    raise
            else:
                return
        self._write(name, _sha256(body).digest() + body)

    def get_bytes(self, name: str) -> bytes:
        """The bytes stored under a name.

        Args:
            name: as for `put_bytes`.

        Raises:
            StorageError: `artifact_missing` or `artifact_corrupt`.
        """
        whole = memoryview(self._storage.read(name))
        body = bytes(whole[32:])
        # The name is a digest of the content's meaning, not of these bytes; so their own stands before them.
        if _sha256(body).digest() != whole[:32]:
            raise _corrupt({"location": name}, "its bytes are not the ones that were stored")
        return body

    def probe(self) -> str:
        """Write a small file the way artifacts are written.

        Returns:
            A token for `read_probe` in another process.

        Raises:
            StorageError: this process cannot write to the storage.
        """
        host = re.sub(r"\s", "-", socket.gethostname()) or "unknown"
        token = f"{uuid.uuid4().hex}.{os.getpid()}.{host}"
        self._write(f"probes/{token.partition('.')[0]}", token.encode())
        return token

    def read_probe(self, token: str) -> None:
        """Read a probe another process wrote, and remove it.

        Args:
            token: what its `probe` returned.

        Raises:
            StorageError: `storage_not_shared`, with a sentence saying why.
        """
        parsed = _TOKEN.fullmatch(token)
        if parsed is None:
            raise StorageError("storage_probe", f"{token!r} is no token of a probe.", "Pass on what `probe` returned.")
        name, writer = f"probes/{parsed[1]}", f"process {parsed[2]} on {parsed[3]}"
        try:
            found = bytes(self._storage.read(name))
        except StorageError as error:
            raise self._not_shared(writer, error.message) from error
        if found != token.encode():
            raise self._not_shared(writer, "the file is there, but holds something else.")
        try:
            self._storage.delete(name)
        except StorageError as error:
            # Who only reads need not be able to remove.
            if error.code != "storage_closed":
                raise

    def _not_shared(self, writer: str, reason: str) -> StorageError:
        return StorageError(
            "storage_not_shared",
            f"The artifact storage {self._storage} is refused: {writer} wrote a probe there that "
            f"process {os.getpid()} on {socket.gethostname()} cannot read: {reason}",
            "Let the artifact URL name a storage that every worker and engine reaches: a shared folder "
            "mounted at the same path and readable by the same user, or an object store.",
            storage=str(self._storage),
            writer=writer,
            reason=reason,
        )

    def _sink(self) -> Sink:
        return Sink(self._storage.temporary, self._inline_limit_bytes)

    def _stored(self, written: Written, name: str, kind: str | None, length: int | None) -> Stored:
        output: dict[str, Any] = {"codec": name, "size": written.size_bytes, "digest": written.digest}
        if kind is not None:
            output["kind"] = kind
        if length is not None:
            output["length"] = length
        if written.temporary is None:
            output["body"] = written.body
            return Stored(output)
        location = f"artifacts/{written.digest[:2]}/{written.digest}.{name}"
        output["location"] = location
        return Stored(output, _Pending(self._storage, written.temporary, location))

    def _located(self, output: Mapping[str, Any]) -> Any:
        location = output["location"]
        read = partial(self._storage.read, location, size_bytes=output["size"], writable=output["codec"] == "npy")
        try:
            body = read()
        except StorageError as error:
            if error.code != "artifact_missing":
                raise
            self.aside.put_back(location)
            body = read()  # Somebody else may have put it back.
        try:
            _verify(body, output)
        except StorageError as error:
            _logger.warning("artifact corrupt", extra={"location": location, "reason": error.facts["reason"]})
            # Else the value computed again would find its place taken, and be dropped for the corrupt one.
            # Who may only read leaves that to the next who may write.
            with suppress(StorageError):
                self._storage.delete(location)
            raise
        return body

    def _write(self, name: str, body: bytes) -> None:
        sink = Sink(self._storage.temporary, -1)
        try:
            sink.write(body)
            written = sink.finish()
        except BaseException:
            sink.abandon()
            raise
        assert written.temporary is not None
        try:
            self._storage.publish(written.temporary, name, replace=True)
        finally:
            written.temporary.unlink(missing_ok=True)


def _verify(body: Any, output: Mapping[str, Any]) -> None:
    size_bytes = len(body)
    if size_bytes != output["size"]:
        raise _corrupt(output, f"it has {size_bytes} bytes, expected {output['size']}")
    if _sha256(body).hexdigest() != output["digest"]:
        raise _corrupt(output, "its bytes are not the ones that were stored")


def _corrupt(output: Mapping[str, Any], reason: str) -> StorageError:
    return StorageError(
        "artifact_corrupt",
        f"The artifact {_called(output)} is corrupt: {reason}.",
        "It has to be computed again; see to the health of the disk that keeps it.",
        digest=output.get("digest"),
        location=output.get("location"),
        reason=reason,
    )


def _called(output: Mapping[str, Any]) -> str:
    name = str(output.get("digest") or output.get("location") or "without a digest")
    return f"{name} at {output['location']}" if "location" in output and "digest" in output else name
