"""The folders, locks and sockets of one home, and how processes of the same home talk: advisory locks, a
state file, a control socket.

Locks are the kernel's (flock): whatever kills a process frees them. Refuses: pid files as proof that anything
runs.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final, Self

from wfplatform.errors import SettingsError, UnreachableError
from wfplatform.store.server_address import SOCKET_PATH_LIMIT_BYTES, short_folder

__all__ = ["Places", "is_locked", "lock", "request", "write_atomically"]

POLL_S: Final = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """Where things of one home are.

    Attributes:
        home: the home itself.
        state: addresses of the running platform, JSON; there only while it can be used.
        start_lock: held by whoever is starting a supervisor.
        supervisor_lock: held by the supervisor as long as it lives.
        clients_lock: held shared by every attached client; the supervisor takes it alone before it stops for
            being idle.
        control: Unix socket of the supervisor.
        children: who the supervisor's children are, for the case that it is killed.
        cluster_tls: the certificates of the embedded cluster.
    """

    home: Path
    run: Path
    logs: Path
    postgres: Path
    state: Path
    start_lock: Path
    supervisor_lock: Path
    clients_lock: Path
    control: Path
    children: Path
    cluster_tls: Path

    @classmethod
    def of(cls, home: Path) -> Self:
        """The places of a home, whether they exist or not."""
        run = home / "run"
        return cls(
            home=home,
            run=run,
            logs=home / "log",
            postgres=home / "postgres",
            state=run / "platform.json",
            start_lock=run / "start.lock",
            supervisor_lock=run / "supervisor.lock",
            clients_lock=run / "clients.lock",
            control=run / "control.sock",
            children=run / "children.json",
            cluster_tls=run / "tls",
        )

    def make(self) -> None:
        """Makes the folders, closed to other accounts. Root's home may be passed through, since PostgreSQL
        runs as another account.

        Raises:
            SettingsError: they cannot be made or written.
        """
        try:
            self.home.mkdir(parents=True, exist_ok=True, mode=0o711 if os.geteuid() == 0 else 0o700)
            for folder in (self.run, self.logs):
                folder.mkdir(exist_ok=True, mode=0o700)
                if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
                    raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(folder))
        except OSError as error:
            # It exists, and is something else.
            why = os.strerror(errno.ENOTDIR) if isinstance(error, FileExistsError) else error.strerror or str(error)
            raise SettingsError(
                "home_unusable",
                f"The home {self.home} cannot be used: {why}: {error.filename or self.home}.",
                "WFP_HOME names the home; it must be a folder that this account can make and write.",
                home=str(self.home),
            ) from error

    def control_path(self) -> Path:
        """The control socket, elsewhere if the home's own path is too long for a socket."""
        if len(os.fsencode(self.control)) <= SOCKET_PATH_LIMIT_BYTES:
            return self.control
        return short_folder(self.control) / "control.sock"

    def read_state(self) -> dict[str, Any] | None:
        """The addresses of the running platform, or None when nothing (usable) runs."""
        try:
            document: dict[str, Any] = json.loads(self.state.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        return document


def lock(path: Path, *, shared: bool = False, timeout_s: float = 0.0) -> IO[str] | None:
    """Takes an advisory lock; it is free again when the returned file is closed or the process ends in
    whatever way.

    Args:
        path: the lock file, made if missing, never deleted.
        shared: together with other shared holders.
        timeout_s: how long to try.

    Returns:
        The open file, or None when others held it all the time.
    """
    handle = path.open("a+", encoding="utf-8")
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            fcntl.flock(handle, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                handle.close()
                return None
            time.sleep(POLL_S)
        else:
            return handle


def is_locked(path: Path) -> bool:
    """Whether somebody holds the lock alone."""
    if not path.exists():
        return False
    handle = lock(path, shared=True)
    if handle is None:
        return True
    handle.close()
    return False


def write_atomically(path: Path, document: Mapping[str, Any]) -> None:
    """Writes JSON so that a reader sees the old document or the new one, never a part; mode 0600."""
    partial = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        json.dump(document, file, indent=1)
    partial.replace(path)


def request(control: Path, document: Mapping[str, Any], timeout_s: float = 15.0) -> dict[str, Any]:
    """One question to the supervisor: a JSON line there, a JSON line back.

    Raises:
        UnreachableError: nobody listens, or no answer came in time.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as link:
        link.settimeout(timeout_s)
        try:
            link.connect(str(control))
            link.sendall(json.dumps(document).encode() + b"\n")
            line = link.makefile("rb").readline()
        except OSError as error:
            raise UnreachableError(
                "supervisor_unreachable",
                f"The supervisor does not answer at {control}: {error}.",
                "Run `wfp up`; if that does not help, see supervisor.log in the home's log folder.",
                control=str(control),
            ) from error
    if not line:
        raise UnreachableError("supervisor_unreachable", "The supervisor ended while it was asked.", "Run `wfp up`.")
    answer: dict[str, Any] = json.loads(line)
    return answer
