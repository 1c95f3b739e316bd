"""Keeps worker processes alive: one Dask nanny a slot, made anew whenever it ends, so that workers rejoin
after a scheduler was lost.

Ends on SIGTERM, SIGINT, or when standard input closes. Refuses: giving up; a slot waits for the scheduler as
long as the host lives.
"""

from __future__ import annotations

import asyncio
import logging
import shutil
import signal
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import dask.config
import distributed.utils
from distributed import Nanny, Security, Status

from wfplatform.executors.exits import EXITS_TOPIC
from wfplatform.executors.security import cluster_security
from wfplatform.worker.parent import on_parent_end, tell_ready

if TYPE_CHECKING:
    from wfplatform.worker.host import HostOptions

__all__ = ["WORKER_CONFIG", "run_host"]

LONGEST_PAUSE_S: Final = 5.0

WORKER_CONFIG: Final[dict[str, Any]] = {
    "distributed.worker.multiprocessing-method": "forkserver",
    # User code may start processes of its own, which Python forbids to daemons.
    "distributed.worker.daemon": False,
    # The node runner measures nodes itself; sampling every thread each 10 ms costs more than a small node.
    "distributed.worker.profile.enabled": False,
    "distributed.worker.http.routes": [],
    "distributed.worker.preload": [],
    "distributed.nanny.preload": [],
    "distributed.admin.log-length": 200,
    "distributed.admin.low-level-log-length": 100,
    "distributed.admin.system-monitor.log-length": 60,
    "distributed.admin.system-monitor.interval": "1s",
    "distributed.admin.system-monitor.disk": False,
    "distributed.admin.tick.interval": "100ms",
    "distributed.comm.compression": False,
}

logger = logging.getLogger(__name__)


def run_host(options: HostOptions) -> int:
    """Runs until told to stop; returns the exit code."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s", force=True)
    # What a killed host left behind: spilled values of workers that no longer exist.
    shutil.rmtree(options.local_folder, ignore_errors=True)
    options.local_folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    # The fork server runs already, with fewer modules than distributed would have it load (pandas alone costs
    # a second).
    distributed.utils._forkserver_preload_set = True
    scheme = options.scheduler_address.partition("://")[0]
    with dask.config.set({**WORKER_CONFIG, "distributed.comm.default-scheme": scheme}):
        asyncio.run(_keep_all(options))
    return 0


async def _keep_all(options: HostOptions) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for order in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(order, stop.set)
    on_parent_end(lambda: loop.call_soon_threadsafe(stop.set))
    ready = _Once(lambda: tell_ready(options.ready_fd))
    slots = [asyncio.create_task(_keep_one(options, slot, ready)) for slot in range(options.workers)]
    told = asyncio.create_task(stop.wait())
    await asyncio.wait({told, *slots}, return_when=asyncio.FIRST_COMPLETED)
    for slot_task in slots:
        slot_task.cancel()
    for result in await asyncio.gather(*slots, return_exceptions=True):
        if isinstance(result, Exception):
            raise result
    told.cancel()


class _Once:
    """Calls something the first time only."""

    def __init__(self, call: Callable[[], None]) -> None:
        self._call: Callable[[], None] | None = call

    def __call__(self) -> None:
        call, self._call = self._call, None
        if call is not None:
            call()


async def _keep_one(options: HostOptions, slot: int, ready: Callable[[], None]) -> None:
    pause_s = 0.05
    life = 0
    scheme = options.scheduler_address.partition("://")[0]
    security = cluster_security(options.tls)
    while True:
        await _scheduler_listens(options.scheduler_address, security)
        nanny: Nanny = WorkerNanny(
            options.scheduler_address,
            nthreads=options.threads,
            # A name is refused while its last bearer is still known: hence one for every life.
            name=f"worker-{slot}" if life == 0 else f"worker-{slot}-{life}",
            memory_limit=options.memory_limit_bytes,
            local_directory=str(options.local_folder),
            host=f"{scheme}://{options.listen_host}",
            protocol=scheme,
            security=security,
            dashboard=False,
            dashboard_address=f"{options.listen_host}:0",
        )
        life += 1
        try:
            async with nanny:
                pause_s = 0.05
                ready()
                await nanny.finished()
            logger.info("worker slot ended", extra={"slot": slot})
        except Exception:
            # Whatever keeps a worker from starting now (scheduler gone again, no memory) may be over in a
            # moment.
            logger.warning("worker slot failed", extra={"slot": slot}, exc_info=True)
        await asyncio.sleep(pause_s)
        pause_s = min(pause_s * 2, LONGEST_PAUSE_S)


class WorkerNanny(Nanny):
    """A nanny that tells how its worker process ended, so that the node it ran can be told it too."""

    async def _on_worker_exit(self, exitcode: int) -> None:
        # At the end of the nanny itself nobody asks any more, and the way to the scheduler is closed.
        if self.worker_address is not None and self.status not in (Status.closing, Status.closed):
            tell: Any = self.log_event
            tell(EXITS_TOPIC, {"worker": self.worker_address, "exitcode": exitcode})
        await super()._on_worker_exit(exitcode)


async def _scheduler_listens(address: str, security: Security | None) -> None:
    # With its own TLS, so that the scheduler need not complain of a caller who says nothing.
    tls = security.get_connection_args("worker")["ssl_context"] if security is not None else None
    host, _, port = address.partition("://")[2].rpartition(":")
    pause_s = 0.02
    while True:
        try:
            _, writer = await asyncio.open_connection(host, int(port), ssl=tls)
        except OSError:
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 1.2, 1.0)
            continue
        writer.close()
        return
