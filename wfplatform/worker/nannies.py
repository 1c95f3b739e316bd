"""Keeps worker processes alive: one Dask nanny a slot, made anew whenever it ends, so that workers rejoin
after a scheduler was lost.

Ends on SIGTERM, SIGINT, or when standard input closes; also when no worker comes up at all, for then the supervisor makes it
anew and tells why. Refuses: giving a slot up while another has a worker, and ending for want of a scheduler.
"""

from __future__ import annotations

import asyncio
import logging
import shutil
import signal
from typing import TYPE_CHECKING, Any, Final

import dask.config
import distributed.utils
from distributed import Nanny, Security, Status

from wfplatform.executors.exits import EXITS_TOPIC
from wfplatform.executors.security import cluster_security
from wfplatform.telemetry.log_lines import log_lines
from wfplatform.worker.muster import Muster, NoWorkerError
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
    """Runs until told to stop or until no worker comes up; returns the exit code."""
    log_lines()
    # What a killed host left behind: spilled values of workers that no longer exist.
    shutil.rmtree(options.local_folder, ignore_errors=True)
    options.local_folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    # The fork server runs already, with fewer modules than distributed would have it load (pandas alone costs
    # a second).
    distributed.utils._forkserver_preload_set = True
    scheme = options.scheduler_address.partition("://")[0]
    with dask.config.set({**WORKER_CONFIG, "distributed.comm.default-scheme": scheme}):
        try:
            asyncio.run(_keep_all(options))
        except NoWorkerError as error:
            # The last words of this process: whoever asks why nothing runs is shown them.
            logger.error("no worker comes up, so this worker host ends: %s", error)  # noqa: TRY400
            return 1
    return 0


async def _keep_all(options: HostOptions) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for order in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(order, stop.set)
    on_parent_end(lambda: loop.call_soon_threadsafe(stop.set))
    muster = Muster(options.workers, on_first=lambda: tell_ready(options.ready_fd))
    slots = [asyncio.create_task(_keep_one(options, slot, muster)) for slot in range(options.workers)]
    told = asyncio.create_task(stop.wait())
    await asyncio.wait({told, *slots}, return_when=asyncio.FIRST_COMPLETED)
    for slot_task in slots:
        slot_task.cancel()
    for result in await asyncio.gather(*slots, return_exceptions=True):
        if isinstance(result, Exception):
            raise result
    told.cancel()


async def _keep_one(options: HostOptions, slot: int, muster: Muster) -> None:
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
            slot=slot,
            muster=muster,
        )
        life += 1
        try:
            async with nanny:
                pause_s = 0.05
                await nanny.finished()
            logger.info("worker slot ended")
        except Exception as error:  # noqa: BLE001 - Dask's own and whatever a start can meet; it is told
            # Whatever keeps a worker from starting now (scheduler gone again, no memory) may be over in a
            # moment. What matters is what it began with; the traceback is Dask's.
            why = f"{_origin(error)!r}"
            logger.warning("worker slot failed: %s", why)
            muster.ended(slot)
            muster.failed(why)
        muster.check()
        await asyncio.sleep(pause_s)
        pause_s = min(pause_s * 2, LONGEST_PAUSE_S)


def _origin(error: BaseException) -> BaseException:
    while error.__cause__ is not None:
        error = error.__cause__
    return error


class WorkerNanny(Nanny):
    """A nanny that tells how its worker process ended, so that the node it ran can be told it too; and who it has.

    Args:
        slot: its number in the host.
        muster: told when a worker is up and when it has ended.
    """

    def __init__(self, *arguments: Any, slot: int, muster: Muster, **options: Any) -> None:
        self._slot = slot
        self._muster = muster
        super().__init__(*arguments, **options)

    async def instantiate(self) -> Status:
        """Start a worker process; returns when it is up or has failed to start."""
        status = await super().instantiate()
        if status is Status.running:
            self._muster.up(self._slot)
        return status

    async def _on_worker_exit(self, exitcode: int) -> None:
        was_up = self._muster.ended(self._slot)
        # At the end of the nanny itself nobody asks any more, and the way to the scheduler is closed.
        if self.worker_address is not None and self.status not in (Status.closing, Status.closed):
            tell: Any = self.log_event
            tell(EXITS_TOPIC, {"worker": self.worker_address, "exitcode": exitcode})
        if not was_up and self.status is Status.running:
            # It would start the next one at once, again and again; the slot makes another nanny, after a pause.
            self._muster.failed(f"exit code {exitcode} of a worker process that took another's place")
            await self.close(reason="worker-does-not-start")
            return
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
