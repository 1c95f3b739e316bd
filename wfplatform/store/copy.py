"""Rows as the text that COPY reads: the fastest way into PostgreSQL. The columns and their order stand here beside the text.

Refuses: rows of an execution that its caller does not own; those are left out.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Final
from uuid import UUID

from wfplatform.core.execution import Element
from wfplatform.core.ports import NodeRecord
from wfplatform.store.row import Artifact, Line, outputs_text
from wfplatform.store.text import clean_json, cut

__all__ = ["LINE_COLUMNS", "NODE_COLUMNS", "Owned", "line_text", "node_text"]

type Owned = Mapping[UUID, tuple[int, str]]
"""Execution -> its epoch and tenant, of the executions that the committing engine owns."""

NODE_COLUMNS: Final = (
    "execution_id, tenant_id, epoch, node_id, element, state, attempt, tries, lost, upstream, alone, verdict, sizes,"
    " due_at, error, reason, reused_from, awaits, worker, segment, started_at, finished_at, cpu_s, peak_memory_bytes,"
    " input_digest, outputs"
)
LINE_COLUMNS: Final = "execution_id, tenant_id, at, node_id, element, attempt, line, level, logger, message"

_ROWS_AT_A_TIME: Final = 100
_NULL: Final = "\\N"
_ESCAPES: Final = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})


class _Words:
    """Texts as COPY reads them; few texts (workers, segments, nodes, seconds) come again and again."""

    def __init__(self) -> None:
        self._texts: dict[str, str] = {}
        self._seconds: dict[int, str] = {}

    def text(self, text: str) -> str:
        found = self._texts.get(text)
        if found is None:
            found = self._texts[text] = escaped(cut(text))
        return found

    def instant(self, at_s: float | None) -> str:
        if at_s is None:
            return _NULL
        micros = round(at_s * 1_000_000)
        second, micros = divmod(micros, 1_000_000)
        found = self._seconds.get(second)
        if found is None:
            found = self._seconds[second] = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(second))
        return f"{found}.{micros:06d}+00"


def escaped(text: str) -> str:
    """Text with COPY's own marks escaped."""
    return text.translate(_ESCAPES)


def element_text(element: Element) -> str:
    """An array literal."""
    return f"{{{element[0]}}}" if len(element) == 1 else f"{{{','.join(map(str, element))}}}"


def node_text(records: Iterable[NodeRecord], owned: Owned, artifacts: list[Artifact]) -> Iterator[str]:
    """Rows of node_execution, some at a time: the server takes in the first while the next are being written.

    Args:
        records: one an element.
        owned: records of other executions, or of another epoch, are left out.
        artifacts: what the outputs refer to is added here.
    """
    words = _Words()
    text, instant = words.text, words.instant
    lines: list[str] = []
    known: UUID | None = None
    known_epoch = -1
    head = ""
    for execution_id, epoch, (node, element, run, outcome, _) in records:
        if len(lines) >= _ROWS_AT_A_TIME:
            yield "".join(lines)
            lines.clear()
        if execution_id is not known or epoch != known_epoch:
            owner = owned.get(execution_id)
            if owner is None or owner[0] != epoch:
                continue
            known, known_epoch, head = execution_id, epoch, f"{execution_id}\t{owner[1]}\t{epoch}"
        place = "{}" if not element else element_text(element)
        if (
            run.tries
            or run.lost
            or run.error
            or run.due_at
            or run.sizes is not None
            or run.reason
            or run.upstream
            or run.alone
            or run.reused_from
            or run.awaits
        ):
            sizes, error, awaits = clean_json(run.sizes), clean_json(run.error), clean_json(run.awaits)
            standing = (
                f"{run.attempt}\t{run.tries}\t{run.lost}\t{'t' if run.upstream else 'f'}\t{'t' if run.alone else 'f'}"
                f"\t{_verdict(run.verdict)}\t{_NULL if sizes is None else escaped(sizes)}\t{_due(run.due_at)}"
                f"\t{_NULL if error is None else escaped(error)}\t{text(run.reason)}"
                f"\t{_NULL if run.reused_from is None else run.reused_from}\t{_NULL if awaits is None else escaped(awaits)}"
            )
        else:
            standing = f"{run.attempt}\t0\t0\tf\tf\t{_verdict(run.verdict)}\t\\N\t\\N\t\\N\t\t\\N\t\\N"
        if outcome is None:
            lines.append(
                f"{head}\t{text(node)}\t{place}\t{run.state}\t{standing}\t\\N\t\\N\t\\N\t\\N\t\\N\t\\N\t\\N\t\\N\n"
            )
            continue
        outputs = outcome.outputs
        stored = _NULL if outputs is None else outputs_text(execution_id, outputs, artifacts).replace("\\", "\\\\")
        cpu_s, peak, digest = outcome.cpu_s, outcome.peak_memory_bytes, outcome.input_digest
        lines.append(
            f"{head}\t{text(node)}\t{place}\t{run.state}\t{standing}"
            f"\t{text(outcome.worker)}\t{text(outcome.segment)}\t{instant(outcome.started_at)}\t{instant(outcome.finished_at)}"
            f"\t{_NULL if cpu_s is None else cpu_s}\t{_NULL if peak is None else peak}"
            f"\t{_NULL if digest is None else digest}\t{stored}\n"
        )
    yield "".join(lines)


def line_text(lines: Iterable[Line], owned: Owned) -> Iterator[str]:
    """Rows of node_log; lines of executions that are not owned are left out."""
    words = _Words()
    text, instant = words.text, words.instant
    rows: list[str] = []
    for execution_id, epoch, outcome, number in lines:
        owner = owned.get(execution_id)
        if owner is None or (epoch is not None and owner[0] != epoch):
            continue
        if len(rows) >= _ROWS_AT_A_TIME:
            yield "".join(rows)
            rows.clear()
        at, level, logger, message = outcome.logs[number]
        rows.append(
            f"{execution_id}\t{owner[1]}\t{instant(at)}\t{text(outcome.node)}\t{element_text(outcome.element)}"
            f"\t{outcome.attempt}\t{number}\t{max(-32_768, min(int(level), 32_767))}\t{text(logger)}\t{escaped(cut(message))}\n"
        )
    yield "".join(rows)


def _verdict(verdict: bool | None) -> str:
    return _NULL if verdict is None else "t" if verdict else "f"


def _due(due_at: datetime | None) -> str:
    return _NULL if due_at is None else due_at.isoformat()
