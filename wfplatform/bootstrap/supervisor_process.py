"""The supervisor: a detached process that is the parent of PostgreSQL, scheduler, worker host and engines,
and restarts what dies.

One loop, one thread, no blocking on children. It is light: it loads no Dask, SQLModel, pandas or driver.
Refuses: stopping for being idle while a client is attached, an execution open or a schedule active.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import selectors
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from typing import IO, Any, Final

from wfplatform.bootstrap.places import Places, lock, write_atomically
from wfplatform.bootstrap.processes import (
    Child,
    ChildState,
    LaunchError,
    resident_bytes,
    rotate,
)
from wfplatform.bootstrap.spec import POSTGRES, ChildSpec, Order
from wfplatform.bootstrap.survivors import write_down
from wfplatform.errors import WfError
from wfplatform.store.child_process import last_lines
from wfplatform.store.embedded import EmbeddedServer
from wfplatform.telemetry.log_lines import log_lines

__all__ = ["Supervisor", "main"]

LOG_LIMIT_BYTES: Final = 10_000_000
LOGS_KEPT: Final = 2
HOUSEKEEPING_S: Final = 1.0
GIVE_UP_AFTER_RESTARTS: Final = 6
IDLE_PROBE: Final = "wfplatform.store.idle"
IDLE_PROBE_TIMEOUT_S: Final = 10.0

logger = logging.getLogger("wfplatform.supervisor")


class Supervisor:
    """Runs an order until told to stop or idle.

    Args:
        order: what to run.
        ready: written to once, when the platform can be used ("ok") or cannot ({code, message, hint}); then
            closed.
    """

    def __init__(self, order: Order, ready: IO[str]) -> None:
        self._order = order
        self._places = Places.of(order.home)
        self._ready: IO[str] | None = ready
        self._selector = selectors.DefaultSelector()
        self._stop_reason = ""
        self._started_at_s = time.time()
        self._idle_since_s: float | None = None
        self._housekeeping_s = 0.0
        self._clients: IO[str] | None = None
        self._server = EmbeddedServer(
            folder=self._places.postgres, log_path=self._places.logs / f"{POSTGRES}.log", fsync=order.fsync
        )
        self._children = {spec.name: self._child(spec) for spec in order.children}

    def run(self) -> int:
        """The life of the supervisor; returns its exit code."""
        alive = lock(self._places.supervisor_lock)
        if alive is None:
            self._tell(
                {
                    "code": "supervisor_runs",
                    "message": "Another supervisor runs in this home.",
                    "hint": "Try again.",
                }
            )
            return 1
        self._places.state.unlink(missing_ok=True)
        listener = self._listen()
        wake_r, wake_w = os.pipe()
        os.set_blocking(wake_r, False)
        os.set_blocking(wake_w, False)
        signal.set_wakeup_fd(wake_w, warn_on_full_buffer=False)
        for order in (signal.SIGTERM, signal.SIGINT):
            signal.signal(order, lambda number, _: self._ask_to_stop(signal.Signals(number).name))
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        self._selector.register(wake_r, selectors.EVENT_READ, lambda: os.read(wake_r, 4096))
        failed: Exception | None = None
        try:
            while not self._stop_reason:
                delay_s = min(self._step(), self._housekeep())
                for key, _ in self._selector.select(delay_s):
                    key.data()
        except Exception as error:
            # Also a defect of this program must end the children in order and reach whoever waits for the
            # start.
            logger.exception("platform cannot run")
            failed = error
        self._stop_all()
        listener.close()
        self._places.control_path().unlink(missing_ok=True)
        # The lock is free before anybody hears of the failure: who tries again finds nothing in the way.
        alive.close()
        if failed is not None:
            self._tell(
                {"code": failed.code, "message": failed.message, "hint": failed.hint}
                if isinstance(failed, WfError)
                else {
                    "code": "launch_failed",
                    "message": f"{failed}" or repr(failed),
                    "hint": f"See {self._places.logs}.",
                }
            )
        return 1 if failed else 0

    def _child(self, spec: ChildSpec) -> Child:
        log_path = self._places.logs / f"{spec.name}.log"
        if spec.name != POSTGRES:
            return Child(spec, log_path=log_path, more_env=self._addresses if spec.needs_database else None)

        def launch() -> subprocess.Popen[bytes]:
            self._server.prepare()
            return self._server.launch()

        return Child(
            spec,
            log_path=log_path,
            launch=launch,
            is_ready=self._server.is_answering,
            on_stop=self._server.stop,
        )

    def _addresses(self) -> dict[str, str]:
        return {"WFP_DATABASE_URL": self._dsn(), "WFP_SCHEDULER_ADDRESS": self._order.scheduler_address}

    def _dsn(self) -> str:
        return self._server.address.dsn if POSTGRES in self._children else self._order.database_url

    def _step(self) -> float:
        delay_s = 1.0
        for child in self._children.values():
            before = (child.state, child.restarts)
            may_start = all(self._children[name].state is ChildState.RUNNING for name in child.spec.after)
            delay_s = min(delay_s, child.step(may_start))
            if (child.state, child.restarts) != before:
                delay_s = 0.0
                self._write_down()
                fields = child.describe()
                del fields["log"], fields["problem"]
                logger.info("child changed", extra={"child": fields.pop("name"), **fields})
            if self._ready is not None and child.spec.needed and child.restarts >= GIVE_UP_AFTER_RESTARTS:
                raise LaunchError(
                    f"{child.spec.name} does not start ({child.last_exit}). Its last "
                    f"words:\n{last_lines(child.log_path)}"
                )
        needed = [child for child in self._children.values() if child.spec.needed]
        if self._ready is not None and all(child.state is ChildState.RUNNING for child in needed):
            self._announce()
        return delay_s

    def _write_down(self) -> None:
        # PostgreSQL is not among them: who starts the server of a folder ends a former one itself.
        running = {name: child.pid for name, child in self._children.items() if name != POSTGRES}
        write_down(self._places.children, {name: pid for name, pid in running.items() if pid is not None})

    def _announce(self) -> None:
        document = {
            "dsn": self._dsn(),
            "embedded_database": POSTGRES in self._children,
            "socket_folder": str(self._server.address.socket_folder) if POSTGRES in self._children else "",
            "scheduler_address": self._order.scheduler_address,
            "cluster_tls": self._order.cluster_tls,
            "supervisor_pid": os.getpid(),
            "home": str(self._order.home),
            "started_at_s": self._started_at_s,
            "version": self._order.version,
        }
        write_atomically(self._places.state, document)
        logger.info("platform ready", extra={"seconds": round(time.time() - self._started_at_s, 3)})
        self._tell({})

    def _tell(self, problem: Mapping[str, str]) -> None:
        ready, self._ready = self._ready, None
        if ready is not None:
            # Whoever started us may have been killed meanwhile; that is no reason to stop.
            with contextlib.suppress(BrokenPipeError):
                ready.write(json.dumps(problem) + "\n")
                ready.close()

    def _housekeep(self) -> float:
        now = time.monotonic()
        pause_s = min(HOUSEKEEPING_S, self._order.idle_stop_s / 4)
        if now - self._housekeeping_s >= pause_s:
            self._housekeeping_s = now
            for log in (
                *(child.log_path for child in self._children.values()),
                self._places.logs / "supervisor.log",
            ):
                rotate(log, limit_bytes=LOG_LIMIT_BYTES, keep=LOGS_KEPT)
            if self._ready is None:
                self._consider_idle(now)
        return max(0.01, pause_s - (time.monotonic() - self._housekeeping_s))

    def _consider_idle(self, now: float) -> None:
        alone = lock(self._places.clients_lock)
        if alone is None:
            self._idle_since_s = None
            return
        if self._idle_since_s is None:
            self._idle_since_s = now
        if now - self._idle_since_s >= self._order.idle_stop_s:
            if self._nobody_needs_the_database():
                # Kept until the end: who comes now waits for it and then starts anew.
                self._clients = alone
                self._ask_to_stop("idle")
                return
            logger.info("still needed")
            self._idle_since_s = now
        alone.close()

    def _nobody_needs_the_database(self) -> bool:
        try:
            probe = subprocess.run(
                [sys.executable, "-m", IDLE_PROBE],
                env={**os.environ, "WFP_DATABASE_URL": self._dsn()},
                stdin=subprocess.DEVNULL,
                timeout=IDLE_PROBE_TIMEOUT_S,
                check=False,
            )
        except (subprocess.TimeoutExpired, OSError) as error:
            # Whoever cannot be asked may still need it.
            logger.warning("idle probe failed", extra={"error": error})
            return False
        return probe.returncode == 0

    def _ask_to_stop(self, reason: str) -> None:
        self._stop_reason = self._stop_reason or reason

    def _stop_all(self) -> None:
        logger.info("platform stops", extra={"reason": self._stop_reason})
        self._places.state.unlink(missing_ok=True)
        backwards = list(reversed(self._children.values()))
        groups = (
            [child for child in backwards if child.spec.needs_database],
            [child for child in backwards if not child.spec.needs_database and child.spec.name != POSTGRES],
            [child for child in backwards if child.spec.name == POSTGRES],
        )
        for group in groups:
            if group and group is groups[0]:
                for child in group:
                    child.ask_to_stop()
            for child in group:
                child.stop()
        self._places.children.unlink(missing_ok=True)
        logger.info("platform stopped")

    def _listen(self) -> socket.socket:
        path = self._places.control_path()
        path.unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        mask = os.umask(0o177)
        try:
            listener.bind(str(path))
        finally:
            os.umask(mask)
        listener.listen(16)
        listener.setblocking(False)
        self._selector.register(listener, selectors.EVENT_READ, lambda: self._accept(listener))
        return listener

    def _accept(self, listener: socket.socket) -> None:
        try:
            link, _ = listener.accept()
        except BlockingIOError:
            return
        link.setblocking(False)
        received = bytearray()

        def read() -> None:
            try:
                chunk = link.recv(65_536)
            except OSError:
                chunk = b""
            received.extend(chunk)
            if chunk and b"\n" not in received and len(received) < 65_536:
                return
            self._selector.unregister(link)
            link.settimeout(1.0)
            with link, contextlib.suppress(OSError):
                if b"\n" in received:
                    link.sendall(json.dumps(self._answer(bytes(received))).encode() + b"\n")

        self._selector.register(link, selectors.EVENT_READ, read)

    def _answer(self, line: bytes) -> dict[str, Any]:
        try:
            question = json.loads(line)
            command, name = str(question["command"]), str(question.get("name", ""))
        except (ValueError, TypeError, KeyError, AttributeError):
            return {"ok": False, "message": 'Expected one JSON line such as {"command": "status"}.'}
        match command:
            case "status":
                own = {
                    "name": "supervisor",
                    "pid": os.getpid(),
                    "state": str(ChildState.STOPPING if self._stop_reason else ChildState.RUNNING),
                    "restarts": 0,
                    "since_at_s": self._started_at_s,
                    "last_exit": "",
                    "rss_bytes": resident_bytes(os.getpid()),
                    "log": str(self._places.logs / "supervisor.log"),
                    "problem": "",
                }
                return {
                    "ok": True,
                    "processes": [own, *(child.describe() for child in self._children.values())],
                }
            case "stop":
                self._ask_to_stop("asked")
                return {"ok": True}
            case "restart" if name in self._children:
                self._children[name].restart()
                return {"ok": True}
            case "restart":
                return {
                    "ok": False,
                    "message": f"No child is called {name!r}; there are {', '.join(self._children)}.",
                }
            case _:
                return {
                    "ok": False,
                    "message": f"Unknown command {command!r}; there are status, stop, restart.",
                }


def main(argv: list[str]) -> int:
    """Entry point, used by `wfplatform.bootstrap.supervisor` only: the order comes by standard input,
    `argv[0]` is the ready pipe.
    """
    order = Order.from_json(json.loads(sys.stdin.buffer.read()))
    if os.fork():
        # The first child ends at once: the supervisor belongs to nobody's process tree and leaves no zombie
        # with its starter.
        os._exit(0)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    log_lines()
    with os.fdopen(int(argv[0]), "w", encoding="utf-8") as ready:
        return Supervisor(order, ready).run()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
