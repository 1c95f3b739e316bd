"""The executor on a Dask cluster whose scheduler dies, comes back or forgets: every task is heard of again."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from uuid import UUID

import pytest
from distributed import Client, get_worker

from tests.integration.proxy import proxied
from tests.integration.running import dask_process, dask_scheduler, free_port, until
from wfplatform.bootstrap.certificates import ensure_certificates
from wfplatform.compiler.dask_graph import ClusterTask
from wfplatform.executors.certificate_files import AUTHORITY, CERTIFICATE, KEY
from wfplatform.executors.dask import DaskExecutor, Loss
from wfplatform.executors.security import cluster_security
from wfplatform.worker.site import SitePlugin, here

TOPIC = "wfplatform-test"
SILENT = b"silent"
"""An order whose outcome is never sent, as if its worker's message had been lost."""


KEPT = b"kept until "
"""An order whose outcome goes through the worker's stream once a file is there, which stands behind it."""


def answer(order: bytes, *_: object) -> bytes:
    """What stands for a segment: its outcome is its order."""
    if order.startswith(KEPT):
        file = Path(order.removeprefix(KEPT).decode())
        file.with_suffix(".begun").touch()
        until(file.exists, "the file")
        here().stream.add("test", UUID(int=1), 1, "s-1", [], closed=True, now=True)
        file.with_suffix(".said").touch()
    elif order != SILENT:
        get_worker().log_event(TOPIC, order)
    return order


class Cluster:
    """A scheduler that can be killed and started again at its address, a worker, and an executor that hears of both.

    They speak TLS, as those of a platform do: connections that break while they are made then raise other errors.
    """

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self._folder, self._stack = folder, stack
        port = free_port()
        self.address = f"tls://127.0.0.1:{port}"
        ensure_certificates(folder / "tls")
        self.security = cluster_security(folder / "tls")
        files = {"ca-file": AUTHORITY, "cert": CERTIFICATE, "key": KEY}
        self._tls = [word for name, file in files.items() for word in (f"--tls-{name}", str(folder / "tls" / file))]
        self.told: set[str] = set()
        self.lost: list[Loss] = []
        self.heard: list[str] = []
        self.start()
        self.way = stack.enter_context(proxied(port))
        executor = DaskExecutor(
            f"tls://127.0.0.1:{self.way.port}",
            security=self.security,
            topic=TOPIC,
            engine="test",
            plugin=SitePlugin(artifact_url=folder.as_uri(), release="1"),
            runner=answer,
            on_outcomes=self.hear,
            on_lost=self.lost.extend,
            on_away=lambda: self.heard.append("away"),
            on_back=lambda: self.heard.append("back"),
            on_workers=lambda said, there: None,
            patience_s=2,
        )
        self.executor = stack.enter_context(closing(executor))

    def hear(self, body: bytes) -> None:
        self.told.add(body.decode("latin-1"))
        self.heard.append("outcome")

    def start(self) -> None:
        self.scheduler = self._stack.enter_context(dask_scheduler(self.address, *self._tls))
        worker = (
            "worker",
            self.address,
            "--nthreads",
            "1",
            "--no-nanny",
            "--no-dashboard",
            "--host",
            "tls://127.0.0.1",
        )
        self._stack.enter_context(dask_process(*worker, "--local-directory", str(self._folder), *self._tls))

    def kill(self) -> None:
        self.scheduler.send_signal(signal.SIGKILL)
        self.scheduler.wait()

    def run(self, key: str, order: bytes | None = None) -> None:
        """Hand over a task that tells its key, unless its order is another."""
        self.executor.submit([ClusterTask(key=key, order=order or key.encode())])

    def heard_of(self) -> set[str]:
        """Keys of tasks whose end is known."""
        return self.told | {key for key, *_ in tuple(self.lost)}

    def works(self) -> None:
        """Wait until it gets on."""
        enough = len(self.told) + 20
        until(lambda: len(self.told) > enough, "work")


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    with ExitStack() as stack:
        yield Cluster(tmp_path, stack)


def restarted(cluster: Cluster) -> None:
    cluster.kill()
    cluster.start()


def emptied(cluster: Cluster) -> None:
    with Client(cluster.address, security=cluster.security, set_as_default=False) as other:
        other.restart(wait_for_workers=False)


@pytest.mark.parametrize("lose", [restarted, emptied])
def test_a_task_that_ended_untold_is_lost_with_its_value(cluster: Cluster, lose: Callable[[Cluster], None]) -> None:
    cluster.run("wfp-silent", SILENT)
    cluster.run("wfp-told")
    # One after the other on the only thread; so the end of the first is known here when the second tells its outcome.
    until(lambda: cluster.told, "the outcome")
    cluster.executor.release(["wfp-told"])
    assert cluster.lost == []
    lose(cluster)
    until(lambda: cluster.lost, "the loss")
    ((key, worker, reason, blameless),) = cluster.lost
    assert (key, worker, blameless) == ("wfp-silent", "", True)
    assert "Dask scheduler" in reason


def test_what_is_handed_over_while_connections_break_is_heard_of_again(cluster: Cluster) -> None:
    handed: list[str] = []
    stop = threading.Event()

    def hand_over() -> None:
        while not stop.wait(0.002):
            key = f"wfp-{len(handed)}"
            handed.append(key)
            cluster.run(key)

    thread = threading.Thread(target=hand_over)
    thread.start()
    try:
        for _ in range(3):
            cluster.works()
            restarted(cluster)
    finally:
        stop.set()
        thread.join()
    until(lambda: cluster.heard_of() >= set(handed), "the end of every task")
    assert all(blameless for *_, blameless in cluster.lost)


def test_what_was_said_while_nobody_heard_it_is_heard_before_the_cluster_is_back(
    cluster: Cluster, tmp_path: Path
) -> None:
    cluster.run("wfp-told")
    until(lambda: cluster.told, "the worker")
    cluster.run("wfp-kept", KEPT + bytes(tmp_path / "go"))
    until((tmp_path / "go.begun").exists, "the start")
    cluster.heard.clear()
    cluster.way.cut()
    until(lambda: cluster.lost, "the loss")
    (tmp_path / "go").touch()
    until((tmp_path / "go.said").exists, "the end")
    assert cluster.heard == ["away"]
    cluster.way.mend()
    until(lambda: "back" in cluster.heard, "the connection")
    assert cluster.heard == ["away", "outcome", "back"]


def test_a_client_that_does_not_find_back_is_replaced(cluster: Cluster) -> None:
    cluster.run("wfp-before")
    until(lambda: "wfp-before" in cluster.told, "the outcome")
    client = cluster.executor._client
    # As an error in what reads its connection would leave it: it looks alive, and will never hear of anything again.
    client.loop.add_callback(client._handle_report_task.cancel)
    restarted(cluster)
    until(lambda: client.status == "closed" and "back" in cluster.heard, "another client")
    cluster.run("wfp-after")
    until(lambda: "wfp-after" in cluster.told, "the outcome after it")
    assert [key for key, *_ in cluster.lost] == ["wfp-before"]
