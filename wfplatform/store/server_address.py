"""Where a server of this machine is, and whether it answers there.

Refuses: loading a driver; the few bytes of PostgreSQL's protocol that a probe needs are spoken here.
"""

from __future__ import annotations

import hashlib
import os
import socket
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

from wfplatform.errors import PlatformError
from wfplatform.store.postgres_binaries import ServerAccount

__all__ = [
    "DATABASE",
    "OWNER",
    "SOCKET_NAME",
    "SOCKET_PATH_LIMIT_BYTES",
    "ServerAddress",
    "answers",
    "short_folder",
    "with_network_timeouts",
]

_NETWORK_TIMEOUTS: Final = {
    "connect_timeout": "5",
    "keepalives_idle": "5",
    "keepalives_interval": "2",
    "keepalives_count": "3",
    "tcp_user_timeout": "10000",
}

DATABASE: Final = "wfplatform"
OWNER: Final = "wfplatform"
SOCKET_NAME: Final = ".s.PGSQL.5432"
SOCKET_PATH_LIMIT_BYTES: Final = 103
"""Linux allows 107, macOS 103."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerAddress:
    """Where a server is: the folder of its Unix socket, the role and the database."""

    socket_folder: Path
    role: str = OWNER
    database: str = DATABASE

    @property
    def dsn(self) -> str:
        """For libpq and psycopg."""
        return f"postgresql://{self._rest}"

    @property
    def sqlalchemy_url(self) -> str:
        """For SQLAlchemy and SQLModel, through psycopg."""
        return f"postgresql+psycopg://{self._rest}"

    @property
    def _rest(self) -> str:
        # Keepalives do not exist on Unix sockets; a stopped server that still listens is what connect_timeout
        # is for.
        return (
            f"{self.role}@/{self.database}?host={quote(str(self.socket_folder), safe='')}&port=5432&connect_timeout=5"
        )

    def answers(self, timeout_s: float = 1.0) -> bool:
        """Whether a new session is accepted within `timeout_s`."""
        return answers(self.socket_folder / SOCKET_NAME, role=self.role, database=self.database, timeout_s=timeout_s)


def with_network_timeouts(url: str) -> str:
    """A libpq URL whose connections notice within seconds that the network or the server is gone.

    What the URL says itself stays. Without these a query on a cut connection waits for two hours.

    Args:
        url: postgresql://...
    """
    parts = urlsplit(url)
    given = dict(parse_qsl(parts.query, keep_blank_values=True))
    return urlunsplit(parts._replace(query=urlencode({**_NETWORK_TIMEOUTS, **given})))


def answers(socket_path: Path, *, role: str, database: str, timeout_s: float = 1.0) -> bool:
    """Whether the server behind a Unix socket lets a new session in. Speaks the few bytes of the protocol
    itself: it loads no driver.

    Args:
        socket_path: the socket's file.
        role: database role; the server must not ask for a password.
        database: database name.
        timeout_s: for every single read.
    """
    parts = (
        b"user\0" + role.encode() + b"\0database\0" + database.encode() + b"\0application_name\0wfplatform-probe\0\0"
    )
    startup = struct.pack("!II", len(parts) + 8, 3 << 16) + parts
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as link:
        link.settimeout(timeout_s)
        try:
            link.connect(str(socket_path))
            link.sendall(startup)
            stream = link.makefile("rb")
            while len(head := stream.read(5)) == 5:
                kind, length = struct.unpack("!cI", head)
                stream.read(length - 4)
                if kind == b"Z":
                    link.sendall(b"X\0\0\0\4")
                    return True
                if kind == b"E":
                    return False
        except OSError:
            return False
    return False


def short_folder(subject: Path, account: ServerAccount | None = None) -> Path:
    """A folder (mode 0700) with a short and stable path for the sockets of `subject`, whose own path is too
    long for one.

    Raises:
        PlatformError: somebody else owns a folder of that name.
    """
    uid = account.uid if account else os.geteuid()
    digest = hashlib.sha256(os.fsencode(subject)).hexdigest()[:12]
    folder = Path(f"/tmp/wfp-{uid}-{digest}")  # noqa: S108  (owner and mode are checked)
    try:
        folder.mkdir(mode=0o700)
        if account is not None and account.switch:
            os.chown(folder, account.uid, account.gid)
    except FileExistsError:
        found = folder.lstat()
        if (
            found.st_uid not in (uid, os.geteuid())
            or folder.is_symlink()
            or not folder.is_dir()
            or found.st_mode & 0o077
        ):
            raise PlatformError(
                "socket_folder_taken",
                f"{folder} is needed for sockets and belongs to somebody else or is open to others.",
                "Choose a home with a path of less than 60 characters (WFP_HOME), then no such folder is needed.",
                folder=str(folder),
            ) from None
    return folder
