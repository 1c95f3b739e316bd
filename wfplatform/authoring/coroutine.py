"""Where the async functions of a run in this process are awaited; in notebooks too, where a loop is running.

Refuses concurrency: one coroutine after the other.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from contextvars import Context, copy_context
from types import TracebackType
from typing import Any, Self

__all__ = ["AsyncRunner"]


class AsyncRunner:
    """One event loop for the async functions of one run, in a thread of its own if this thread has one
    running (notebooks).

    Clients that belong to an event loop, opened in one node, so keep working in the next. Use as a context
    manager.
    """

    def __init__(self) -> None:
        self._runner: asyncio.Runner | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    def run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """Await a coroutine to its end, with the context variables of this thread."""
        context = copy_context()
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            if self._thread is None:
                self._runner = self._runner or asyncio.Runner()
                return self._runner.run(coroutine, context=context)
        return self._run_beside(coroutine, context)

    def _run_beside(self, coroutine: Coroutine[Any, Any, Any], context: Context) -> Any:
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            self._thread = threading.Thread(target=self._loop.run_forever, name="wfplatform-async", daemon=True)
            self._thread.start()
        loop, done = self._loop, Future[Any]()

        def start() -> None:
            task = loop.create_task(coroutine, context=context)
            task.add_done_callback(finish)

        def finish(task: asyncio.Task[Any]) -> None:
            if task.cancelled():
                done.set_exception(asyncio.CancelledError())
            elif (error := task.exception()) is not None:
                done.set_exception(error)
            else:
                done.set_result(task.result())

        loop.call_soon_threadsafe(start)
        return done.result()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._runner is not None:
            self._runner.close()
        if self._loop is not None and self._thread is not None:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()
