"""The embedded Dask scheduler as a process of its own, on the loopback interface, without dashboard.

Ends on SIGTERM, SIGINT, or when its standard input closes, which is how it learns that the supervisor is
gone. Refuses: any other network interface, who does not show a certificate of this home, and holding anything that must
survive it.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import math
import os
import signal
import sys
from pathlib import Path
from typing import Any, Final

import dask.config
from distributed import Scheduler

from wfplatform.executors.security import cluster_security
from wfplatform.telemetry.log_lines import log_lines
from wfplatform.worker.parent import on_parent_end, tell_ready

__all__ = ["SCHEDULER_CONFIG", "main"]

LOOPBACK: Final = "127.0.0.1"
FAREWELL_S: Final = 3.0
"""How long it may take leave of workers and clients. Others wait for its port, and it holds nothing that must be saved."""

logger = logging.getLogger(__name__)

SCHEDULER_CONFIG: Final[dict[str, Any]] = {
    # Root tasks go to workers at once: holding them back costs a round trip a task and saves memory the
    # engine bounds anyway.
    "distributed.scheduler.worker-saturation": math.inf,
    # The engine decides whether a lost segment runs again.
    "distributed.scheduler.allowed-failures": 0,
    "distributed.scheduler.events-cleanup-delay": "1 minute",
    "distributed.scheduler.http.routes": [],
    "distributed.scheduler.preload": [],
    "distributed.admin.log-length": 200,
    # Also how many events a topic keeps.
    "distributed.admin.low-level-log-length": 10,
    "distributed.admin.system-monitor.log-length": 60,
    "distributed.admin.system-monitor.interval": "1s",
    "distributed.admin.system-monitor.disk": False,
    "distributed.admin.tick.interval": "100ms",
    # The user's own Dask configuration must not change how values travel inside the platform.
    "distributed.comm.default-scheme": "tls",
    "distributed.comm.compression": False,
}


async def serve(port: int, *, tls: Path, ready_fd: int | None) -> None:
    """Runs a scheduler until it is told to stop.

    Args:
        port: where it listens.
        tls: folder of the certificates it shows and asks for.
        ready_fd: told when it listens.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for order in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(order, stop.set)
    on_parent_end(lambda: loop.call_soon_threadsafe(stop.set))
    scheduler = await Scheduler(
        host=f"tls://{LOOPBACK}",
        port=port,
        protocol="tls",
        security=cluster_security(tls),
        dashboard=False,
        dashboard_address=f"{LOOPBACK}:0",
    )
    tell_ready(ready_fd)
    ended = asyncio.create_task(scheduler.finished())
    told = asyncio.create_task(stop.wait())
    await asyncio.wait({ended, told}, return_when=asyncio.FIRST_COMPLETED)
    told.cancel()
    try:
        async with asyncio.timeout(FAREWELL_S):
            await scheduler.close(reason="told to stop")
    except TimeoutError:
        logger.warning("scheduler did not close in time and ends as it is", extra={"seconds": FAREWELL_S})
        logging.shutdown()
        os._exit(0)


def main(argv: list[str] | None = None) -> int:
    """Entry point: `python -m wfplatform.bootstrap.cluster_process --port PORT --tls FOLDER`."""
    parser = argparse.ArgumentParser(prog="wfplatform scheduler")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--tls", type=Path, required=True)
    parser.add_argument("--ready-fd", type=int)
    options = parser.parse_args(argv)
    log_lines()
    with dask.config.set(SCHEDULER_CONFIG):
        asyncio.run(serve(options.port, tls=options.tls, ready_fd=options.ready_fd))
    return 0


if __name__ == "__main__":
    sys.exit(main())
