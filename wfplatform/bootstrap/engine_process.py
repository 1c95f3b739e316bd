"""The process of one engine: connects store, cluster and orchestrator, and runs until it is told to stop or loses its lease.

Refuses user code: it carries it as bytes.
"""

from __future__ import annotations

import argparse
import faulthandler
import gc
import logging
import os
import signal
import socket
from pathlib import Path
from typing import Final
from uuid import UUID

from wfplatform.artifacts import Artifacts
from wfplatform.artifacts.sweep import Sweeping
from wfplatform.bootstrap.cluster_facts import ClusterFacts
from wfplatform.bootstrap.retention import retention_of
from wfplatform.bootstrap.system import SystemClock, SystemIds, release
from wfplatform.core.announcement import ENGINE_CHANNEL
from wfplatform.engine.cluster import ClusterAway, ClusterBack, OutcomesArrived, TaskLost
from wfplatform.engine.costs import Costs
from wfplatform.engine.loop import EngineLoop, Lease, Wake
from wfplatform.engine.options import EngineOptions
from wfplatform.engine.orchestrator import Orchestrator
from wfplatform.engine.shared_clock import SharedClock
from wfplatform.errors import ConflictError
from wfplatform.executors.dask import DaskExecutor
from wfplatform.executors.security import cluster_security
from wfplatform.settings import Settings
from wfplatform.store import migration
from wfplatform.store.engine_store import PostgresEngineStore
from wfplatform.store.late_store import PostgresLateStore
from wfplatform.store.notify import Listener, PostgresNotifier
from wfplatform.store.sharing import PostgresSharing
from wfplatform.telemetry.log_lines import log_lines
from wfplatform.worker.parent import on_parent_end, tell_ready
from wfplatform.worker.site import SitePlugin
from wfplatform.worker.stream import topic_of
from wfplatform.worker.task import run_segment

__all__ = ["FENCED_EXIT_CODE", "main", "run_engine"]

logger = logging.getLogger(__name__)

FENCED_EXIT_CODE = 75
_LINGER_S: Final = 0.03
_RETENTION_EVERY_S: Final = 600.0
_COLLECT_EVERY: Final = 500_000
"""Objects made and not dropped again, after which the garbage collector does not wait for a pause."""


def main(argv: list[str] | None = None) -> int:
    """Entry point: `python -m wfplatform.bootstrap.engine_process`."""
    parser = argparse.ArgumentParser(prog="wfplatform engine")
    parser.add_argument("--tls", type=Path)
    parser.add_argument("--seat")
    parser.add_argument("--ready-fd", type=int)
    options = parser.parse_args(argv)
    faulthandler.register(signal.SIGUSR1)
    settings = Settings.load()
    log_lines(settings.log_level.upper())
    return run_engine(settings, cluster_tls=options.tls, seat=options.seat, ready_fd=options.ready_fd)


