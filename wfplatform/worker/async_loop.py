"""The event loop of a worker process, for nodes that are `async def`. Refuses to block it: who waits is the node's own thread."""

from __future__ import annotations

import asyncio
import threading
from contextvars import Context, copy_context
from typing import Any, Final

from wfplatform.worker.attempt import AttemptEnded

__all__ = ["AsyncLoop"]

_CLOSE_PATIENCE_S: Final = 1.0


class AsyncLoop:
    """An event loop of its own for `async def` nodes, started when the first comes."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    def run(self, awaitable: Any) -> Any:
        """Wait for an awaitable in the calling thread; cancel it if the thread is interrupted."""
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(target=self._loop.run_forever, name="wfplatform-async", daemon=True)
                self._thread.start()
            loop = self._loop
        future = asyncio.run_coroutine_threadsafe(_in_context(awaitable, copy_context()), loop)
        while True:
            try:
                # In short stretches: an interrupt reaches a thread only between two of them.
                return future.result(timeout=0.1)
            except TimeoutError:
                if future.done():
                    raise
            except AttemptEnded:
                future.cancel()
                raise

    def close(self) -> None:
        """Stop the loop. One that a node holds up is left to end with the process."""
        if self._loop is None or self._thread is None:
            return
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_CLOSE_PATIENCE_S)
        if not self._thread.is_alive():
            self._loop.close()


async def _in_context(awaitable: Any, context: Context) -> Any:
    """Await with the context variables of the thread that asked: the current node, its log."""
    return await asyncio.get_running_loop().create_task(_await(awaitable), context=context)


async def _await(awaitable: Any) -> Any:
    return await awaitable
