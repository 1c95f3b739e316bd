"""Notifications arrive, together when they are many, and again after the connection was lost."""

from __future__ import annotations

import queue
import threading

import psycopg

from tests.integration.running import until
from wfplatform.store.notify import Listener, PostgresNotifier


def cut(dsn: str, application: str) -> int:
    """Ends the sessions of an application, as a restart of the server would; how many there were."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        return connection.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity where application_name = %s"
            " and datname = current_database()",
            (application,),
        ).rowcount


def test_what_is_sent_arrives_once(dsn: str) -> None:
    heard: queue.Queue[tuple[str, str]] = queue.Queue()
    with (
        Listener(dsn, channels=["a", "B c"], on_notification=lambda c, p: heard.put((c, p))) as listener,
        PostgresNotifier(dsn) as notifier,
    ):
        assert listener.wait_until_listening(20)
        notifier.notify("a", ["1", "2", "2", ""])
        notifier.notify("B c", ["é"])
        notifier.notify("unheard", ["x"])
        assert notifier.flush()
        notifier.notify("a", ["last"])
        found = [heard.get(timeout=20) for _ in range(5)]
    assert found == [("a", "1"), ("a", "2"), ("a", ""), ("B c", "é"), ("a", "last")]
    assert heard.empty()


def test_many_are_sent_together(dsn: str) -> None:
    with PostgresNotifier(dsn) as notifier:
        notifier.notify("a", ["first"])
        assert notifier.flush()
        before = transactions(dsn)
        for number in range(2000):
            notifier.notify("a", [str(number)])
        assert notifier.flush()
    until(
        lambda: transactions(dsn) > before
    )  # the server tells its counters late, at the end of a session at the latest
    assert transactions(dsn) - before < 400


def transactions(dsn: str) -> int:
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("select pg_stat_clear_snapshot()")
        row = connection.execute(
            "select xact_commit from pg_stat_database where datname = current_database()"
        ).fetchone()
        assert row is not None
        return int(row[0])


def test_both_come_back_after_the_connection_was_lost(dsn: str) -> None:
    heard: list[str] = []
    connected = threading.Semaphore(0)
    with (
        Listener(dsn, channels=["a"], on_notification=lambda _, p: heard.append(p), on_connected=connected.release),
        PostgresNotifier(dsn) as notifier,
    ):
        assert connected.acquire(timeout=20)
        notifier.notify("a", ["before"])
        until(lambda: heard == ["before"])
        assert cut(dsn, "wfplatform-listener") == 1
        assert cut(dsn, "wfplatform-notifier") == 1
        assert connected.acquire(timeout=20), "whoever listens is told that something may have been missed"
        notifier.notify("a", ["after"])
        until(lambda: heard == ["before", "after"])


def test_a_receiver_that_fails_does_not_end_the_listening(dsn: str) -> None:
    heard: list[str] = []

    def receive(_: str, payload: str) -> None:
        heard.append(payload)
        raise ValueError(payload)

    with Listener(dsn, channels=["a"], on_notification=receive) as listener, PostgresNotifier(dsn) as notifier:
        assert listener.wait_until_listening(20)
        notifier.notify("a", ["1"])
        notifier.flush()
        notifier.notify("a", ["2"])
        until(lambda: heard == ["1", "2"])


def test_without_a_server_nobody_is_held_up(empty_dsn: str) -> None:
    nowhere = empty_dsn.replace("host=", "host=/nowhere")
    before = set(threading.enumerate())
    notifier = PostgresNotifier(nowhere)
    notifier.notify("a", ["1", "x" * 10_000, "n\0l"])
    assert notifier.flush(), "what cannot be sent is dropped"
    listener = Listener(nowhere, channels=["a"], on_notification=lambda *_: None)
    assert not listener.wait_until_listening(0.05)
    listener.close()
    notifier.close()
    left = set(threading.enumerate()) - before
    assert not [thread.name for thread in left if thread.name in {"wf-listener", "wf-notifier"}]
