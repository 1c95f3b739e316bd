"""Local and remote storage keep the same promises; names lead nowhere else; failures are sentences."""

from __future__ import annotations

import errno
import os
import stat
import time
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from fsspec.implementations.local import LocalFileSystem

from tests.unit.artifacts.sweeper import quiet
from wfplatform.artifacts.failure import storage_error
from wfplatform.artifacts.leftover import sweep_remote
from wfplatform.artifacts.sink import Sink
from wfplatform.artifacts.storage import LocalStorage, RemoteStorage, Storage, open_storage
from wfplatform.errors import StorageError

NAME = "artifacts/ab/abc.json"


@pytest.fixture(params=["local", "memory", "files"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    """A folder; an object store; a remote file system without atomic uploads (fsspec's own of local files)."""
    url = {
        "local": str(tmp_path / "root"),
        "memory": f"memory://{uuid.uuid4().hex}",
        "files": f"file://{tmp_path}/root",
    }
    kind = RemoteStorage if request.param == "files" else open_storage
    made = kind(url[request.param], tmp_path / "scratch")
    # The first of these has its scratch folder swept, in a thread of its own.
    made.temporary()
    quiet()
    return made


def put(storage: Storage, name: str, body: bytes, **options: Any) -> Path:
    """Store some bytes."""
    path = storage.temporary()
    path.write_bytes(body)
    storage.publish(path, name, **options)
    return path


def test_what_is_published_is_there(storage: Storage) -> None:
    assert not storage.exists(NAME)
    path = put(storage, NAME, b"abc")
    assert not path.exists()
    assert storage.exists(NAME)
    assert bytes(storage.read(NAME)) == b"abc"
    assert bytes(storage.read(NAME, size_bytes=3)) == b"abc"


def test_twice_is_once(storage: Storage) -> None:
    put(storage, NAME, b"abc")
    path = put(storage, NAME, b"xyz")
    assert not path.exists()
    assert bytes(storage.read(NAME)) == b"abc"
    put(storage, NAME, b"xyz", replace=True)
    assert bytes(storage.read(NAME)) == b"xyz"


def test_another_size_is_mended(storage: Storage) -> None:
    put(storage, NAME, b"torn")
    put(storage, NAME, b"whole")
    assert bytes(storage.read(NAME)) == b"whole"


def test_delete_tells_whether_it_was_there(storage: Storage) -> None:
    put(storage, NAME, b"abc")
    assert storage.delete(NAME)
    assert not storage.delete(NAME)
    with pytest.raises(StorageError) as caught:
        storage.read(NAME)
    assert caught.value.code == "artifact_missing"
    assert "abc.json" in caught.value.message


def test_what_is_mapped_outlives_its_name(storage: Storage) -> None:
    body = os.urandom(9_000_000)
    put(storage, NAME, body)
    view = storage.read(NAME, size_bytes=len(body), writable=True)
    storage.delete(NAME)
    assert bytes(view) == body
    view[:1] = b"\0"


def test_nothing_but_the_thing_itself_is_left(storage: Storage, tmp_path: Path) -> None:
    put(storage, NAME, b"abc")
    storage.read(NAME, size_bytes=9_000_000)
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] in ([], ["abc.json"])


@pytest.mark.parametrize(
    "name",
    ["", "abc", "/etc/passwd", "artifacts/../../x", "artifacts/..", "artifacts//x", "artifacts/x\0", "a/.x", "a/b\n",
     "artifacts/x/", "../artifacts/x", "artifacts\\x/y"],
)  # fmt: skip
def test_names_lead_nowhere_else(storage: Storage, name: str) -> None:
    for act in (storage.read, storage.exists, storage.delete):
        with pytest.raises(StorageError) as caught:
            act(name)
        assert caught.value.code == "storage_name"
    path = storage.temporary()
    path.write_bytes(b"")
    with pytest.raises(StorageError):
        storage.publish(path, name)
    path.unlink(missing_ok=True)


def test_only_old_leftovers_are_swept(storage: Storage) -> None:
    old, young = storage.temporary(), storage.temporary()
    old.write_bytes(b"")
    young.write_bytes(b"")
    os.utime(old, (1_000_000_000, 1_000_000_000))
    assert storage.sweep(3600) == 1
    assert (old.exists(), young.exists()) == (False, True)


def test_what_a_killed_process_left_in_the_storage_is_swept_by_its_age(storage: Storage) -> None:
    put(storage, NAME, b"abc")
    for name in ("temporary/1-half", "temporary/2-half", "probes/3"):
        put(storage, name, b"x")
    assert storage.sweep(3600) == 0, "they may be under way"
    assert storage.sweep(-60) == 3
    assert not any(storage.exists(name) for name in ("temporary/1-half", "temporary/2-half", "probes/3"))
    assert bytes(storage.read(NAME)) == b"abc", "what is stored is no leftover, however old"


def test_an_upload_that_was_cut_is_found_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    storage = RemoteStorage(f"file://{tmp_path}/root", tmp_path / "scratch")
    path = storage.temporary()
    path.write_bytes(b"abc")

    def cut(*_: object, **__: object) -> None:
        raise OSError(errno.ECONNRESET, "Connection reset by peer")

    with monkeypatch.context() as patch:
        patch.setattr(LocalFileSystem, "mv", cut)
        with pytest.raises(StorageError):
            storage.publish(path, NAME)
    path.unlink()
    left = [one for one in (tmp_path / "root").rglob("*") if one.is_file()]
    assert len(left) == 1
    assert storage.sweep(3600) == 0
    os.utime(left[0], (1_000_000_000, 1_000_000_000))
    assert storage.sweep(3600) == 1
    assert not left[0].exists()


def test_what_is_of_unknown_age_stays(caplog: pytest.LogCaptureFixture) -> None:
    class Silent:
        """A file system that tells times without a zone, or none."""

        def __init__(self) -> None:
            self.removed: list[str] = []

        def invalidate_cache(self) -> None:
            return

        def ls(self, folder: str, *, detail: bool) -> list[dict[str, object]]:
            assert detail
            old = datetime(2001, 1, 1, tzinfo=UTC)
            return [
                {"name": f"{folder}/none", "type": "file"},
                {"name": f"{folder}/zoneless", "type": "file", "mtime": old.replace(tzinfo=None)},
                {"name": f"{folder}/inside", "type": "directory", "mtime": old},
                {"name": f"{folder}/old", "type": "file", "LastModified": old},
                {"name": f"{folder}/young", "type": "file", "mtime": time.time()},
            ]

        def modified(self, name: str) -> datetime:
            raise NotImplementedError(f"{name}: its age is not known")

        def rm_file(self, name: str) -> None:
            self.removed.append(name)

    files = Silent()
    assert sweep_remote(files, "there", 3600) == 1
    assert files.removed == ["there/old"]
    (line,) = caplog.records
    assert (line.getMessage(), line.__dict__["count"]) == ("temporary files not removed", 2)


def test_scratch_of_a_machine_without_engine_is_swept_by_who_writes_there(tmp_path: Path) -> None:
    folder = tmp_path / "scratch" / "temporary"
    folder.mkdir(parents=True)
    old, young = folder / "1-old", folder / "1-young"
    for path in (old, young):
        path.write_bytes(b"x")
    os.utime(old, (1_000_000_000, 1_000_000_000))
    RemoteStorage(f"memory://{uuid.uuid4().hex}", tmp_path / "scratch").temporary()
    quiet()
    assert (old.exists(), young.exists()) == (False, True)


def test_what_cannot_be_removed_does_not_keep_the_rest(storage: Storage, caplog: pytest.LogCaptureFixture) -> None:
    files = [storage.temporary() for _ in range(4)]
    for number, path in enumerate(files):
        path.mkdir() if number % 2 else path.write_bytes(b"")
        os.utime(path, (1_000_000_000, 1_000_000_000))
    assert storage.sweep(3600) == 2
    assert [path.exists() for path in files] == [False, True, False, True]
    (line,) = caplog.records
    assert (line.getMessage(), line.__dict__["count"]) == ("temporary files not removed", 2)


def test_urls(tmp_path: Path) -> None:
    for url in (f"{tmp_path}/a b", f"file://{tmp_path}/a%20b", (tmp_path / "a b").as_uri()):
        storage = open_storage(url)
        assert isinstance(storage, LocalStorage)
        assert str(storage) == str(tmp_path / "a b")
    with pytest.raises(StorageError) as caught:
        open_storage("nosuch://bucket/key")
    assert caught.value.code == "storage_protocol"
    assert "nosuch://bucket/key" in caught.value.message


def test_a_new_root_is_closed_to_others(tmp_path: Path) -> None:
    put(open_storage(str(tmp_path / "root")), NAME, b"abc")
    assert stat.S_IMODE((tmp_path / "root").stat().st_mode) == 0o700


def test_a_root_that_is_a_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "root").write_bytes(b"")
    storage = open_storage(str(tmp_path / "root"))
    sink = Sink(storage.temporary, -1)
    with pytest.raises(StorageError) as caught:
        sink.write(b"abc")
    assert caught.value.code == "storage_failed"


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    storage = open_storage(str(tmp_path))
    path = storage.temporary()
    path.write_bytes(b"abc")

    def full(_: int) -> None:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(StorageError) as caught:
            storage.publish(path, NAME)
    assert caught.value.code == "storage_full"
    assert NAME in caught.value.message
    assert not path.exists()
    assert not storage.exists(NAME)


