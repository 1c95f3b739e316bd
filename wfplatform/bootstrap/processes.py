"""Children of the supervisor and the life of each: starting, ready, lost, waiting to be started again, stopped.

A child's state machine never blocks. One that dies again and again is started more and more seldom, and why is kept
for whoever asks. Refuses: deciding when the platform stops; that is the supervisor's.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from wfplatform.bootstrap.spec import ChildSpec
from wfplatform.errors import WfError
from wfplatform.store.child_process import die_with_parent, last_lines

__all__ = [
    "Child",
    "ChildState",
    "LaunchError",
    "resident_bytes",
    "rotate",
    "tcp_answers",
]

HEALTHY_AFTER_S: Final = 10.0
"""A child that could be used for this long starts its backoff anew, and what it died of before is forgotten."""
FAILING_AFTER: Final = 5
"""So many deaths in a row before it could be used are no accident; a short life counts half."""
FAILING_AFTER_S: Final = 30.0
"""Two that take this long together are none either: it has waited in vain for something that is not there."""
WORDS_KEPT: Final = 12
"""Lines of its log that are kept with a death."""


class ChildState(StrEnum):
    """Where a child is in its life."""

    PLANNED = "planned"
    STARTING = "starting"
    RUNNING = "running"
    BACKOFF = "backoff"
    STOPPING = "stopping"
    STOPPED = "stopped"


class LaunchError(Exception):
    """A child could not be started at all; the reason is its text."""


class Child:
    """The life of one child process.

    Args:
        spec: what to run.
        log_path: its output is appended here.
        more_env: environment known only when it is started.
        launch: starts the process; by default `spec.argv` with a pipe as standard input that closes when the
            supervisor ends.
        is_ready: whether it can be used; by default when it says so, if the spec says that it will, else at once.
        on_stop: ends the process within the given seconds, instead of SIGTERM.
    """

    def __init__(
        self,
        spec: ChildSpec,
        *,
        log_path: Path,
        more_env: Callable[[], Mapping[str, str]] | None = None,
        launch: Callable[[], subprocess.Popen[bytes]] | None = None,
        is_ready: Callable[[], bool] | None = None,
        on_stop: Callable[[float], None] | None = None,
    ) -> None:
        self.spec = spec
        self.log_path = log_path
        self.state = ChildState.PLANNED
        self.restarts = 0
        self.last_exit = ""
        self.since_at_s = time.time()
        self._more_env = more_env
        self._launch = launch or self._start_process
        self._is_ready = is_ready or self._has_told
        self._on_stop = on_stop
        self._process: subprocess.Popen[bytes] | None = None
        self._started_s = 0.0
        self._backoff_s = spec.backoff_first_s
        self._retry_s = 0.0
        self._was_ready = False
        self._ready_s: float | None = None
        self._ready_fd: int | None = None
        self._weight = 0
        self._failing_since_s = 0.0
        self._died_s = 0.0
        self._last_words = ""

    @property
    def problem(self) -> str:
        """Why it dies again and again or does not get ready, with its last words; empty while it runs or that is not known."""
        if self.state is ChildState.RUNNING:
            return ""
        if self._is_failing():
            words = self._last_words
            what = f"ends again and again, {self.restarts} times so far ({self.last_exit})"
        elif self._is_late():
            words = last_lines(self.log_path, WORDS_KEPT)
            what = f"was started {time.monotonic() - self._started_s:.0f} s ago and cannot be used yet"
        else:
            return ""
        return f"{self.spec.name} {what}." + (f" Its last words:\n{words}" if words else "")

    def _is_late(self) -> bool:
        patience_s = self.spec.start_patience_s
        starting = self.state is ChildState.STARTING
        return starting and patience_s is not None and time.monotonic() - self._started_s > patience_s

    def _is_failing(self) -> bool:
        # A death before it could be used weighs 2, one soon after it could be used 1.
        lasting = self._weight >= 4 and self._died_s - self._failing_since_s >= FAILING_AFTER_S
        return self._weight >= 2 * FAILING_AFTER or lasting

    @property
    def pid(self) -> int | None:
        """The process id while it runs."""
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    def step(self, may_start: bool) -> float:
        """Brings the state up to date and does what is due.

        Args:
            may_start: the children it needs are ready.

        Returns:
            The seconds after which it wants to be stepped again at the latest.

        Raises:
            LaunchError, WfError: a child that is needed could not be started the first time.
        """
        now = time.monotonic()
        if self.state in (ChildState.STARTING, ChildState.RUNNING):
            assert self._process is not None
            if (code := self._process.poll()) is not None:
                self._lost(code, now)
            elif self.state is ChildState.STARTING:
                if self._is_ready():
                    self._was_ready = True
                    self._ready_s = now
                    self._become(ChildState.RUNNING)
                    return 1.0
                return 0.01 if now - self._started_s < 5.0 else 0.2
            elif self._ready_s is not None and now - self._ready_s > HEALTHY_AFTER_S:
                self._forget_deaths()
        if self.state is ChildState.PLANNED or (self.state is ChildState.BACKOFF and now >= self._retry_s):
            if not may_start:
                return 1.0
            self._ready_s = None
            self._started_s = now
            try:
                self._process = self._launch()
            except (WfError, LaunchError, OSError) as error:
                if self.spec.needed and not self._was_ready:
                    raise
                self._retry_later(f"not started: {error}", now)
                return self._backoff_s
            self._become(ChildState.STARTING)
            return 0.0
        return max(0.0, self._retry_s - now) if self.state is ChildState.BACKOFF else 1.0

    def restart(self) -> None:
        """Ends the process at once; the next step starts another without a pause."""
        self._end(self.spec.stop_timeout_s)
        self.restarts += 1
        self._forget_deaths()
        self._retry_s = 0.0
        self._become(ChildState.BACKOFF)

    def ask_to_stop(self) -> None:
        """Tells the process to end, without waiting: several children may then end side by side."""
        if self.pid is not None and self._on_stop is None:
            self._signal(signal.SIGTERM)
        self._become(ChildState.STOPPING)

    def stop(self) -> None:
        """Ends the process and everything it started, at the latest after `stop_timeout_s`."""
        self._end(self.spec.stop_timeout_s)
        self._become(ChildState.STOPPED)

    def describe(self) -> dict[str, Any]:
        """The child as one row of the process table: name, pid, state, restarts, since (epoch seconds), last
        exit, resident bytes, and what keeps it from running.
        """
        pid = self.pid
        return {
            "name": self.spec.name,
            "pid": pid,
            "state": str(self.state),
            "restarts": self.restarts,
            "since_at_s": self.since_at_s,
            "last_exit": self.last_exit,
            "rss_bytes": resident_bytes(pid) if pid else 0,
            "log": str(self.log_path),
            "problem": self.problem,
        }

    def _start_process(self) -> subprocess.Popen[bytes]:
        told, tell = os.pipe() if self.spec.tells_ready else (None, None)
        try:
            with self.log_path.open("ab") as log:
                process = subprocess.Popen(
                    [*self.spec.argv, *(("--ready-fd", str(tell)) if tell is not None else ())],
                    # Its end tells a child that the supervisor is gone, also where the kernel has no
                    # parent-death signal.
                    stdin=subprocess.PIPE,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    env=self._environment(),
                    pass_fds=() if tell is None else (tell,),
                    start_new_session=True,
                    preexec_fn=die_with_parent(signal.SIGTERM),  # noqa: PLW1509  (one thread here)
                )
        except OSError as error:
            if told is not None:
                os.close(told)
            raise LaunchError(f"{self.spec.name}: {error}") from error
        finally:
            if tell is not None:
                os.close(tell)
        self._ready_fd = told
        if told is not None:
            os.set_blocking(told, False)
        return process

    def _environment(self) -> dict[str, str]:
        inherited = {k: v for k, v in os.environ.items() if self.spec.needs_database or not k.startswith("WFP_")}
        return {**inherited, **self.spec.env, **(self._more_env() if self._more_env else {})}

    def _has_told(self) -> bool:
        if self._ready_fd is None:
            return True
        try:
            said = os.read(self._ready_fd, 1)
        except BlockingIOError:
            return False
        if said:
            self._close_ready()
        # The other end closed without a word: it is just ending.
        return bool(said)

    def _close_ready(self) -> None:
        if self._ready_fd is not None:
            os.close(self._ready_fd)
            self._ready_fd = None

    def _lost(self, code: int, now: float) -> None:
        self._sweep()
        self._close_input()
        self._retry_later(f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}", now)

    def _retry_later(self, reason: str, now: float) -> None:
        self.last_exit = reason
        self.restarts += 1
        if self._ready_s is not None and now - self._ready_s > HEALTHY_AFTER_S:
            self._forget_deaths()
        if not self._weight:
            self._failing_since_s = self._started_s
        self._weight += 1 if self._ready_s is not None else 2
        self._died_s = now
        self._last_words = last_lines(self.log_path, WORDS_KEPT)
        self._retry_s = now + self._backoff_s
        self._backoff_s = min(self._backoff_s * 2, self.spec.backoff_max_s)
        self._become(ChildState.BACKOFF)

    def _forget_deaths(self) -> None:
        self._backoff_s = self.spec.backoff_first_s
        self._weight = 0

    def _end(self, patience_s: float) -> None:
        if self._process is None:
            return
        if self._on_stop is not None:
            self._on_stop(patience_s)
        elif self._process.poll() is None:
            self._signal(signal.SIGTERM)
            try:
                self._process.wait(patience_s)
            except subprocess.TimeoutExpired:
                self._signal(signal.SIGKILL)
                self._process.wait(5.0)
        self._sweep()
        self._close_input()

    def _signal(self, order: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(order)

    def _sweep(self) -> None:
        """Ends what the process left behind in its group (workers of a killed worker host)."""
        assert self._process is not None
        try:
            os.killpg(self._process.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            # Nobody is left; macOS says "not permitted" for a group of zombies.
            return

    def _close_input(self) -> None:
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()
        self._close_ready()

    def _become(self, state: ChildState) -> None:
        if state is not self.state:
            self.state = state
            self.since_at_s = time.time()


def tcp_answers(address: str, timeout_s: float = 0.2) -> bool:
    """Whether something accepts connections at "host:port"."""
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host, int(port)), timeout=timeout_s):
            return True
    except OSError:
        return False


def resident_bytes(pid: int) -> int:
    """The resident memory of a process, or 0 where it cannot be read."""
    if sys.platform.startswith("linux"):
        try:
            pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
        except (OSError, IndexError):
            return 0
        return pages * os.sysconf("SC_PAGE_SIZE")
    said = subprocess.run(
        ["ps", "-o", "rss=", "-p", str(pid)], capture_output=True, text=True, check=False
    ).stdout.strip()
    return int(said) * 1024 if said.isdigit() else 0


def rotate(path: Path, *, limit_bytes: int, keep: int) -> bool:
    """Bounds a log that other processes append to: copies it to `path.1` and empties it in place, since they
    keep it open.

    Args:
        path: the log.
        limit_bytes: nothing happens below this size.
        keep: how many old copies stay (`.1` is the youngest).

    Returns:
        Whether it was rotated. Lines written between the copy and the emptying are lost; that is the price of
        not standing in the way.
    """
    try:
        if path.stat().st_size <= limit_bytes:
            return False
    except FileNotFoundError:
        return False
    for number in range(keep - 1, 0, -1):
        older = path.with_name(f"{path.name}.{number}")
        if older.exists():
            older.replace(path.with_name(f"{path.name}.{number + 1}"))
    youngest = path.with_name(f"{path.name}.1")
    try:
        shutil.copyfile(path, youngest)
    except OSError:
        # The disk is full: then the log gives its own room back rather than the supervisor its life.
        youngest.unlink(missing_ok=True)
    os.truncate(path, 0)
    return True
