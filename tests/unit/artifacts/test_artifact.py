"""Artifacts and what becomes of them: outputs, durability, verification, programs and probes."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import wfplatform.artifacts
from wfplatform.artifacts import Artifacts
from wfplatform.errors import StorageError

LARGE = {"bytes": b"x" * 100_000, "array": np.arange(20_000), "text": "y" * 100_000, "tuple": ("z" * 100_000,)}


@pytest.fixture(params=["local", "memory"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return str(tmp_path / "root") if request.param == "local" else f"memory://{uuid.uuid4().hex}"


@pytest.fixture
def artifacts(url: str, tmp_path: Path) -> Artifacts:
    return Artifacts(url, scratch=tmp_path / "scratch")


def files(folder: Path) -> list[Path]:
    """All files within."""
    return sorted(path for path in folder.rglob("*") if path.is_file())


def test_what_is_public() -> None:
    assert wfplatform.artifacts.__all__ == ["Artifacts", "Stored"]


@pytest.mark.parametrize("value", [None, 1, "a", {"a": [1.5]}, b"abc", (1, 2), np.arange(3)], ids=repr)
def test_small_values_are_carried(artifacts: Artifacts, value: Any, tmp_path: Path) -> None:
    stored = artifacts.store(value)
    output = stored.output
    assert ("value" in output) + ("body" in output) == 1
    assert set(output) <= {"codec", "size", "digest", "kind", "length", "value", "body"}
    if "body" in output:
        assert (output["size"], output["digest"]) == (len(output["body"]), hashlib.sha256(output["body"]).hexdigest())
    stored.make_durable()
    stored.discard()
    assert files(tmp_path) == []


@pytest.mark.parametrize("value", LARGE.values(), ids=list(LARGE))
def test_large_values_are_written(artifacts: Artifacts, value: Any, tmp_path: Path) -> None:
    stored = artifacts.store(value)
    output = stored.output
    assert set(output) <= {"codec", "size", "digest", "kind", "length", "location"}
    assert output["location"] == f"artifacts/{output['digest'][:2]}/{output['digest']}.{output['codec']}"
    assert not artifacts.exists(output["location"])
    assert len(files(tmp_path)) == 1
    stored.make_durable()
    stored.make_durable()
    assert artifacts.exists(output["location"])
    assert np.array_equal(artifacts.load(output), value)  # type: ignore[arg-type]
    assert artifacts.delete(output["location"])
    assert not artifacts.exists(output["location"])
    with pytest.raises(StorageError) as caught:
        artifacts.load(output)
    assert caught.value.code == "artifact_missing"
    assert output["digest"] in caught.value.message


@pytest.mark.parametrize(
    ("value", "length"),
    [
        ((1, 2), 2),
        ([object], 1),
        (range(3), 3),
        (np.zeros((4, 2)), 4),
        (pd.Series([1, 2]), 2),
        (pd.DataFrame({"a": [1, 2]}), None),
        ({"a": object}, None),
        (np.float64(1), None),
    ],
    ids=repr,
)
def test_the_length_of_a_list_that_must_be_opened_stands_beside_it(
    value: Any, length: int | None, tmp_path: Path
) -> None:
    assert Artifacts(str(tmp_path)).store(value).output.get("length") == length


def test_the_bytes_on_disk_are_what_the_digest_says(tmp_path: Path) -> None:
    artifacts = Artifacts(str(tmp_path))
    stored = artifacts.store(pd.DataFrame({"a": np.arange(20_000)}))
    stored.make_durable()
    body = (tmp_path / stored.output["location"]).read_bytes()
    assert (len(body), hashlib.sha256(body).hexdigest()) == (stored.output["size"], stored.output["digest"])
    assert body.startswith(b"ARROW1")


def test_remote_frames_are_compressed(tmp_path: Path) -> None:
    frame = pd.DataFrame({"a": np.zeros(100_000)})
    local = Artifacts(str(tmp_path)).store(frame)
    remote = Artifacts(f"memory://{uuid.uuid4().hex}", scratch=tmp_path / "scratch").store(frame)
    assert remote.output["size"] * 10 < local.output["size"]


def test_the_limit_is_the_last_that_is_carried(tmp_path: Path) -> None:
    artifacts = Artifacts(str(tmp_path), inline_limit_bytes=10)
    assert "value" in artifacts.store("x" * 8).output
    assert "location" in artifacts.store("x" * 9).output
    assert "body" in artifacts.store(b"x" * 10).output
    assert "location" in artifacts.store(b"x" * 11).output


def test_the_same_value_is_kept_once(artifacts: Artifacts, tmp_path: Path) -> None:
    first, second = artifacts.store(LARGE["bytes"]), artifacts.store(LARGE["bytes"])
    assert first.output == second.output
    first.make_durable()
    second.make_durable()
    assert artifacts.load(second.output) == LARGE["bytes"]
    assert len(files(tmp_path)) <= 1


def test_what_is_discarded_leaves_nothing(artifacts: Artifacts, tmp_path: Path) -> None:
    artifacts.store(LARGE["bytes"]).discard()
    assert files(tmp_path) == []


def test_a_leftover_is_swept(artifacts: Artifacts, tmp_path: Path) -> None:
    artifacts.store(LARGE["bytes"])
    assert artifacts.sweep() == 0
    assert artifacts.sweep(older_than_s=-60.0) == 1
    assert files(tmp_path) == []


def test_changing_a_value_later_changes_no_output(artifacts: Artifacts) -> None:
    value: list[Any] = [1, {"a": [2]}]
    output = artifacts.store(value).output
    value[1]["a"].append(3)
    loaded: Any = artifacts.load(output)
    loaded[1]["a"].clear()
    assert artifacts.load(output) == [1, {"a": [2]}]
    buffer = bytearray(b"abc")
    output = artifacts.store(buffer).output
    buffer[0] = 0
    assert artifacts.load(output) == b"abc"


def flip(path: Path) -> None:
    """Change one byte in the middle."""
    body = bytearray(path.read_bytes())
    body[len(body) // 2] ^= 1
    path.write_bytes(body)


def cut(path: Path) -> None:
    """Lose the end."""
    path.write_bytes(path.read_bytes()[:-1])


def empty(path: Path) -> None:
    """Lose everything."""
    path.write_bytes(b"")


@pytest.mark.parametrize("spoil", [flip, cut, empty])
@pytest.mark.parametrize("value", LARGE.values(), ids=list(LARGE))
def test_a_corrupt_artifact_is_found_and_mended(tmp_path: Path, value: Any, spoil: Callable[[Path], None]) -> None:
    artifacts = Artifacts(str(tmp_path))
    stored = artifacts.store(value)
    stored.make_durable()
    spoil(tmp_path / stored.output["location"])
    with pytest.raises(StorageError) as caught:
        artifacts.load(stored.output)
    assert caught.value.code == "artifact_corrupt"
    assert stored.output["digest"] in caught.value.message
    again = artifacts.store(value)
    again.make_durable()
    assert np.array_equal(artifacts.load(again.output), value)  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [5, b"abc", (1, 2)], ids=repr)
def test_a_changed_output_is_found(artifacts: Artifacts, value: object) -> None:
    output = artifacts.store(value).output
    changes: list[dict[str, Any]] = [{"size": 99}, {"digest": "0" * 64}]
    changes += [{"value": 6}, {"value": (1,)}] if "value" in output else [{"body": output["body"][:-1] + b"!"}]
    for change in changes:
        with pytest.raises(StorageError) as caught:
            artifacts.load(output | change)
        assert caught.value.code == "artifact_corrupt"


def test_an_output_without_anything_is_missing(artifacts: Artifacts) -> None:
    with pytest.raises(StorageError) as caught:
        artifacts.load({"codec": "json", "size": 1, "digest": "ab"})
    assert caught.value.code == "artifact_missing"


def test_a_value_whose_class_is_gone_is_told(artifacts: Artifacts, monkeypatch: pytest.MonkeyPatch) -> None:
    import wfplatform.artifacts.sink as module

    output = artifacts.store(module.Written).output
    monkeypatch.delattr(module, "Written")
    with pytest.raises(StorageError) as caught:
        artifacts.load(output)
    assert caught.value.code == "artifact_unreadable"
    assert "Written" in caught.value.message


def test_programs(artifacts: Artifacts) -> None:
    name = f"programs/{'ab' * 32}"
    with pytest.raises(StorageError) as caught:
        artifacts.get_bytes(name)
    assert caught.value.code == "artifact_missing"
    artifacts.put_bytes(name, b"content")
    artifacts.put_bytes(name, b"content, packed by another process")
    assert artifacts.get_bytes(name) == b"content"
    artifacts.put_bytes("programs/empty", b"")
    assert artifacts.get_bytes("programs/empty") == b""


def test_a_corrupt_program_is_found_and_mended(tmp_path: Path) -> None:
    artifacts = Artifacts(str(tmp_path))
    artifacts.put_bytes("programs/ab", b"content")
    flip(tmp_path / "programs" / "ab")
    with pytest.raises(StorageError) as caught:
        artifacts.get_bytes("programs/ab")
    assert caught.value.code == "artifact_corrupt"
    artifacts.put_bytes("programs/ab", b"content")
    assert artifacts.get_bytes("programs/ab") == b"content"


def test_a_probe_is_read_once(url: str, artifacts: Artifacts, tmp_path: Path) -> None:
    token = artifacts.probe()
    Artifacts(url, scratch=tmp_path / "other", allow_pickle=False).read_probe(token)
    assert files(tmp_path) == []


def test_a_storage_that_is_not_shared_is_refused(tmp_path: Path) -> None:
    token = Artifacts(str(tmp_path / "worker")).probe()
    with pytest.raises(StorageError) as caught:
        Artifacts(str(tmp_path / "engine")).read_probe(token)
    assert caught.value.code == "storage_not_shared"
    assert str(tmp_path / "engine") in caught.value.message
    assert "Nothing is stored at" in caught.value.message
    for wrong in ("", "../../etc/passwd", "abc"):
        with pytest.raises(StorageError):
            Artifacts(str(tmp_path)).read_probe(wrong)