def test_a_failed_upload_may_be_tried_again(tmp_path: Path) -> None:
    (tmp_path / "root").write_bytes(b"in the way")
    storage = RemoteStorage(f"file://{tmp_path}/root", tmp_path / "scratch")
    path = storage.temporary()
    path.write_bytes(b"abc")
    with pytest.raises(StorageError):
        storage.publish(path, NAME)
    (tmp_path / "root").unlink()
    storage.publish(path, NAME)
    assert bytes(storage.read(NAME)) == b"abc"


def test_sentences() -> None:
    closed = storage_error("write an artifact", "/data", PermissionError(errno.EACCES, "Permission denied"))
    assert closed.code == "storage_closed"
    other = storage_error("read an artifact", "s3://bucket", RuntimeError("slow down"))
    assert (other.code, "s3://bucket: RuntimeError: slow down" in other.message) == ("storage_failed", True)


def test_what_is_moved_has_its_new_name_only(storage: Storage) -> None:
    put(storage, NAME, b"abc")
    assert storage.move(NAME, "aside/abc.json")
    assert not storage.exists(NAME)
    assert bytes(storage.read("aside/abc.json")) == b"abc"
    assert not storage.move(NAME, "aside/abc.json")
    put(storage, NAME, b"abc")
    assert storage.move("aside/abc.json", NAME), "over what is there"
    assert bytes(storage.read(NAME)) == b"abc"
    with pytest.raises(StorageError, match="no name"):
        storage.move(NAME, "../abc.json")


def test_a_folder_tells_names_and_sizes(storage: Storage) -> None:
    assert dict(storage.names("artifacts/ab")) == {}
    put(storage, NAME, b"abc")
    put(storage, "artifacts/ab/abd.json", b"")
    assert dict(storage.names("artifacts/ab")) == {"abc.json": 3, "abd.json": 0}