def run_engine(
    settings: Settings, *, cluster_tls: Path | None = None, seat: str | None = None, ready_fd: int | None = None
) -> int:
    """Run one engine until SIGTERM, SIGINT or the end of standard input.

    Args:
        settings: where database and scheduler are, and how it works.
        cluster_tls: folder of the certificates with which the scheduler is reached; None: as Dask is configured here.
        seat: the same for engines that are started one after the other, each when the one before it has ended.
        ready_fd: a pipe that is told when executions are taken; None: nobody asked.

    Returns:
        the exit code; 75 when another engine took over.
    """
    # The supervisor says where its own database and scheduler are; a lone engine is told by its settings.
    dsn, scheduler = settings.database_url, settings.scheduler_address
    migration.upgrade(dsn)
    ids = SystemIds()
    engine_id = ids.new()
    artifacts = Artifacts(
        settings.artifacts_location, inline_limit_bytes=settings.inline_limit_bytes, allow_pickle=False
    )
    store = PostgresEngineStore(dsn)
    clock = SharedClock(store.now, SystemClock().monotonic_s)
    notifier = PostgresNotifier(dsn)
    loop: EngineLoop
    cluster = ClusterFacts(lambda facts: store.note(engine_id, facts))
    executor = DaskExecutor(
        scheduler,
        security=cluster_security(cluster_tls),
        topic=topic_of(engine_id.hex),
        engine=engine_id.hex,
        plugin=SitePlugin(
            artifact_url=settings.artifacts_location,
            release=release(),
            inline_limit_bytes=settings.inline_limit_bytes,
            io_slots=settings.io_threads,
            grace_s=settings.stop_grace_s,
        ),
        runner=run_segment,
        on_outcomes=lambda body: loop.post(OutcomesArrived(body)),
        on_lost=lambda losses: loop.post(*(TaskLost(*loss) for loss in losses)),
        on_away=lambda: _tell_away(loop, cluster, away=True),
        on_back=lambda: _tell_away(loop, cluster, away=False),
        on_workers=cluster.see,
    )
    costs = Costs(store)
    orchestrator = Orchestrator(
        engine_id=engine_id,
        store=store,
        late=PostgresLateStore(store),
        versions=store,
        cache=store,
        sharing=PostgresSharing(store),
        publish=lambda digest, body: artifacts.put_bytes(f"programs/{digest}", body),
        load=artifacts.load,
        costs=costs,
        executor=executor,
        clock=clock,
        ids=ids,
        notifier=notifier,
        options=EngineOptions(
            max_executions=settings.max_concurrent_executions, grace_s=settings.stop_grace_s, linger_s=_LINGER_S
        ),
    )

    sweeping = Sweeping(artifacts.sweep)
    retention = retention_of(settings, dsn, artifacts)
    # Which of several engines does it, and when, is told by the database.
    removing = Sweeping(retention.run_if_due, what="executions and artifacts", every_s=_RETENTION_EVERY_S)

    def housekeeping() -> None:
        for worker in orchestrator.stuck_workers():
            executor.restart_worker(worker)
        costs.save()
        clock.look_after()
        store.look_after()
        sweeping.look_after()
        removing.look_after()
        gc.collect(0)

    loop = EngineLoop(orchestrator, store, clock=clock, housekeeping=housekeeping)
    store.register(
        engine_id,
        lease_s=settings.lease_s,
        facts={"host": socket.gethostname(), "pid": os.getpid(), "scheduler": scheduler, "seat": seat},
    )
    lease = Lease(engine_id, store, lease_s=settings.lease_s, clock=clock, on_lost=loop.stop)
    listener = Listener(
        dsn,
        channels=[ENGINE_CHANNEL],
        on_notification=lambda channel, payload: loop.post(Wake()),
        on_connected=lambda: loop.post(Wake()),
    )
    for order in (signal.SIGTERM, signal.SIGINT):
        signal.signal(order, lambda *_: loop.stop())
    on_parent_end(loop.stop)
    check_storage(artifacts, executor)
    cluster.start()
    lease.start()
    tell_ready(ready_fd)
    logger.info("engine ready", extra={"engine": str(engine_id)})
    _collect_seldom()
    try:
        loop.run()
    except ConflictError:
        lease.lost = True
    return _end(engine_id, lease, orchestrator, store, executor, listener, notifier)


def _tell_away(loop: EngineLoop, cluster: ClusterFacts, *, away: bool) -> None:
    loop.post(ClusterAway() if away else ClusterBack())
    cluster.tell_away(away=away)


def _collect_seldom() -> None:
    """Let the garbage collector look at what is new between two batches, and never again at what is loaded by now.

    What an engine holds for long is large and free of cycles: at its usual pace, the collector goes through all of it again
    and again and takes a tenth of the engine's time.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_COLLECT_EVERY, 20, 50)


def check_storage(artifacts: Artifacts, executor: DaskExecutor) -> None:
    """Refuse a storage that engine and workers do not share.

    Raises:
        StorageError: a worker's probe cannot be read here.
    """
    for said in executor.describe()["workers"].values():
        if isinstance(said, dict) and "probe" in said:
            artifacts.read_probe(said["probe"])


def _end(
    engine_id: UUID,
    lease: Lease,
    orchestrator: Orchestrator,
    store: PostgresEngineStore,
    executor: DaskExecutor,
    listener: Listener,
    notifier: PostgresNotifier,
) -> int:
    code = 0
    if lease.lost:
        logger.warning("another engine has taken over; this one ends")
        code = FENCED_EXIT_CODE
    else:
        orchestrator.release_all()
        lease.close()
        store.leave(engine_id)
    listener.close()
    notifier.close()
    executor.close()
    store.close()
    return code


if __name__ == "__main__":
    raise SystemExit(main())
