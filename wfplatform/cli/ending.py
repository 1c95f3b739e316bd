"""Following an execution to its end, and telling how it ended: nodes, failures, result, artifacts, what to do next.

Ctrl-C lets go of the execution, which goes on; a second one within two seconds cancels it. Refuses: losing an execution silently.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterable, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

import typer

from wfplatform.cli.command import COMPLETED, FAILED, INTERRUPTED
from wfplatform.cli.progress import NodeProgress
from wfplatform.cli.screen import Screen
from wfplatform.cli.sight import Observer, Sight
from wfplatform.cli.view import execution_document
from wfplatform.cli.words import plain_place, size, span_s, state_word
from wfplatform.core.execution import ExecutionState, NodeState
from wfplatform.core.graph import references
from wfplatform.core.identifier import DEFAULT_TENANT
from wfplatform.core.record import ExecutionRecord, NodeExecutionRecord
from wfplatform.errors import ConflictError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wfplatform.bootstrap.platform import EmbeddedPlatform

__all__ = ["artifacts_of", "follow", "sight_document", "tell_end", "tell_execution"]

SECOND_THOUGHT_S: Final = 2.0
"""Within this time a second Ctrl-C cancels the execution."""
CANCEL_PATIENCE_S: Final = 30.0
ARTIFACTS_READ: Final = 2000
FAILED_READ: Final = 200
ARTIFACTS_SHOWN: Final = 12


def follow(screen: Screen, platform: EmbeddedPlatform, execution_id: UUID) -> ExecutionRecord:
    """Watch an execution until it has ended; moving, if somebody looks at a terminal.

    Returns:
        what is recorded of it then.

    Raises:
        typer.Exit: code 130, after Ctrl-C.
        UnreachableError: the database is lost for good; the execution goes on when it is back.
    """
    observer = Observer(platform, execution_id)
    with _detaching(screen, platform, execution_id):
        if screen.is_live:
            from wfplatform.cli.live import drawing

            with drawing(screen) as draw:
                for sight in observer.sights():
                    draw(sight)
        else:
            *_, sight = observer.sights(whole=False)
        return sight.record


@contextmanager
def _detaching(screen: Screen, platform: EmbeddedPlatform, execution_id: UUID) -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        try:
            _tell_detached(screen, execution_id)
            threading.Event().wait(SECOND_THOUGHT_S)
        except KeyboardInterrupt:
            _cancel(screen, platform, execution_id)
        raise typer.Exit(INTERRUPTED) from None


def _tell_detached(screen: Screen, execution_id: UUID) -> None:
    again = f"wfp executions show {execution_id} --watch"
    _tell(
        f"\nDetached; execution {execution_id} goes on. Watch it again with:\n  {again}\n"
        f"Ctrl-C once more within {SECOND_THOUGHT_S:g} s cancels it."
    )
    screen.document({"id": str(execution_id), "detached": True, "watchAgain": again})


def _cancel(screen: Screen, platform: EmbeddedPlatform, execution_id: UUID) -> None:
    try:
        platform.executions.ask(execution_id, "cancel")
    except ConflictError as error:
        screen.note(error.message)  # It ended in the meantime.
        return
    _tell(f"Cancelling execution {execution_id} …")
    state = platform.executions.wait([execution_id], CANCEL_PATIENCE_S)[execution_id]
    word = state_word(state) if state.final else f"still {state}; the cancellation is asked for"
    _tell(f"Execution {execution_id}: {word}.")


def _tell(text: str) -> None:
    # Not by rich: interrupted while it writes, it would write the same again with the next line.
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def tell_end(screen: Screen, platform: EmbeddedPlatform, record: ExecutionRecord) -> int:
    """Everything about an execution that has ended, with its result.

    Returns:
        the exit code.
    """
    sight = Observer(platform, record.id).look()
    completed = record.state is ExecutionState.COMPLETED
    value = platform.executions.result(record.id, 0.0) if completed else None
    artifacts = artifacts_of(platform, record) if completed else []
    if screen.as_json:
        from wfplatform.cli.outcome import value_document

        more = {"result": value_document(value), "artifacts": artifacts} if completed else {}
        screen.document({**sight_document(sight), **more})
    else:
        tell_execution(screen, platform, sight)
        if completed:
            from wfplatform.cli.outcome import pictures

            screen.say()
            screen.say(*pictures(value, width=screen.out.width))
            _tell_artifacts(screen, artifacts)
    return COMPLETED if completed else FAILED


def tell_execution(screen: Screen, platform: EmbeddedPlatform, sight: Sight) -> None:
    """An execution as a page: its head, a line a node, waits, failures, and what to do next."""
    from wfplatform.cli.report import failed_sentence, failures, head, hooks_table, nodes_table, not_undone, waits

    graph = platform.executions.graph(sight.record.version_id)
    record, now = sight.record, datetime.now(UTC)
    screen.say(*head(record, now))
    if sight.nodes:
        screen.say()
        screen.say(nodes_table(sight.nodes, now, ended=record.state.final))
    if waiting := list(waits(sight.active, now)):
        screen.say()
        screen.say(*waiting)
    if any(node.counts.get(NodeState.FAILED) for node in sight.nodes):
        failed = platform.reader.nodes(DEFAULT_TENANT, record.id, states=[NodeState.FAILED], limit=FAILED_READ).items
        screen.say(*failures(failed))
    if sight.hooks:
        screen.say()
        screen.say(hooks_table(sight.hooks))
    if record.state in (ExecutionState.FAILED, ExecutionState.CANCELLED):
        screen.say()
        screen.say(failed_sentence(record))
        for line in not_undone(record):
            screen.say(line)
        screen.say(f"`wfp executions retry {record.id}` goes on from here; what has completed is not run again.")
        if any(graph.by_id[node.node].unwinds is not None for node in sight.nodes):
            screen.say("What was undone, and what came after it, is.")


def _records(platform: EmbeddedPlatform, execution_id: UUID, node: str) -> Iterator[NodeExecutionRecord]:
    after: str | None = None
    while True:
        page = platform.reader.nodes(DEFAULT_TENANT, execution_id, node=node, limit=500, after=after)
        yield from page.items
        after = page.next
        if after is None:
            return


def sight_document(sight: Sight) -> dict[str, Any]:
    """An execution and how far its nodes are, as JSON."""
    return {
        **execution_document(sight.record),
        "nodes": [_node_document(node) for node in sight.nodes],
        "hooks": [execution_document(one) for one in sight.hooks],
    }


def _node_document(node: NodeProgress) -> dict[str, Any]:
    return {
        "node": node.node,
        "state": state_word(node.state),
        "elementsTotal": node.total,
        "elementsEnded": node.ended,
        "counts": {state_word(state): count for state, count in node.counts.items()},
        "startedAt": None if node.started_at is None else node.started_at.isoformat(),
        "finishedAt": None if node.finished_at is None else node.finished_at.isoformat(),
        "durationS": span_s(node.started_at, node.finished_at),
        "cpuS": node.cpu_s,
        "cpuMeanS": node.cpu_mean_s,
        "peakMemoryBytes": node.peak_memory_bytes,
        "workers": node.workers,
        "reused": node.reused,
    }


def artifacts_of(platform: EmbeddedPlatform, record: ExecutionRecord) -> list[dict[str, Any]]:
    """The stored values that the result is made of; small plain ones lie in the database and are not among them."""
    graph = platform.executions.graph(record.version_id)
    root = platform.settings.artifacts_location.rstrip("/")
    found: list[dict[str, Any]] = []
    for name in dict.fromkeys(ref.node for ref in references(graph.result)):
        for one in _records(platform, record.id, name):
            found += [
                {
                    "node": one.node,
                    "element": list(one.element),
                    "port": port,
                    "codec": output.get("codec"),
                    "sizeBytes": output.get("size"),
                    "digest": output.get("digest"),
                    "url": f"{root}/{output['location']}",
                }
                for port, output in (one.outputs or {}).items()
                if output.get("location")
            ]
            if len(found) >= ARTIFACTS_READ:
                return found
    return found


def _tell_artifacts(screen: Screen, artifacts: Sequence[dict[str, Any]]) -> None:
    if not artifacts:
        return
    from wfplatform.cli.screen import table
    from wfplatform.cli.words import place

    rows: Iterable[Sequence[Any]] = [
        (
            place(one["node"], one["element"]),
            str(one["codec"]),
            size(one["sizeBytes"]),
            plain_place(one["url"]),
        )
        for one in artifacts[:ARTIFACTS_SHOWN]
    ]
    screen.say()
    screen.say(table(("artifact of", "codec", "size", "where"), rows, right=("size",)))
    if (more := len(artifacts) - ARTIFACTS_SHOWN) > 0:
        screen.say(f"… and {more} more")
