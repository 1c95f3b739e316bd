"""What cannot run is told before it starts, even if no worker has told yet what it has."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Iterable, Mapping
from typing import Any
from uuid import UUID

import pytest

from wfplatform.app.requirement import AGAIN_AFTER_S, RequirementCheck, RequirementWarning
from wfplatform.core.identifier import DEFAULT_TENANT
from wfplatform.core.ports import StoredVersion
from wfplatform.core.requirement import PYTHON
from wfplatform.errors import PlatformError

VERSION = StoredVersion(
    id=UUID(int=1), tenant_id=DEFAULT_TENANT, workflow_id=UUID(int=2), name="flow", number=1, digest="", document={},
    code_digest="",
)  # fmt: skip
HERE: Mapping[str, Any] = {"python": "3.13", "distributions": {"pandas": "3.0"}, "workers": ["w1"]}
OTHER: Mapping[str, Any] = {**HERE, "python": "3.12", "workers": ["w2", "w3"]}


class Cluster:
    """Workers that describe themselves when they are read for the so-many-th time; a clock that only sleeping moves."""

    def __init__(self, needed: Mapping[str, str], described: Iterable[list[Mapping[str, Any]]]) -> None:
        described = list(described)
        self.needed = needed
        self.described = itertools.chain(described, itertools.repeat(described[-1]))
        self.now_s = 0.0
        self.reads = 0
        self.check = RequirementCheck(self.read, clock_s=lambda: self.now_s, sleep=self.sleep, patience_s=5)

    def read(self, version_id: UUID) -> tuple[Mapping[str, str], list[Mapping[str, Any]]]:
        assert version_id == VERSION.id
        self.reads += 1
        return self.needed, next(self.described)

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds


def test_it_waits_for_the_first_worker_that_says_what_it_has() -> None:
    cluster = Cluster({"polars": "1.0"}, [[], [], [], [HERE]])
    with pytest.raises(PlatformError, match=r"flow cannot run: polars 1\.0 is needed, and is not installed on w1\."):
        cluster.check(VERSION)
    assert cluster.reads == 4


def test_no_worker_at_all_is_a_warning_and_waited_for_once() -> None:
    cluster = Cluster({"polars": "1.0"}, [[]])
    with pytest.warns(RequirementWarning, match="No worker has told yet"):
        cluster.check(VERSION)
    assert 5 <= cluster.now_s < 6
    waited_s = cluster.now_s
    with pytest.warns(RequirementWarning, match="No worker has told yet"):
        cluster.check(VERSION)
    assert cluster.now_s == waited_s
    cluster.described = itertools.chain([[HERE], []], itertools.repeat([HERE]))
    with pytest.raises(PlatformError):
        cluster.check(VERSION)
    with pytest.raises(PlatformError):
        cluster.check(VERSION)
    assert cluster.now_s > waited_s, "once workers were there, they are waited for again"


def test_what_needs_nothing_waits_for_nobody() -> None:
    cluster = Cluster({}, [[]])
    cluster.check(VERSION)
    assert (cluster.reads, cluster.now_s) == (1, 0)


def test_another_python_cannot_open_pickled_code() -> None:
    cluster = Cluster({"pandas": "3.0", PYTHON: "3.13"}, [[HERE, OTHER]])
    with pytest.raises(PlatformError) as caught:
        cluster.check(VERSION)
    assert caught.value.code == "requirements_missing"
    assert caught.value.message == "flow cannot run: Its code was pickled by Python 3.13, and w2, w3 runs Python 3.12."
    assert caught.value.hint == "Start workers with Python 3.13, or register it with Python 3.12."
    Cluster({"pandas": "3.0"}, [[HERE, OTHER]]).check(VERSION)  # all of it can be imported


def test_another_version_is_a_warning_and_looked_at_again_later() -> None:
    cluster = Cluster({"pandas": "3.1"}, [[HERE]])
    with pytest.warns(RequirementWarning, match=r"pandas 3\.1 is needed, and 3\.0 is installed on w1\."):
        cluster.check(VERSION)
    with warnings.catch_warnings(action="error"):
        cluster.check(VERSION)
    assert cluster.reads == 1
    cluster.now_s += AGAIN_AFTER_S
    with pytest.warns(RequirementWarning):
        cluster.check(VERSION)
