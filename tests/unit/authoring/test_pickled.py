"""What cannot be stored is refused by name, with the part that is to blame and what to do."""

from __future__ import annotations

import functools
import io
import socket
import sqlite3
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from wfplatform.artifacts import Artifacts
from wfplatform.authoring.pickled import Storable
from wfplatform.errors import TravelError


@pytest.fixture
def artifacts(tmp_path: Path) -> Artifacts:
    return Artifacts(str(tmp_path / "artifacts"))


def refusal(artifacts: Artifacts, value: object) -> TravelError:
    """The error for a value that cannot be stored."""
    with pytest.raises(TravelError) as caught:
        artifacts.store(value)
    assert caught.value.code == "value_cannot_travel"
    assert caught.value.hint
    return caught.value


class Model:
    def __init__(self, part: object) -> None:
        self.name = "m"
        self.part = part


class Slotted:
    __slots__ = ("part", "unset")

    def __init__(self, part: object) -> None:
        self.part = part


def test_the_part_is_named(artifacts: Artifacts) -> None:
    lock = threading.Lock()
    cases = [
        (lock, "value"),
        ([1, lock], "value[1]"),
        ({"a": {"b": (1, lock)}}, "value['a']['b'][1]"),
        ({1: Model(lock)}, "value[1].part"),
        (Model(Slotted([lock])), "value.part.part[0]"),
        (functools.partial(print, lock), "value.args[0]"),
        (Model(lock).__init__, "value.__self__.part"),  # type: ignore[misc]
        (lambda: lock, "value closure variable 'lock'"),
    ]
    for value, place in cases:
        error = refusal(artifacts, value)
        assert error.facts["part"] == place
        assert error.facts["part_type"] == "_thread.lock"
        assert "lock" in error.message


async def coroutine() -> None:
    """Never awaited."""


def test_what_to_do_is_said(artifacts: Artifacts, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"content")
    waiting = coroutine()
    with (
        (tmp_path / "file").open(encoding="utf-8") as text,
        (tmp_path / "file").open("rb") as binary,
        socket.socket() as connection,
        sqlite3.connect(":memory:") as database,
    ):
        cases: list[tuple[Any, str, str]] = [
            ((number for number in range(3)), "generator", "list(...)"),
            (iter_lines(), "generator", "list(...)"),
            (waiting, "coroutine", "await"),
            (text, "_io.TextIOWrapper", "path"),
            (binary, "_io.BufferedReader", "path"),
            ({"log": text}, "_io.TextIOWrapper", "path"),
            (memoryview(b"abc"), "memoryview", "bytes(...)"),
            (connection, "socket.socket", "inside the node"),
            (database, "sqlite3.Connection", "plain data"),
            (threading.RLock(), "_thread.RLock", "inside the node"),
        ]
        for value, kind, hint in cases:
            error = refusal(artifacts, value)
            assert error.facts["part_type"] == kind
            assert hint in error.hint
    database.close()
    waiting.close()


def iter_lines() -> Iterator[str]:
    """A generator."""
    yield "a"


class Stubborn:
    def __reduce__(self) -> Any:
        raise ZeroDivisionError("no")


def test_an_error_of_the_value_itself_is_told(artifacts: Artifacts) -> None:
    error = refusal(artifacts, {"a": Stubborn()})
    assert "value['a'] is of type" in error.message
    assert "Stubborn" in error.message
    assert error.facts["reason"] == "ZeroDivisionError: no"


def test_nesting_without_end_is_told(artifacts: Artifacts) -> None:
    value: list[Any] = []
    for _ in range(100_000):
        value = [value]
    assert "nested too deep" in refusal(artifacts, value).message
    while value:
        value = value[0]


def test_a_cycle_is_no_trouble(artifacts: Artifacts) -> None:
    value: dict[str, Any] = {"lock": None}
    value["self"] = value
    back: Any = artifacts.load(artifacts.store(value).output)
    assert back["self"] is back
    value["lock"] = threading.Lock()
    assert refusal(artifacts, value).facts["part"] == "value['lock']"


def test_nothing_is_left_of_a_value_that_fails_halfway(tmp_path: Path) -> None:
    artifacts = Artifacts(str(tmp_path / "artifacts"))
    refusal(artifacts, ["x" * 500_000, b"y" * 500_000, threading.Lock()])
    assert [path for path in (tmp_path / "artifacts").rglob("*") if path.is_file()] == []


def test_text_in_memory_is_no_file(artifacts: Artifacts) -> None:
    back: Any = artifacts.load(artifacts.store(io.BytesIO(b"abc")).output)
    assert back.getvalue() == b"abc"


def test_functions_of_a_notebook_travel(artifacts: Artifacts) -> None:
    factor = 3
    back: Any = artifacts.load(artifacts.store(lambda number: number * factor).output)
    assert back(2) == 6


@dataclass
class Numbered:
    number: int = 1
    items: list[object] = field(default_factory=list)


def test_classes_are_tried_once_and_values_each_time() -> None:
    storable = Storable()
    storable.check(Numbered())
    storable.check([Numbered(), int, Numbered, [float, {float: Numbered}]])
    with pytest.raises(TravelError, match=r"value\[1\]\.items\[0\] is of type _thread.lock"):
        storable.check([Numbered(), Numbered(items=[threading.Lock()])])


def test_a_class_that_cannot_travel_is_refused_again() -> None:
    class Bound:
        held = threading.Lock()

    storable = Storable()
    for _ in range(2):
        with pytest.raises(TravelError, match="cannot be stored"):
            storable.check(Bound())
