"""From settings to processes: which children the supervisor of a home keeps alive, with which arguments.

Refuses: starting what the settings say is elsewhere.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
import socket
import sys
import time
from collections.abc import Mapping
from importlib import metadata
from typing import Final
from uuid import uuid4

from wfplatform.bootstrap.places import POLL_S, Places
from wfplatform.bootstrap.spec import POSTGRES, ChildSpec, Order
from wfplatform.errors import PlatformError
from wfplatform.settings import Settings
from wfplatform.store.server_address import with_network_timeouts

__all__ = ["order_of"]

LAST_PORT_PATIENCE_S: Final = 2.0
START_PATIENCE_S: Final = 60.0
ENGINE_START_PATIENCE_S: Final = 300.0
"""An engine may have to bring a large database to its release first."""
FIRST_PORT: Final = 21_000
PORTS: Final = 10_000
"""Below the range from which systems take ports for outgoing connections, so that nobody takes it while the
scheduler restarts."""


def order_of(settings: Settings, *, fsync: bool = True) -> Order:
    """What the supervisor is to run under these settings, in the order in which it is started.

    Children that are configured to be elsewhere are left out. The scheduler loads its modules on one CPU
    while the database is made on another; the workers come last, since they wait for the scheduler anyway.
    """
    places = Places.of(settings.home)
    children: list[ChildSpec] = []
    database: tuple[str, ...] = ()
    scheduler_address = settings.scheduler_address
    tls: tuple[str, ...] = ()
    if not scheduler_address:
        port = _port_of(places)
        scheduler_address = f"tls://127.0.0.1:{port}"
        tls = ("--tls", str(places.cluster_tls))
        children.append(_python("scheduler", "wfplatform.bootstrap.cluster_process", "--port", str(port), *tls))
    if not settings.database_url:
        # A server that was killed leaves its shared memory behind for a moment, so the first retries are
        # quick.
        children.append(
            ChildSpec(name=POSTGRES, needed=True, backoff_first_s=0.05, backoff_max_s=5.0, stop_timeout_s=20.0)
        )
        database = (POSTGRES,)
    if not settings.scheduler_address:
        children.append(
            _python(
                "workers",
                "wfplatform.worker.host",
                *("--scheduler", scheduler_address),
                *("--workers", str(settings.workers)),
                *("--io-slots", str(settings.io_threads)),
                *("--memory-bytes", str(settings.worker_memory_limit_bytes)),
                *("--local-folder", str(places.run / "workers")),
                *tls,
                env={
                    "OMP_NUM_THREADS": "1",
                    "MKL_NUM_THREADS": "1",
                    "OPENBLAS_NUM_THREADS": "1",
                    "MALLOC_TRIM_THRESHOLD_": "65536",
                    **settings.for_workers(),
                },
            )
        )
    for number in range(settings.engines):
        env = settings.as_environment()
        # New with every supervisor: only it knows that the engine before has ended when it starts the next one.
        seat = ("--seat", uuid4().hex)
        engine = _python(f"engine-{number}", "wfplatform.bootstrap.engine_process", *tls, *seat, env=env)
        children.append(
            dataclasses.replace(
                engine,
                after=database,
                needs_database=True,
                start_patience_s=ENGINE_START_PATIENCE_S,
                stop_timeout_s=20.0,
            )
        )
    return Order(
        home=settings.home,
        children=tuple(children),
        idle_stop_s=settings.idle_stop_s,
        database_url=with_network_timeouts(settings.database_url) if settings.database_url else "",
        scheduler_address=scheduler_address,
        cluster_tls=str(places.cluster_tls) if tls else "",
        fsync=fsync,
        version=_version(),
    )


def _python(name: str, module: str, *arguments: str, env: Mapping[str, str] | None = None) -> ChildSpec:
    argv = (sys.executable, "-m", module, *arguments)
    return ChildSpec(name=name, argv=argv, tells_ready=True, start_patience_s=START_PATIENCE_S, env=env or {})


def _port_of(places: Places) -> int:
    """The same port for the same home: what was connected before a restart finds the scheduler again."""
    last = (places.read_state() or {}).get("scheduler_address", "").rpartition(":")[2]
    if last:
        # The state is left behind by a killed supervisor. Its scheduler has ended, and only the kernel may still hold the port.
        deadline = time.monotonic() + LAST_PORT_PATIENCE_S
        while time.monotonic() < deadline:
            if _is_free(int(last)):
                return int(last)
            time.sleep(POLL_S)
    first = int.from_bytes(hashlib.sha256(os.fsencode(places.home)).digest()[:4], "big")
    for offset in range(PORTS):
        port = FIRST_PORT + (first + offset) % PORTS
        if _is_free(port):
            return port
    raise PlatformError(
        "no_port",
        f"No TCP port between {FIRST_PORT} and {FIRST_PORT + PORTS} is free.",
        "End what holds them.",
    )


def _is_free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _version() -> str:
    try:
        return metadata.version("wfplatform")
    except metadata.PackageNotFoundError:
        return "checkout"
