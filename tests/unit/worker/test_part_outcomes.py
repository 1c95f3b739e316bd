"""What is said of a part: an outcome when its artifact is safe, the end when all are."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID

import pytest

from wfplatform.compiler.payload import Delivery, Part, unpack_delivery
from wfplatform.worker.attempt import Attempt
from wfplatform.worker.part_outcomes import PartOutcomes
from wfplatform.worker.stream import OutcomeStream

PART = Part(UUID(int=1), 1, "v", {}, "s", [])


class Artifact:
    """Something that is stored when told, or cannot be."""

    def __init__(self, error: Exception | None = None) -> None:
        self.go = threading.Event()
        self._error = error

    def make_durable(self) -> None:
        assert self.go.wait(30)
        if self._error is not None:
            raise self._error


class Said:
    """A part's outcomes and what is said of them."""

    def __init__(self) -> None:
        self._sent: list[bytes] = []
        self._stream = OutcomeStream("s", "w", lambda topic, body: self._sent.append(body))
        self._stream.close()  # nothing leaves by itself any more
        self.writer = ThreadPoolExecutor(2)
        self.outcomes = PartOutcomes("e", PART, self._stream, self.writer, lambda error: {"message": str(error)})

    def add(self, index: int, *stored: Artifact) -> None:
        attempt = Attempt("e", PART.execution, 1, "s", index, (), 1)
        self.outcomes.add(attempt, "c", 0.0, None, {"result": {}}, None, None, None, stored)

    @property
    def told(self) -> list[Delivery]:
        self._stream.flush()
        return [delivery for body in self._sent for delivery in unpack_delivery(body).deliveries]

    @property
    def letters(self) -> dict[int, str]:
        return {outcome[0]: outcome[3] for delivery in self.told for outcome in delivery.outcomes}


@pytest.fixture
def said() -> Iterator[Said]:
    made = Said()
    yield made
    made.writer.shutdown()


def test_what_is_not_stored_is_safe_at_once(said: Said) -> None:
    assert said.outcomes.is_safe()
    said.add(0)
    assert said.outcomes.is_safe()
    assert (said.letters, [one.closed for one in said.told]) == ({0: "c"}, [False])
    said.outcomes.finalise()
    assert [one.closed for one in said.told] == [False, True]


def test_it_is_safe_and_ends_when_the_last_artifact_is_stored(said: Said) -> None:
    first, second = Artifact(), Artifact(OSError("the disk is full"))
    said.add(0, first)
    said.add(1, second)
    said.add(2)
    said.outcomes.finalise()
    assert not said.outcomes.is_safe()
    assert said.letters == {2: "c"}
    first.go.set()
    second.go.set()
    said.writer.shutdown(wait=True)
    assert said.outcomes.is_safe()
    assert said.letters == {0: "c", 1: "f", 2: "c"}
    assert [one.closed for one in said.told][-1]
    assert sum(one.closed for one in said.told) == 1


def test_what_cannot_be_read_is_told_at_once(said: Said) -> None:
    error: Any = ValueError("it is corrupt")
    said.outcomes.add_unreadable(3, (1,), error)
    (outcome,) = said.told[0].outcomes
    assert (outcome[:4], outcome[10]) == ([3, [1], 0, "u"], {"message": "it is corrupt"})
