"""The wheel, installed away from the checkout in an environment of its own, is the whole product."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
COMMAND = (
    "from importlib.metadata import entry_points as e; [one] = e(group='console_scripts', name='wfp'); one.load()()"
)
INSIDE = """
import wfplatform, wfplatform.settings as settings
from pathlib import Path
from wfplatform.examples.flights import flights
from wfplatform.settings import Settings

place = Path(wfplatform.__file__).parent
assert settings.conf_folder() == place / "conf", settings.conf_folder()
assert (place / "conf" / "base.toml").is_file()
assert (place / "py.typed").is_file()
assert sorted((place / "store" / "migrations" / "versions").glob("v0*.py"))
Settings.load()
print(place, len(flights.graph.nodes))
"""


@pytest.fixture(scope="module")
def python(open_folder: Path) -> Path:
    """The interpreter of an environment that has the wheel, and the packages it needs from this one.

    The wheel holds Python only, so unpacking it is installing it. What stands in a .pth file is put on the path, but the .pth
    files there are not read: the checkout that this environment is installed from stays out.
    """
    built = open_folder / "wheel"
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(built)]
    done = subprocess.run(build, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    [wheel] = built.glob("wfplatform-*.whl")
    assert wheel.name.endswith("-py3-none-any.whl")
    place = open_folder / "environment"
    venv.create(place, symlinks=True, with_pip=False)
    site = Path(sysconfig.get_path("purelib", "venv", {"base": str(place)}))
    zipfile.ZipFile(wheel).extractall(site)
    (site / "needed.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
    return place / "bin" / "python"


def asked(python: Path, code: str, *arguments: str, home: Path) -> str:
    """What a program prints, far from the checkout."""
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    done = subprocess.run(
        [str(python), "-c", code, *arguments],
        cwd=home,
        env={**environment, "WFP_HOME": str(home / "home")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_everything_needed_is_inside(python: Path, tmp_path: Path) -> None:
    place, nodes = asked(python, INSIDE, home=tmp_path).split()
    assert Path(place).is_relative_to(python.parents[1])
    assert nodes == "21"


def test_the_command_answers(python: Path, tmp_path: Path) -> None:
    assert "Run workflows" in asked(python, COMMAND, "--help", home=tmp_path)
    assert asked(python, COMMAND, "--version", home=tmp_path).startswith("wfp 0.")


@pytest.mark.full
@pytest.mark.timeout(300)
def test_the_demonstration_runs_from_the_wheel(python: Path, open_folder: Path) -> None:
    home = open_folder / "from-wheel"
    home.mkdir(mode=0o755)
    try:
        assert "Delays by carrier" in asked(python, COMMAND, "demo", home=home)
    finally:
        asked(python, COMMAND, "down", home=home)
