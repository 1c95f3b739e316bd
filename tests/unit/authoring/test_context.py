"""The context of a running node."""

# ruff: noqa: PLW0108  # drawing is what is tested

from __future__ import annotations

import logging
from pathlib import Path
from uuid import UUID

import pytest

from wfplatform import ExecutionCancelledError, NodeContext, Retry, UserError, current_node, node, workflow
from wfplatform.authoring.context import enter_node, leave_node

ID = UUID(int=1)


def test_outside_a_node_it_is_refused() -> None:
    with pytest.raises(UserError, match="where no node is running") as caught:
        current_node()
    assert "In a thread of your own" in caught.value.hint


def test_it_is_current_between_enter_and_leave() -> None:
    context = NodeContext(ID, "load")
    token = enter_node(context)
    assert current_node() is context
    leave_node(token)
    with pytest.raises(UserError):
        current_node()


def test_the_idempotency_key_is_of_the_element_and_not_of_the_attempt() -> None:
    keys = {NodeContext(ID, "load", (0, 3), attempt).idempotency_key for attempt in (1, 2)}
    assert keys == {f"{ID}/load/0/3"}
    assert NodeContext(ID, "load").idempotency_key == f"{ID}/load"


def test_the_log_carries_the_facts_and_what_the_user_adds(caplog: pytest.LogCaptureFixture) -> None:
    context = NodeContext(ID, "load", (2,), 3)
    with caplog.at_level(logging.INFO, logger="wfplatform.node"):
        context.log.info("rows read", extra={"rows": 5})
        context.log.warning("bare")
    first, second = caplog.records
    assert (first.message, first.rows) == ("rows read", 5)  # type: ignore[attr-defined]
    for record in (first, second):
        assert record.__dict__["execution_id"] == str(ID)
        assert (record.__dict__["node_id"], record.__dict__["element"], record.__dict__["attempt"]) == ("load", [2], 3)
    assert context.log is context.log


def test_progress_is_reported() -> None:
    told: list[tuple[float, str]] = []
    context = NodeContext(ID, "load", report=lambda fraction, message: told.append((fraction, message)))
    context.progress(0)
    context.progress(0.5, "half")
    NodeContext(ID, "load").progress(1)
    assert told == [(0.0, ""), (0.5, "half")]


@pytest.mark.parametrize("fraction", [-0.1, 1.1, 50, float("nan")])
def test_progress_out_of_bounds_is_refused(fraction: float) -> None:
    with pytest.raises(UserError, match="`load`: progress expects a fraction from 0 to 1"):
        NodeContext(ID, "load").progress(fraction)


def test_cancellation() -> None:
    wanted = [False]
    context = NodeContext(ID, "load", is_cancelled=lambda: wanted[0])
    assert not context.cancelled
    context.check_cancelled()
    wanted[0] = True
    assert context.cancelled
    with pytest.raises(ExecutionCancelledError, match="Node `load` stopped"):
        context.check_cancelled()
    assert not NodeContext(ID, "load").cancelled


def test_scratch_is_made_when_asked_for_and_removed_on_close(tmp_path: Path) -> None:
    made: list[Path] = []

    def make() -> Path:
        made.append(tmp_path / "scratch")
        made[-1].mkdir()
        return made[-1]

    context = NodeContext(ID, "load", make_scratch=make)
    context.close()
    assert made == []
    (context.scratch / "a").write_text("x")
    assert context.scratch == made[0]
    assert len(made) == 1
    context.close()
    assert not made[0].exists()


def test_scratch_without_a_maker_is_a_temporary_folder() -> None:
    context = NodeContext(ID, "load")
    folder = context.scratch
    assert folder.is_dir()
    context.close()
    assert not folder.exists()


def test_a_local_run_gives_each_attempt_its_context() -> None:
    seen: list[tuple[str, tuple[int, ...], int, str]] = []
    folders: list[Path] = []

    @node(retry=Retry(attempts=2))
    def f(x: int) -> str:
        context = current_node()
        seen.append((context.node_id, context.element, context.attempt, context.idempotency_key.partition("/")[2]))
        folders.append(context.scratch)
        if context.attempt == 1:
            raise OSError
        return str(context.execution_id)

    @workflow
    def each_x() -> list[str]:
        return f.map([7, 8])

    assert len(set(each_x.local())) == 1
    assert seen == [
        ("f", (0,), 1, "f/0"), ("f", (0,), 2, "f/0"), ("f", (1,), 1, "f/1"), ("f", (1,), 2, "f/1"),
    ]  # fmt: skip
    assert len(set(folders)) == 4
    assert not any(folder.exists() for folder in folders)


def test_async_nodes_have_their_context() -> None:
    @node
    async def f() -> str:
        return current_node().node_id

    assert workflow(lambda: f()).local() == "f"


def test_it_has_slots_only() -> None:
    """Thousands are made a second; a dict each would be felt."""
    assert not hasattr(NodeContext(ID, "load"), "__dict__")
