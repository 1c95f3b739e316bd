"""What who waits for an execution is told."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest

from wfplatform import node, workflow
from wfplatform.bootstrap.inline import InlinePlatform
from wfplatform.core.record import EndedExecution
from wfplatform.errors import NotFoundError, WfError


@node
def same(x: int) -> int:
    return x


@workflow
def plain(x: int = 3) -> int:
    return same(x)


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
    assert len(looks) == 2


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
