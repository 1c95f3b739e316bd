"""Notifications: sent in batches on a connection of their own, received by a listener that comes back after every loss.

Nothing depends on them; polling is the truth. Refuses: a place in a business transaction, where NOTIFY would
serialise all commits.
"""

from __future__ import annotations

import logging
import selectors
import socket
import threading
import time
from collections.abc import Callable, Iterable
from functools import partial
from types import TracebackType
from typing import Any, Final, Self

import psycopg
from psycopg import sql

from wfplatform.errors import WfError
from wfplatform.store.database import connect

__all__ = ["Listener", "PostgresNotifier"]

logger = logging.getLogger(__name__)

PAUSE_S: Final = 0.005
"""Between two batches; the first one after a pause goes out at once."""

_PAYLOAD_LIMIT_BYTES: Final = 7_900
_WAITING_LIMIT: Final = 10_000
_RETRY_FIRST_S: Final = 0.05
_RETRY_MAX_S: Final = 5.0
_ASK_AFTER_S: Final = 10.0


class PostgresNotifier:
    """Sends notifications in the background. What cannot be sent is dropped with a warning.

    Args:
        dsn: the database, directly (a pooler may lose notifications).
        pause_s: least seconds between two batches.
    """

    def __init__(self, dsn: str, *, pause_s: float = PAUSE_S) -> None:
        self._dsn = dsn
        self._pause_s = pause_s
        self._condition = threading.Condition()
        self._waiting: dict[tuple[str, str], None] = {}  # a set that keeps its order
        self._sending = False
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="wf-notifier", daemon=True)
        self._thread.start()

    def notify(self, channel: str, payloads: Iterable[str]) -> None:
        """Send notifications; equal ones that wait together are sent once.

        Args:
            channel: a name.
            payloads: each at most 7,900 bytes; an empty payload is fine.
        """
        with self._condition:
            for payload in payloads:
                if (
                    len(payload.encode("utf-8", "replace")) <= _PAYLOAD_LIMIT_BYTES
                    and len(self._waiting) < _WAITING_LIMIT
                ):
                    self._waiting[channel, payload] = None
                else:
                    logger.warning("notification dropped", extra={"channel": channel, "waiting": len(self._waiting)})
            self._condition.notify_all()

    def flush(self, timeout_s: float = 5.0) -> bool:
        """Wait until everything was sent or dropped; False when that took longer than `timeout_s`."""
        with self._condition:
            return self._condition.wait_for(lambda: not self._waiting and not self._sending, timeout_s)

    def close(self) -> None:
        """Sends what waits, if it can be sent at once, and ends."""
        self._closed.set()
        with self._condition:
            self._condition.notify_all()
        self._thread.join(timeout=10.0)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _run(self) -> None:
        connection: psycopg.Connection[tuple[Any, ...]] | None = None
        try:
            while True:
                with self._condition:
                    self._sending = False
                    self._condition.notify_all()
                    self._condition.wait_for(lambda: self._waiting or self._closed.is_set())
                    if not self._waiting:
                        return
                    batch, self._waiting = list(self._waiting), {}
                    self._sending = True
                connection = self._send(connection, batch)
                # Not a sleep: whoever closes the notifier need not wait for it.
                self._closed.wait(self._pause_s)
        finally:
            if connection is not None:
                connection.close()

    def _send(
        self, connection: psycopg.Connection[tuple[Any, ...]] | None, batch: list[tuple[str, str]]
    ) -> psycopg.Connection[tuple[Any, ...]] | None:
        query = "select pg_notify(channel, payload) from unnest(%s::text[], %s::text[]) as u(channel, payload)"
        values = ([channel for channel, _ in batch], [payload.replace("\0", "") for _, payload in batch])
        for fresh in (False, True):
            try:
                if connection is None:
                    connection = connect(
                        self._dsn,
                        autocommit=True,
                        application="wfplatform-notifier",
                        settings={"synchronous_commit": "off"},
                    )
                connection.execute(query, values)
                return connection
            except (psycopg.Error, WfError, UnicodeError) as error:
                if connection is not None:
                    connection.close()
                    connection = None
                if fresh:
                    logger.warning("notifications dropped", extra={"count": len(batch), "reason": str(error)})
        return None


class Listener:
    """Receives notifications in a thread of its own and keeps listening when the connection is lost.

    Args:
        dsn: the database, directly.
        channels: names to listen on.
        on_notification: called with channel and payload, in the listener's thread; must be quick.
        on_connected: called after each (re)connection. Notifications may have been missed: look at what they would have told.
    """

    def __init__(
        self,
        dsn: str,
        *,
        channels: Iterable[str],
        on_notification: Callable[[str, str], None],
        on_connected: Callable[[], None] | None = None,
    ) -> None:
        self._dsn = dsn
        self._channels = tuple(channels)
        self._on_notification = on_notification
        self._on_connected = on_connected or (lambda: None)
        self._closed = threading.Event()
        self._listening = threading.Event()
        self._wake, self._waker = socket.socketpair()
        self._thread = threading.Thread(target=self._run, name="wf-listener", daemon=True)
        self._thread.start()

    def wait_until_listening(self, timeout_s: float) -> bool:
        """Wait until it is connected; False when that took longer than `timeout_s`."""
        return self._listening.wait(timeout_s)

    def close(self) -> None:
        """Ends at once, when a call of the receiver that is under way is over."""
        self._closed.set()
        self._wake.send(b"x")
        self._thread.join(timeout=10.0)
        self._wake.close()
        self._waker.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _run(self) -> None:
        retry_s = _RETRY_FIRST_S
        while not self._closed.is_set():
            try:
                with connect(self._dsn, autocommit=True, application="wfplatform-listener") as connection:
                    for channel in self._channels:
                        connection.execute(sql.SQL("listen {}").format(sql.Identifier(channel)))
                    retry_s = _RETRY_FIRST_S
                    self._listening.set()
                    self._tell(self._on_connected)
                    self._listen(connection)
            except (psycopg.Error, WfError) as error:
                self._listening.clear()
                logger.warning("listener lost its connection", extra={"reason": str(error), "retry_s": retry_s})
                self._closed.wait(retry_s)
                retry_s = min(retry_s * 2, _RETRY_MAX_S)

    def _listen(self, connection: psycopg.Connection[tuple[Any, ...]]) -> None:
        heard_at_s = time.monotonic()
        with selectors.DefaultSelector() as selector:
            selector.register(connection, selectors.EVENT_READ)
            selector.register(self._waker, selectors.EVENT_READ)
            while not self._closed.is_set():
                if any(key.fileobj is connection for key, _ in selector.select(_ASK_AFTER_S)):
                    heard_at_s = time.monotonic()
                    for note in connection.notifies(timeout=0):
                        self._tell(partial(self._on_notification, note.channel, note.payload))
                elif time.monotonic() - heard_at_s >= _ASK_AFTER_S:
                    # A network that is cut says nothing: only asking shows it.
                    connection.execute("select 1")
                    heard_at_s = time.monotonic()

    def _tell(self, call: Callable[[], None]) -> None:
        try:
            call()
        except Exception:
            # One bad receiver must not end the listening of all.
            logger.exception("notification not handled")
