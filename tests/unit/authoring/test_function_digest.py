"""No edit that changes what a function does leaves its digest as it was; no edit of its looks changes it."""

from __future__ import annotations

import difflib
import importlib
import linecache
import random
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.unit.authoring.random_edit import behaviour_edit, neutral_edit
from tests.unit.authoring.random_project import FEATURES, OPAQUE, Project, answer, project
from wfplatform.authoring.function_digest import fingerprint, function_digest

WHOLE = {"by_name", "imported_inside", "data_file"}
"""Features that reach a module as a whole: there, what nobody calls counts too."""


def difference(one: Project, other: Project) -> str:
    return "".join(
        line
        for name in sorted(one.keys() | other.keys())
        for line in difflib.unified_diff(
            one.get(name, "").splitlines(keepends=True), other.get(name, "").splitlines(keepends=True), name, name
        )
    )


def attack(seed: int, features: dict[str, dict[str, str]], edits: int, folder: Path) -> int:
    """Edit a random project again and again, each time from what it was; how many edits changed what it returns."""
    chance = random.Random(seed)
    before = project(chance, features)
    first = answer(before, folder / "first")
    assert first.digest.value, (seed, first.digest.reason)
    told = 0
    for turn in range(edits):
        is_neutral = turn % 2 == 1
        after = (neutral_edit if is_neutral else behaviour_edit)(chance, before)
        try:
            second = answer(after, folder / str(turn))
        except Exception:
            assert not is_neutral, (seed, turn)
            continue  # it cannot even be imported
        if is_neutral:
            assert second == first, (seed, turn, second.digest.reason, difference(before, after))
        elif second.result != first.result:
            told += 1
            assert second.digest.value != first.digest.value, (seed, turn, difference(before, after))
    return told


CALLED = {name: parts for name, parts in FEATURES.items() if name not in WHOLE}


@pytest.mark.parametrize("feature", sorted(CALLED))
def test_edits_of_one_thing(feature: str, tmp_path: Path) -> None:
    # Some edits change nothing that can be seen; of this many some must.
    assert sum(attack(seed, {feature: FEATURES[feature]}, 8, tmp_path / str(seed)) for seed in range(2)) > 0


@pytest.mark.parametrize("feature", sorted(WHOLE))
def test_a_module_as_a_whole_counts_without_its_looks(feature: str, tmp_path: Path) -> None:
    chance = random.Random(1)
    before = project(chance, {feature: FEATURES[feature]})
    first = answer(before, tmp_path / "first")
    assert first.digest.value
    matters = (("return x - ", "return 1 + x - "), ("NAMED_0 = ", "NAMED_0 = 1 + "))
    after = dict(before)
    for name, text in before.items():
        for one, other in matters:
            after[name] = after[name].replace(one, other) if name.endswith(".py") else text + "9"
    changed = answer(after, tmp_path / "changed")
    assert changed.result != first.result
    assert changed.digest.value not in (None, first.digest.value)
    looks = {
        name: f"'''Says what.'''\n# why\n{text}" if name.endswith(".py") else text for name, text in before.items()
    }
    assert answer(looks, tmp_path / "looks") == first


def test_random_edits(tmp_path: Path) -> None:
    for seed in range(20):
        attack(seed, CALLED, 10, tmp_path / str(seed))


@pytest.mark.full
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("tenth", range(10))
def test_ten_thousand_random_edits(tenth: int, tmp_path: Path) -> None:
    told = sum(attack(seed, CALLED, 20, tmp_path / str(seed)) for seed in range(1000 + tenth * 50, 1050 + tenth * 50))
    assert told > 100


@pytest.mark.parametrize(
    ("feature", "reason"),
    [
        ("global_write", "count_0 assigns the global 'COUNT_0'"),
        ("module_write", "write_0 assigns settings.WRITTEN_0"),
        ("closure_write", "more assigns 'n' of the function around it"),
        ("globals", "f looks things up by names that are only known when it runs"),
        ("eval", "evil_0 looks things up by names"),
        ("import_by_name", "f looks things up by names"),
        ("docstring", "f reads a docstring"),
        ("annotation", "f reads annotations of functions, and those do not count"),
        ("line", "f looks at code itself"),
        ("iterator", "gives other items each time"),
    ],
)
def test_what_cannot_be_told_gives_the_reason(feature: str, reason: str, tmp_path: Path) -> None:
    found = answer(project(random.Random(1), {feature: OPAQUE[feature]}), tmp_path).digest
    assert found.value is None
    assert reason in found.reason


def test_every_reason_is_asked_for() -> None:
    mark = next(mark for mark in test_what_cannot_be_told_gives_the_reason.pytestmark if mark.name == "parametrize")  # type: ignore[attr-defined]
    assert {feature for feature, _ in mark.args[1]} == set(OPAQUE)


@pytest.fixture
def lonely(tmp_path: Path) -> Iterator[str]:
    """The name of a module that can be imported."""
    name = "lonely_module"
    (tmp_path / f"{name}.py").write_text("LIMIT = 3\nNAMES = ['a']\ndef f(): return LIMIT, NAMES\n", encoding="utf-8")
    sys.path.insert(0, str(tmp_path))
    importlib.invalidate_caches()
    yield name
    sys.path.remove(str(tmp_path))
    sys.modules.pop(name, None)


def test_a_value_that_was_changed_in_this_process_is_not_what_workers_have(lonely: str) -> None:
    module = importlib.import_module(lonely)
    assert function_digest(module.f).value
    module.LIMIT = 4
    found = function_digest(module.f)
    assert found.value is None
    assert "lonely_module.LIMIT was changed in this process: workers have it as the file" in found.reason


def test_twins_in_different_rings_are_told_apart() -> None:
    one: list[object] = ["one"]
    other: list[object] = ["other"]
    in_one, in_other = [one], [other]
    one.append(in_one)
    other.append(in_other)
    assert fingerprint([one, other, in_one]) != fingerprint([one, other, in_other])


def test_a_set_that_holds_what_holds_it_has_an_end() -> None:
    class Held:
        """Known to itself."""

    Held.all = {Held, int}  # type: ignore[attr-defined]
    assert fingerprint(Held) == fingerprint(Held)


def test_cells_of_a_notebook_are_compared_by_what_they_say() -> None:
    close = "def g(n):\n    if n:\n        return n\n    for i in (1, 2):\n        if i:\n            continue\n    return 0\n"
    spread = close.replace("if n:\n", "# why\n    if n:").replace("(1, 2)", "(1,\n  2)").replace("if i:\n   ", "if i:")
    found = set()
    for number, text in enumerate((spread, close)):
        file = f"<cell {number}>"
        linecache.cache[file] = (len(text), None, text.splitlines(keepends=True), file)
        scope: dict[str, Any] = {"__name__": "__main__"}
        exec(compile(text, file, "exec"), scope)
        found.add(function_digest(scope["g"]).value)
        del linecache.cache[file]
    assert len(found) == 1
