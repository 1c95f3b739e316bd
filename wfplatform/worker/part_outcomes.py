"""The outcomes of a part on their way: each enters the stream once its artifact is safe, and the last one closes the segment.

Refuses to call safe what is not on disk.
"""

from __future__ import annotations

import resource
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor, Future
from time import time
from typing import Any, Final

from wfplatform.compiler.payload import Part
from wfplatform.core.execution import Element
from wfplatform.worker.attempt import Attempt
from wfplatform.worker.stream import OutcomeStream

__all__ = ["PartOutcomes"]

_MAXRSS_UNIT: Final = 1 if sys.platform == "darwin" else 1024


class PartOutcomes:
    """What is said of one part.

    Args:
        engine: who is to hear of it.
        part: of which part.
        stream: takes what is said.
        writer: makes artifacts safe in threads of its own.
        describe: an error as data.
    """

    def __init__(
        self,
        engine: str,
        part: Part,
        stream: OutcomeStream,
        writer: Executor,
        describe: Callable[[BaseException], Mapping[str, Any]],
    ) -> None:
        self._engine = engine
        self._part = part
        self._stream = stream
        self._writer = writer
        self._describe = describe
        self._writing: list[Future[None]] = []

    def add(
        self,
        attempt: Attempt,
        letter: str,
        cpu_s: float,
        input_digest: str | None,
        outputs: Mapping[str, Any] | None,
        error: Mapping[str, Any] | None,
        sizes: Mapping[str, int] | None,
        verdict: bool | None,
        stored: Sequence[Any],
    ) -> None:
        """Hand an outcome to the stream, at once or when what is stored of it is safe."""
        log = attempt.log
        if log.partial or log.dropped:
            log.finish()
        outcome = [
            attempt.index,
            attempt.element,
            attempt.attempt,
            letter,
            attempt.started_at,
            time(),
            cpu_s,
            resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _MAXRSS_UNIT,
            input_digest,
            outputs,
            error,
            sizes,
            verdict,
            log.lines[log.sent :],
            attempt.progress,
        ]
        if attempt.elsewhere:
            outcome.append(True)
        if stored:
            self._writing.append(self._writer.submit(self._make_safe, outcome, stored))
        else:
            # Not gathered here: the next node may take long, and nobody is to wait for it to hear of this one.
            part = self._part
            self._stream.add(self._engine, part.execution, part.epoch, part.segment, [outcome])

    def add_unreadable(self, index: int, element: Element, error: BaseException) -> None:
        """A committed output cannot be read any more; the engine has it computed again."""
        described = self._describe(error)
        self._say([[index, element, 0, "u", None, None, None, None, None, None, described, None, None, [], None]])

    def is_safe(self) -> bool:
        """Whether all that was added is stored and handed to the stream."""
        return all(future.done() for future in self._writing)

    def finalise(self) -> None:
        """Close the segment when its last artifact is safe."""
        if not self._writing:
            self._close()
            return
        left = len(self._writing)
        lock = threading.Lock()

        def landed(_: Future[None]) -> None:
            nonlocal left
            with lock:
                left -= 1
                last = left == 0
            if last:
                self._close()

        for future in self._writing:
            future.add_done_callback(landed)

    def _make_safe(self, outcome: list[Any], stored: Sequence[Any]) -> None:
        """In a thread of its own: the outcome leaves when the artifact is on disk."""
        try:
            for one in stored:
                one.make_durable()
        except Exception as error:  # noqa: BLE001 - the storage: told as the node's failure, with the reason
            outcome[3] = "f"
            outcome[9] = None
            outcome[10] = self._describe(error)
        self._say([outcome])

    def _say(self, outcomes: Sequence[Sequence[Any]]) -> None:
        part = self._part
        self._stream.add(self._engine, part.execution, part.epoch, part.segment, outcomes)

    def _close(self) -> None:
        part = self._part
        self._stream.add(self._engine, part.execution, part.epoch, part.segment, [], closed=True, now=True)
