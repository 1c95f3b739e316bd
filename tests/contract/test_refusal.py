"""What no store can hold is refused whole, with an error that says that trying again is of no use."""

from __future__ import annotations

from typing import Any

import pytest

from tests.contract.steps import change, claimed, commit, completed, engine, nodes
from wfplatform.core.execution import ExecutionState
from wfplatform.core.identifier import DEFAULT_TENANT
from wfplatform.errors import UnstorableError


@pytest.mark.parametrize("count", [1, 500])
@pytest.mark.parametrize("text", ["a\0", "a\ud800"])
@pytest.mark.parametrize("where", ["input_digest", "location"])
def test_what_can_never_be_stored_is_refused_and_nothing_is_written(
    subject: Any, count: int, text: str, where: str
) -> None:
    engine_id = engine(subject)
    claim = claimed(subject, engine_id)
    records = [completed("a", (index,)) for index in range(count)]
    outcome = completed("b").outcome
    assert outcome is not None
    if where == "input_digest":
        told = outcome._replace(input_digest=text)
    else:
        told = outcome._replace(outputs={"result": {"codec": "npy", "size": 1, "digest": "d", "location": text}})
    bad = completed("b")._replace(outcome=told)
    for _ in range(2):
        with pytest.raises(UnstorableError) as caught:
            commit(subject, engine_id, claim, *records, bad, executions=[change(claim, ExecutionState.COMPLETED)])
        assert caught.value.code == "commit_refused"
    assert nodes(subject, claim) == {}
    assert subject.reader.execution(DEFAULT_TENANT, claim.id).state is ExecutionState.RUNNING
    commit(subject, engine_id, claim, *records)  # the same engine goes on
    assert len(subject.store.outputs({claim.id: [("a", None)]})[claim.id]) == count
