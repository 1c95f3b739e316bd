"""A Python interpreter that every account can run, for tests that run as another uid than the caller's."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

NOBODY_UID = 65534


@dataclass(frozen=True, slots=True, kw_only=True)
class OtherAccount:
    """Runs Python code as another uid."""

    python: Path
    env: dict[str, str]

    def folder(self, place: Path) -> Path:
        """A new folder that is nobody else's."""
        place.mkdir(mode=0o700)
        os.chown(place, NOBODY_UID, NOBODY_UID)
        return place

    def run(self, code: str, *arguments: str, uid: int, timeout_s: float = 60.0) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.python, "-c", code, *arguments],
            env=self.env,
            user=uid,
            group=uid,
            extra_groups=[],
            cwd="/",
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )


def copied_interpreter(folder: Path) -> OtherAccount:
    """Copies the interpreter and its library below `folder`: the original may lie in a closed home."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    prefix = folder / "python"
    (prefix / "bin").mkdir(parents=True)
    python = Path(shutil.copy(Path(sys.executable).resolve(), prefix / "bin" / version))
    heavy = (
        "test",
        "idlelib",
        "ensurepip",
        "tkinter",
        "lib2to3",
        "site-packages",
        "__pycache__",
        "config-*",
        "turtledemo",
    )
    source = Path(sysconfig.get_path("stdlib"))
    shutil.copytree(source, prefix / "lib" / version, ignore=shutil.ignore_patterns(*heavy), symlinks=True)
    if name := sysconfig.get_config_var("INSTSONAME"):
        library = Path(sysconfig.get_config_var("LIBDIR")) / name
        if library.exists():
            shutil.copy(library, prefix / "lib")
    repository = Path(__file__).parents[2]
    return OtherAccount(
        python=python,
        env={
            "PATH": os.defpath,
            "PYTHONHOME": str(prefix),
            "LD_LIBRARY_PATH": str(prefix / "lib"),
            "PYTHONPATH": os.pathsep.join([str(repository), sysconfig.get_path("purelib")]),
            "PYTHONDONTWRITEBYTECODE": "1",
        },
    )
