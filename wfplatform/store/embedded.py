"""PostgreSQL as a child process: made, started, watched and stopped by this process, reachable through a Unix
socket only.

Running means that a connection answers, never that a pid exists. A data folder exists whole or not at all.
Refuses: TCP, passwords (the socket's folder and the peer's account decide), data of another major version,
and a second owner of the same folder.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import IO, Final, Self

from wfplatform.errors import ConflictError, PlatformError, UnreachableError
from wfplatform.store.child_process import die_with_parent, last_lines
from wfplatform.store.postgres_binaries import (
    PostgresBinaries,
    ServerAccount,
    account_for,
    can_reach,
    find_binaries,
)
from wfplatform.store.server_address import (
    DATABASE,
    OWNER,
    SOCKET_NAME,
    SOCKET_PATH_LIMIT_BYTES,
    ServerAddress,
    short_folder,
)

__all__ = ["EmbeddedServer", "ServerAddress"]

RELOCATED: Final = Path("/var/lib/wfplatform")
"""Where a root caller's server lives when its home cannot be entered by the account that runs PostgreSQL
(such as /root)."""

_SETTINGS: Final = {
    "listen_addresses": "",
    "port": "5432",
    "unix_socket_permissions": "0700",
    "max_connections": "200",
    "shared_buffers": "128MB",
    "work_mem": "8MB",
    "maintenance_work_mem": "64MB",
    "max_wal_size": "2GB",
    "checkpoint_timeout": "15min",
    "checkpoint_completion_target": "0.9",
    "random_page_cost": "1.1",
    "jit": "off",
    "max_locks_per_transaction": "256",  # partitioned tables take a lock a partition
    "autovacuum_naptime": "15s",
    "autovacuum_vacuum_scale_factor": "0.02",
    "autovacuum_vacuum_insert_scale_factor": "0.05",
    "autovacuum_analyze_scale_factor": "0.02",
    "log_line_prefix": "%m [%p] %q%u@%d ",
    "log_checkpoints": "off",
    "log_lock_waits": "on",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "lc_messages": "C",
}
# Commits stay synchronous: without fsync they cost nothing, and a killed server still loses none of them.
_NOT_DURABLE: Final = {"fsync": "off", "full_page_writes": "off"}


class EmbeddedServer:
    """One PostgreSQL server over one folder.

    Args:
        folder: everything of the server lives below it; made if missing. A root caller whose folder cannot be
            entered by the account that runs PostgreSQL gets the data below /var/lib/wfplatform, noted in
            `folder/location`.
        log_path: what the server prints is appended here; `folder/postgres.log` by default.
        fsync: False loses data when the machine stops, and is for tests only.
        binaries: the programs; found by `find_binaries` when None.
    """

    def __init__(
        self,
        *,
        folder: Path,
        log_path: Path | None = None,
        fsync: bool = True,
        binaries: PostgresBinaries | None = None,
    ) -> None:
        self._folder = folder
        self._log_path = log_path or folder / "postgres.log"
        self._fsync = fsync
        self._binaries = binaries
        self._account: ServerAccount | None = None
        self._data: Path | None = None
        self._address: ServerAddress | None = None
        self._owner_lock: IO[str] | None = None
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> ServerAddress:
        """Where the server is or will be; known after `prepare`."""
        if self._address is None:
            raise ConflictError("server_not_prepared", "The address is known after prepare() or start().")
        return self._address

    @property
    def process(self) -> subprocess.Popen[bytes] | None:
        """The postmaster started last, or None."""
        return self._process

    def is_answering(self) -> bool:
        """Whether a connection is accepted now. Asks only when the server says that it is ready, so that
        starting fills no log.
        """
        if self._address is None or self._data is None:
            return False
        try:
            lines = (self._data / "postmaster.pid").read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            return False
        return len(lines) >= 8 and lines[7].startswith("ready") and self._address.answers()

    def prepare(self) -> ServerAddress:
        """Makes the data folder if there is none, writes the configuration, ends a server whose owner was
        killed. Safe to repeat.

        Returns:
            The address the server will have.

        Raises:
            PlatformError: no programs, no account, or data of another major version.
            ConflictError: another process owns this folder.
        """
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o755)
        if self._owner_lock is not None:
            return self._prepare()
        self._owner_lock = _own(self._folder)
        try:
            return self._prepare()
        except BaseException:
            self.stop()
            raise

    def launch(self) -> subprocess.Popen[bytes]:
        """Starts the server as a child of this process, which ends with it; does not wait until it answers.
        Call `prepare` first.
        """
        assert self._binaries is not None
        assert self._data is not None
        with self._log_path.open("ab") as log:
            self._process = self._spawn(
                [self._binaries.postgres, "-D", self._data], output=log, parent_signal=signal.SIGINT
            )
        return self._process

    def start(self, timeout_s: float = 60.0) -> ServerAddress:
        """Prepares, launches and waits until a connection answers.

        Args:
            timeout_s: how long to wait; recovery after a crash is part of it.

        Raises:
            UnreachableError: it did not answer in time; the message ends with what the server printed last.
        """
        address = self.prepare()
        deadline = time.monotonic() + timeout_s
        process = self.launch()
        while not self.is_answering():
            if time.monotonic() > deadline:
                self.stop()
                raise UnreachableError(
                    "postgres_silent",
                    f"PostgreSQL did not answer within {timeout_s:g} s. Its last words:\n{last_lines(self._log_path)}",
                    f"The whole log is {self._log_path}.",
                    log=str(self._log_path),
                )
            if process.poll() is not None:
                # After a kill -9 the old server's children hold the shared memory for a moment: try again,
                # never delete its files.
                time.sleep(0.1)
                process = self.launch()
            time.sleep(0.01)
        return address

    def stop(self, timeout_s: float = 20.0) -> None:
        """Ends the server: sessions are cut, what was committed is on disk; then gives the folder free."""
        process, self._process = self._process, None
        if process is not None:
            for order, patience_s in (
                (signal.SIGINT, timeout_s),
                (signal.SIGQUIT, 5.0),
                (signal.SIGKILL, 5.0),
            ):
                if process.poll() is None:
                    process.send_signal(order)
                try:
                    process.wait(patience_s)
                    break
                except subprocess.TimeoutExpired:
                    continue
        if self._owner_lock is not None:
            self._owner_lock.close()
            self._owner_lock = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _prepare(self) -> ServerAddress:
        root = self._root()
        data = self._data = root / "data"
        account = self._account = account_for(data)
        if account.switch:
            os.chown(root, account.uid, account.gid)
        root.chmod(0o700)
        version_file = data / "PG_VERSION"
        major = int(version_file.read_text()) if version_file.exists() else None
        if self._binaries is None or (major is not None and self._binaries.major != major):
            self._binaries = find_binaries(major)
        if account.switch and not can_reach(self._binaries.postgres, account):
            self._binaries = self._binaries.copied_to(root)
        if major is None:
            self._create(data)
        socket_folder = self._socket_folder(root)
        self._address = ServerAddress(socket_folder=socket_folder)
        self._end_orphan(data)
        self._configure(data, socket_folder)
        return self._address

    def _root(self) -> Path:
        note = self._folder / "location"
        if note.exists():
            # The note goes when the home is deleted; then a new folder is made rather than old data found
            # again.
            return Path(note.read_text(encoding="utf-8").strip())
        account = account_for(self._folder / "server" / "data")
        if not account.switch or can_reach(self._folder, account):
            root = self._folder / "server"
            root.mkdir(exist_ok=True, mode=0o700)
            return root
        RELOCATED.mkdir(parents=True, exist_ok=True, mode=0o755)
        relocated = Path(tempfile.mkdtemp(prefix="server-", dir=RELOCATED))
        note.write_text(f"{relocated}\n", encoding="utf-8")
        return relocated

    def _socket_folder(self, root: Path) -> Path:
        assert self._account is not None
        folder = root / "socket"
        if len(os.fsencode(folder / SOCKET_NAME)) > SOCKET_PATH_LIMIT_BYTES:
            return short_folder(root, self._account)
        folder.mkdir(exist_ok=True, mode=0o700)
        if self._account.switch:
            os.chown(folder, self._account.uid, self._account.gid)
        return folder

    def _create(self, data: Path) -> None:
        assert self._binaries is not None
        new = data.with_name("data.tmp")
        shutil.rmtree(new, ignore_errors=True)
        if self._binaries.major >= 17:
            locale = ["--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"]
        else:
            locale = ["--locale=C.UTF-8"]
        # Syncing once, after the database is made too, costs a third of syncing after every step.
        create = ["-U", OWNER, "-E", "UTF8", *locale, "-A", "peer", "--no-sync"]
        single = ["-c", "fsync=off", "-c", "log_checkpoints=off", "postgres"]
        self._run([self._binaries.initdb, "-D", new, *create])
        self._run(
            [self._binaries.postgres, "--single", "-D", new, *single],
            text=f"CREATE DATABASE {DATABASE} OWNER {OWNER}\n",
        )
        if self._fsync:
            self._run([self._binaries.initdb, "-D", new, "--sync-only"])
        new.rename(data)
        handle = os.open(data.parent, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)

    def _configure(self, data: Path, socket_folder: Path) -> None:
        assert self._account is not None
        values = dict(_SETTINGS)
        values["unix_socket_directories"] = '"' + str(socket_folder).replace('"', '""') + '"'
        if not self._fsync:
            values |= _NOT_DURABLE
        lines = ["# Written anew at every start. What you add to local.conf beside the data folder wins."]
        lines += [f"{name} = '{value.replace(chr(39), chr(39) * 2)}'" for name, value in values.items()]
        if data.with_name("local.conf").exists():
            lines += ["include = '../local.conf'"]
        accounts = sorted({self._account.name, "root"})
        texts = {
            "postgresql.conf": "\n".join(lines),
            "pg_hba.conf": "local all all peer map=wfplatform\nlocal replication all peer map=wfplatform",
            "pg_ident.conf": "\n".join(f'wfplatform "{account}" all' for account in accounts),
        }
        for name, text in texts.items():
            partial = data / f"{name}.tmp"
            partial.write_text(text + "\n", encoding="utf-8")
            if self._account.switch:
                os.chown(partial, self._account.uid, self._account.gid)
            partial.chmod(0o600)
            partial.replace(data / name)

    def _end_orphan(self, data: Path) -> None:
        """Stops the server of an owner that was killed. Holding the owner's lock proves that nobody wants it
        any more.
        """
        pid_file = data / "postmaster.pid"
        deadline = time.monotonic() + 20.0
        told: int | None = None
        while self.address.answers() and pid_file.exists() and time.monotonic() < deadline:
            if self._process is not None and self._process.poll() is None:
                return
            pid = int(pid_file.read_text().split("\n", 1)[0] or 0)
            if pid > 0 and pid != told:
                told = pid
                os.kill(pid, signal.SIGINT)
            time.sleep(0.02)

    def _run(self, argv: list[str | Path], text: str = "") -> None:
        process = self._spawn(argv, output=subprocess.PIPE, parent_signal=signal.SIGKILL, with_input=True)
        said, _ = process.communicate(text.encode(), timeout=120)
        if process.returncode:
            raise PlatformError(
                "postgres_create_failed",
                f"{Path(argv[0]).name} ended with "
                f"{process.returncode}:\n{said.decode(errors='replace').strip()[-2000:]}",
                "Check space and permissions of the folder, or name a running server with WFP_DATABASE_URL.",
                folder=str(self._folder),
            )

    def _spawn(
        self, argv: list[str | Path], *, output: IO[bytes] | int, parent_signal: int, with_input: bool = False
    ) -> subprocess.Popen[bytes]:
        assert self._account is not None
        assert self._data is not None
        # PG* variables and locales of the caller must not leak into the server.
        env = {
            "PATH": os.environ.get("PATH", os.defpath),
            "LC_ALL": "C",
            "TZ": "UTC",
            "HOME": str(self._data.parent),
        }
        account = self._account
        return subprocess.Popen(
            argv,
            stdin=subprocess.PIPE if with_input else subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=env,
            cwd=self._data.parent,
            umask=0o077,
            start_new_session=True,
            preexec_fn=die_with_parent(parent_signal),  # noqa: PLW1509  (calls prctl only)
            user=account.uid if account.switch else None,
            group=account.gid if account.switch else None,
            extra_groups=[] if account.switch else None,
        )


def _own(folder: Path) -> IO[str]:
    lock = (folder / "owner.lock").open("a+", encoding="utf-8")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        raise ConflictError(
            "server_owned",
            f"Another process runs the PostgreSQL server of {folder}.",
            "Connect to that one, or give this one a folder of its own.",
            folder=str(folder),
        ) from None
    return lock
