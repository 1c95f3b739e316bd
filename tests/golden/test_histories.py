"""What earlier releases decided, this one decides too: golden histories are replayed, and show every kind of event."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any, get_args

import pytest

from tests.golden.histories import shown
from tests.golden.history import FOLDER, History, differences
from tests.golden.plain import UnknownError
from wfplatform.core.event import Effect, Event
from wfplatform.core.execution import ExecutionState, NodeState, OutcomeKind
from wfplatform.core.graph import NodeKind

FILES = sorted(FOLDER.glob("*.json"))
MOST_BYTES = 600_000
KINDS = (NodeKind.PYTHON, NodeKind.CHOICE, NodeKind.LOOP, NodeKind.MERGE, *NodeKind.ENGINE_SIDE)


@pytest.fixture(scope="module")
def histories() -> list[History]:
    return [History.from_file(file) for file in FILES]


def test_every_decision_is_the_same(histories: list[History]) -> None:
    found = [one for history in histories for one in differences(history)]
    assert not found, "\n".join([f"{len(found)} differ; see docs/why/golden-histories.md", *found[:5]])


def test_they_show_all_that_can_happen(histories: list[History]) -> None:
    seen: Counter[str] = Counter()
    for history in histories:
        seen.update(shown(history))
    classes = [one.__name__ for union in (Event, Effect) for one in get_args(union.__value__)]
    wanted = [name for name in classes if name != "Plan"]
    wanted += [f"outcome {kind}" for kind in OutcomeKind]
    wanted += [f"{kind} completed" for kind in KINDS]
    wanted += [f"rank {rank} {state}" for rank in (0, 1, 2) for state in (NodeState.COMPLETED, NodeState.FAILED)]
    wanted += [f"Outcomes -> {state}" for state in (ExecutionState.COMPLETED, ExecutionState.FAILED)]
    wanted += ["take-over", "woken", "claimed with mail", "sizes 0", "attempt 3", "policy effect completed", "branch"]
    missing = [thing for thing in wanted if not seen[thing]]
    assert not missing, f"record some that show {missing}: python -m tests.golden.record histories"


def test_they_are_small() -> None:
    assert sum(file.stat().st_size for file in FILES) < MOST_BYTES


def told(tmp_path: Path, change: Any) -> Path:
    """A history of which something was changed."""
    document = json.loads(FILES[0].read_text(encoding="utf-8"))
    change(document)
    made = tmp_path / "changed.json"
    made.write_text(json.dumps(document), encoding="utf-8")
    return made


def test_a_difference_names_history_event_and_both_decisions(tmp_path: Path) -> None:
    def otherwise(document: dict[str, Any]) -> None:
        document["lives"][0]["steps"][0][3][2] = "paused"

    [said] = differences(History.from_file(told(tmp_path, otherwise)))
    assert said.startswith(f"changed, recorded by {json.loads(FILES[0].read_text())['release']}: life 0, event 0, ")
    recorded, now = [json.loads(line.partition(":")[2]) for line in said.splitlines()[1:]]
    assert (recorded[2], now[2]) == ("paused", "running")


def test_what_this_release_does_not_know_is_an_error_that_names_the_history(tmp_path: Path) -> None:
    def gone(document: dict[str, Any]) -> None:
        document["fields"]["Claimed"] = ["lengths"]

    with pytest.raises(UnknownError, match=r"changed, recorded by .*: Claimed has no lengths in this release"):
        History.from_file(told(tmp_path, gone))

    def strange(document: dict[str, Any]) -> None:
        document["lives"][0]["steps"][0][0] = ["@Rewound"]

    with pytest.raises(UnknownError, match="knows no Rewound"):
        History.from_file(told(tmp_path, strange))


def test_a_field_that_is_new_gets_its_default(tmp_path: Path) -> None:
    def before(document: dict[str, Any]) -> None:
        place = document["fields"]["Claim"].index("refresh")
        del document["fields"]["Claim"][place]
        for life in document["lives"]:
            if life["claim"]:
                del life["claim"][place + 1]

    history = History.from_file(told(tmp_path, before))
    claim = history.lives[0].claim
    assert claim is not None
    assert claim.refresh == ()
    assert not list(differences(history))
