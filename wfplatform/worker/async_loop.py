"""The event loop of a worker process, for nodes that are `async def`. Refuses to block it: who waits is the node's own thread.

Refuses also to call a node ended while its coroutine still cleans up: whoever lets it take too long ends the process.
"""

from __future__ import annotations

import asyncio
import threading
from contextvars import copy_context
from typing import Any, Final

from wfplatform.authoring.context import NodeStopped

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
        ended = threading.Event()
        context = copy_context()

        def begin() -> None:
            running.append(loop.create_task(_await(awaitable), context=context))
            running[0].add_done_callback(lambda _: ended.set())

        def stop() -> None:
            if running:
                running[0].cancel()
            else:
                ended.set()

        running: list[asyncio.Task[Any]] = []
        try:
            loop.call_soon_threadsafe(begin)
            # In short stretches: an interrupt reaches a thread only between two of them.
            while not ended.wait(0.1):
                pass
        except NodeStopped:
            loop.call_soon_threadsafe(stop)
            while not ended.wait(0.1):
                pass
            if not running or running[0].cancelled():
                raise
        return running[0].result()

    def close(self) -> None:
        """Stop the loop. One that a node holds up is left to end with the process."""
        if self._loop is None or self._thread is None:
            return
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_CLOSE_PATIENCE_S)
        if not self._thread.is_alive():
            self._loop.close()


async def _await(awaitable: Any) -> Any:
    return await awaitable
