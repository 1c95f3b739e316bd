"""What who waits for an execution is told."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from wfplatform import node, workflow
from wfplatform.bootstrap.inline import InlinePlatform
from wfplatform.core.record import EndedExecution
from wfplatform.errors import NodeError, NotFoundError, WaitTimeoutError, WfError


@node
def same(x: int) -> int:
    return x


@workflow
def plain(x: int = 3) -> int:
    return same(x)


@node
def waiting_for(path: str) -> str:
    return Path(path).read_text(encoding="utf-8")


@workflow
def reading(path: str) -> str:
    return waiting_for(path)


@node
def listed(path: str) -> list[str]:
    return [*Path(path).read_text(encoding="utf-8")]


@node
def upper(letter: str) -> str:
    return letter


@workflow
def letters(path: str) -> Any:
    return upper.map(listed(path))


@workflow
def through_a_child(path: str) -> Any:
    return letters(path)


@pytest.fixture
def platform() -> Iterator[InlinePlatform]:
    with InlinePlatform() as made:
        yield made


def test_what_ends_when_the_time_is_just_over_has_its_result(
    platform: InlinePlatform, monkeypatch: pytest.MonkeyPatch
) -> None:
    execution = platform.run(plain, {"x": 3})
    execution.wait(30)
    records: Any = platform.executions._records
    read, looks = records.ended, []

    def a_moment_too_early(tenant_id: UUID, asked: Iterable[UUID]) -> Mapping[UUID, EndedExecution]:
        looks.append(asked)
        found: Mapping[UUID, EndedExecution] = {} if len(looks) == 1 else read(tenant_id, asked)
        return found

    monkeypatch.setattr(records, "ended", a_moment_too_early)
    assert execution.result(0) == 3
    assert len(looks) == 3


def test_after_a_retry_the_new_end_is_waited_for(platform: InlinePlatform, tmp_path: Path) -> None:
    file = tmp_path / "text"
    execution = platform.run(reading, {"path": str(file)})
    with pytest.raises(NodeError, match="No such file"):
        execution.result(30)
    file.write_text("here", encoding="utf-8")
    execution.retry()
    assert execution.result(30) == "here"


def test_the_elements_of_a_map_that_was_skipped_as_a_whole_are_there_after_a_retry(
    platform: InlinePlatform, tmp_path: Path
) -> None:
    file = tmp_path / "text"
    for flow in (letters, through_a_child):
        file.unlink(missing_ok=True)
        execution = platform.run(flow, {"path": str(file)})
        assert execution.wait(30) == "failed"
        file.write_text("ab", encoding="utf-8")
        execution.retry()
        assert execution.result(30) == ["a", "b"]


def test_one_that_nobody_has_tried_again_yet_is_still_waited_for(tmp_path: Path) -> None:
    platform = InlinePlatform()
    execution = platform.run(reading, {"path": str(tmp_path / "text")})
    assert execution.wait(30) == "failed"
    platform.close()
    execution.retry()
    with pytest.raises(WaitTimeoutError, match="is still to be tried again"):
        execution.result(0.01)


@pytest.mark.parametrize(
    ("document", "reason", "advice"),
    [
        ({"schemaVersion": 99, "name": "plain"}, "got 99; this release reads no other", "upgrade"),
        ({"schemaVersion": 1, "name": "plain", "nodes": 7}, "nodes", "publish the workflow again"),
        ({"schemaVersion": 1}, "name", "publish the workflow again"),
        ({}, "schemaVersion", "publish the workflow again"),
        (["not", "a", "document"], "list", "publish the workflow again"),
        (None, "", "publish the workflow again"),
    ],
)
def test_a_stored_version_that_cannot_be_read_is_told(
    platform: InlinePlatform, document: Any, reason: str, advice: str
) -> None:
    version = platform.publish(plain)
    platform.store.contents.versions[version.id] = replace(version, document=document)
    with pytest.raises(WfError) as caught:
        platform.executions.graph(version.id)
    assert caught.value.code == "version_unreadable"
    assert caught.value.message.startswith(f"Version 1 ({version.digest[:12]}) of the workflow plain cannot be read: ")
    assert reason in caught.value.message
    assert advice in caught.value.hint


def test_one_that_does_not_exist_is_not_waited_for(platform: InlinePlatform) -> None:
    with pytest.raises(NotFoundError):
        platform.executions.result(UUID(int=5), 30)
