"""Programs on a worker: functions that work far from where they were written, and versions side by side."""

from __future__ import annotations

import importlib
import os
import pickle
import shutil
import statistics
import subprocess
import sys
import textwrap
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgpack
import pytest

import wfplatform
from wfplatform.authoring.call import caller
from wfplatform.authoring.code import Code
from wfplatform.authoring.travel import dump_constant, pack
from wfplatform.core.canonical import canonical_json, digest
from wfplatform.core.requirement import PYTHON, Mismatch, missing_requirements
from wfplatform.errors import TravelError
from wfplatform.worker.failure import describe_error
from wfplatform.worker.program import Program, environment
from wfplatform.worker.project import project

ROOT = Path(wfplatform.__file__).parents[1]


@pytest.fixture(autouse=True)
def same_modules_afterwards() -> Iterator[None]:
    before = dict(sys.modules)
    finders = list(sys.meta_path)
    # Without what programs that ran in this process before have left.
    sys.meta_path[:] = [one for one in finders if type(one).__module__ != project.__module__]
    yield
    sys.meta_path[:] = finders
    for name in set(sys.modules) - set(before):
        if name.startswith("wfp_test_"):
            del sys.modules[name]


def packed(folder: Path, sources: Mapping[str, str], script: str) -> bytes:
    """What another process, in which the sources can be imported, packs."""
    for path, text in sources.items():
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(textwrap.dedent(text))
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "script.py").write_text(textwrap.dedent(script))
    done = subprocess.run(
        [sys.executable, "-W", "error", str(folder / "script.py")],
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


WRITE = "import sys; from wfplatform.authoring.travel import *; sys.stdout.buffer.write(pack({%s}).to_bytes())"


def version(folder: Path, number: int) -> bytes:
    sources = {
        "wfp_test_flow/__init__.py": "",
        "wfp_test_flow/nodes.py": f"""
            from wfp_test_helper import NUMBER, Box
            from .own import OWN

            def now():
                return (NUMBER, OWN, {number})

            def later():
                from wfp_test_helper import NUMBER
                from . import own
                from .lazy import LAZY
                return (NUMBER, own.OWN, LAZY)

            def boxed():
                return Box({number})
            """,
        "wfp_test_flow/own.py": f"OWN = {number}",
        "wfp_test_flow/lazy.py": f"LAZY = {number}",
        "wfp_test_helper.py": f"""
            NUMBER = {number}
            class Box:
                def __init__(self, content):
                    self.content = (NUMBER, content)
            """,
    }
    script = f"""
        import sys
        from wfplatform.authoring.travel import pack
        from wfp_test_flow.nodes import now, later, boxed
        def scripted():
            import wfp_test_helper
            def inner():
                from wfp_test_flow.own import OWN
                return OWN
            return (wfp_test_helper.NUMBER, inner(), {number})
        functions = {{"now": now, "later": later, "boxed": boxed, "scripted": scripted}}
        sys.stdout.buffer.write(pack(functions).to_bytes())
        """
    return packed(folder / str(number), sources, script)


class TestFunctions:
    def test_they_work_where_their_project_is_not(self, tmp_path: Path) -> None:
        program = Program.load(version(tmp_path, 1), tmp_path / "programs")
        assert program.function("now")() == (1, 1, 1)
        assert program.function("later")() == (1, 1, 1)
        assert program.function("scripted")() == (1, 1, 1)
        assert program.function("now") is program.function("now")

    def test_nothing_of_the_user_runs_at_load(self, tmp_path: Path) -> None:
        content = packed(
            tmp_path,
            {"wfp_test_loud.py": "import sys\nif 'pytest' in sys.modules: raise RuntimeError('loud')\ndef f(): ..."},
            "import wfp_test_loud\n" + WRITE % "'f': wfp_test_loud.f",
        )
        program = Program.load(content, tmp_path / "programs")
        with pytest.raises(RuntimeError, match="loud"):
            program.function("f")

    def test_an_installed_function_is_just_imported(self, tmp_path: Path) -> None:
        program = Program.load(pack({"mean": statistics.mean}).to_bytes(), tmp_path)
        assert program.function("mean") is statistics.mean

    def test_a_node_is_unwrapped(self, tmp_path: Path) -> None:
        content = packed(
            tmp_path,
            {"wfp_test_nodes.py": "from wfplatform import node\n@node\ndef f(x: int) -> int:\n    return x + 1\n"},
            "import wfp_test_nodes\n" + WRITE % "'f': wfp_test_nodes.f",
        )
        function = Program.load(content, tmp_path / "programs").function("f")
        assert type(function).__name__ == "function"
        assert function(1) == 2

    def test_in_the_process_that_packed_it_is_the_same_function(self, tmp_path: Path) -> None:
        content = pack({"v": version}).to_bytes()
        assert Program.load(content, tmp_path).function("v") is version

    def test_namespace_packages(self, tmp_path: Path) -> None:
        content = packed(
            tmp_path,
            {
                "wfp_test_space/sub/mod.py": "from ..other import V\ndef f(): return V",
                "wfp_test_space/other.py": "V = 3",
            },
            "from wfp_test_space.sub.mod import f\n" + WRITE % "'f': f",
        )
        assert Program.load(content, tmp_path / "programs").function("f")() == 3

    def test_data_files_of_a_package(self, tmp_path: Path) -> None:
        content = packed(
            tmp_path,
            {
                "wfp_test_data/__init__.py": "",
                "wfp_test_data/query.sql": "select 1",
                "wfp_test_data/mod.py": """
                    from importlib.resources import files
                    def f(): return files("wfp_test_data").joinpath("query.sql").read_text()
                    """,
            },
            "from wfp_test_data.mod import f\n" + WRITE % "'f': f",
        )
        assert Program.load(content, tmp_path / "programs").function("f")() == "select 1"


class TestVersions:
    def test_two_of_one_module_in_one_process(self, tmp_path: Path) -> None:
        programs = [Program.load(version(tmp_path, number), tmp_path / "programs") for number in (1, 2)]
        names = ("now", "later", "scripted")
        functions = [{name: program.function(name) for name in names} for program in programs]
        for _ in range(2):  # whichever was used last
            for number in (0, 1):
                for name in names:
                    assert functions[number][name]() == (number + 1,) * 3, name

    def test_values_are_pickled_by_the_version_that_made_them(self, tmp_path: Path) -> None:
        programs = [Program.load(version(tmp_path, number), tmp_path / "programs") for number in (1, 2)]
        boxes = [program.function("boxed")() for program in programs]
        for program, box in zip(programs, boxes, strict=True):
            with program.active():
                content = pickle.dumps(box)
            again = program.loads(content)
            assert type(again) is type(box)
            assert again.content == box.content
        assert type(boxes[0]) is not type(boxes[1])

    def test_from_many_threads(self, tmp_path: Path) -> None:
        programs = [Program.load(version(tmp_path, number), tmp_path / "programs") for number in (1, 2, 3)]
        wrong: list[Any] = []

        def work(number: int) -> None:
            for _ in range(100):
                for name in ("now", "later", "scripted"):
                    found = programs[number].function(name)()
                    if found != (number + 1,) * 3:
                        wrong.append((name, found))

        threads = [threading.Thread(target=work, args=(number % 3,)) for number in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert not wrong

    def test_equal_sources_are_one_project(self, tmp_path: Path) -> None:
        content = version(tmp_path, 1)
        first, second = (Program.load(content, tmp_path / "programs") for _ in range(2))
        assert first.function("now") is second.function("now")
        assert [path for path in (tmp_path / "programs").iterdir() if path.name.startswith(".new")] == []

    def test_another_projects_module_does_not_stand_in_for_an_installed_one(self, tmp_path: Path) -> None:
        shadowing = packed(
            tmp_path / "a",
            {"wfp_test_shadow.py": "def f(): return 'project'"},
            "import wfp_test_shadow\n" + WRITE % "'f': wfp_test_shadow.f",
        )
        first = Program.load(shadowing, tmp_path / "programs")
        second = Program.load(
            pack({"g": made("def g():\n    import wfp_test_shadow")}).to_bytes(), tmp_path / "programs"
        )
        assert first.function("f")() == "project"
        with pytest.raises(ModuleNotFoundError):
            second.function("g")()
        assert first.function("f")() == "project"

    def test_many_processes_lay_down_one_folder(self, tmp_path: Path) -> None:
        (tmp_path / "code").write_bytes(version(tmp_path, 1))
        loader = (
            "import sys; from pathlib import Path; from wfplatform.worker.program import Program\n"
            "program = Program.load(Path(sys.argv[1]).read_bytes(), Path(sys.argv[2]))\n"
            "print(program.function('now')())"
        )
        command = [sys.executable, "-c", loader, str(tmp_path / "code"), str(tmp_path / "programs")]
        processes = [
            subprocess.Popen(command, env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE, text=True)
            for _ in range(3)
        ]
        assert [process.communicate(timeout=60)[0].strip() for process in processes] == ["(1, 1, 1)"] * 3
        assert len(list((tmp_path / "programs").iterdir())) == 1

    def test_the_process_finds_its_own_modules_again(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        first, second = (Program.load(version(tmp_path, number), tmp_path / "programs") for number in (1, 2))
        monkeypatch.syspath_prepend(tmp_path / "1")
        own = importlib.import_module("wfp_test_flow.nodes")
        with first.active():
            assert first.function("now") is own.now  # equal files: no second copy
        with second.active():
            assert second.function("now")() == (2, 2, 2)
            assert importlib.import_module("wfp_test_flow.nodes") is not own
        assert importlib.import_module("wfp_test_flow.nodes") is own
        assert [program.function("later")() for program in (first, second)] == [(1, 1, 1), (2, 2, 2)]


class TestTracebacks:
    def test_a_project_module_shows_its_lines(self, tmp_path: Path) -> None:
        content = packed(
            tmp_path / "gone",
            {"wfp_test_broken.py": "def f(x):\n    y = 0\n    return x / y  # the user's line\n"},
            "import wfp_test_broken\n" + WRITE % "'f': wfp_test_broken.f",
        )
        assert "return x / y  # the user's line" in failed(Program.load(content, tmp_path / "programs").function("f"))

    def test_a_script_that_is_not_here_shows_its_lines(self, tmp_path: Path) -> None:
        script = (
            "import sys\nfrom wfplatform.authoring.travel import *\n\n"
            "def helper(x):\n    return x / 0  # deep\n\n\n"
            "def f(x):\n    return helper(x)  # shallow\n\n"
            "sys.stdout.buffer.write(pack({'f': f}).to_bytes())\n"
        )
        content = packed(tmp_path / "gone", {}, script)
        (tmp_path / "gone" / "script.py").write_text("something else\n" * 20)
        text = failed(Program.load(content, tmp_path / "programs").function("f"))
        assert "line 9, in f\n    return helper(x)  # shallow" in text
        assert "line 5, in helper\n    return x / 0  # deep" in text

    def test_files_are_named_as_they_were_where_it_was_packed(self, tmp_path: Path) -> None:
        content = packed(
            tmp_path / "gone",
            {
                "wfp_test_named/__init__.py": "",
                "wfp_test_named/nodes.py": """
                    from wfplatform import node

                    @node
                    def inner(x):
                        return 1 / x  # inner line

                    @node
                    def outer(x):
                        return inner(x)

                    def importing(x):
                        from wfp_test_named import late
                        return late
                    """,
                "wfp_test_named/late.py": "import os\n1 / 0  # late line\n",
            },
            "import wfp_test_named.nodes as n\n" + WRITE % "'f': n.outer, 'g': n.importing",
        )
        shutil.move(tmp_path / "gone", tmp_path / "moved")
        program = Program.load(content, tmp_path / "programs")
        file = tmp_path / "gone" / "wfp_test_named" / "nodes.py"
        assert told(program, "f") == (
            "Traceback (most recent call last):\n"
            f'  File "{file}", line 10, in outer\n    return inner(x)\n'
            f'  File "{file}", line 6, in inner\n    return 1 / x  # inner line\n'
            "ZeroDivisionError: division by zero\n"
        )
        assert told(program, "g") == (
            "Traceback (most recent call last):\n"
            f'  File "{file}", line 13, in importing\n    from wfp_test_named import late\n'
            f'  File "{file.with_name("late.py")}", line 2, in <module>\n    1 / 0  # late line\n'
            "ZeroDivisionError: division by zero\n"
        )

    def test_a_script_is_named_by_its_absolute_path(self, tmp_path: Path) -> None:
        content = packed(tmp_path / "gone", {}, "def f(x): return x / 0\n" + WRITE % "'f': f")
        program = Program.load(content, tmp_path / "programs")
        assert f'File "{tmp_path / "gone" / "script.py"}", line 1, in f' in told(program, "f")

    def test_packs_of_before_have_no_names_of_files(self) -> None:
        fields = msgpack.unpackb(pack({"f": made("def g(): ...")}).to_bytes())
        del fields["origins"]
        fields["listings"] = [[file, blocks] for file, blocks, _ in [["a.py", [[1, "x"]], ""]]]
        code = Code.from_bytes(msgpack.packb(fields))
        assert dict(code.origins) == {}
        assert [listing.shown for listing in code.listings] == [""]

    def test_where_it_was_is_no_part_of_the_digest(self, tmp_path: Path) -> None:
        sources = {"wfp_test_place.py": "def f(): ..."}
        packs = [
            Code.from_bytes(packed(tmp_path / name, sources, "import wfp_test_place as m\n" + WRITE % "'f': m.f"))
            for name in ("a", "b")
        ]
        assert packs[0].digest == packs[1].digest
        assert packs[0].origins != packs[1].origins


class TestValues:
    def test_constants_are_opened_anew(self, tmp_path: Path) -> None:
        program = Program.load(pack({}, {"d": dump_constant([1])}).to_bytes(), tmp_path)
        program.constant("d").append(2)
        assert program.constant("d") == [1]

    def test_parameter_types(self, tmp_path: Path) -> None:
        program = Program.load(pack({}, {}, {"year": int | None, "words": list[str]}).to_bytes(), tmp_path)
        assert program.parameter_type("year") == (int | None)
        assert program.parameter_type("words") == list[str]
        assert program.parameter_type("other") is None

    def test_a_model_of_a_script_is_a_model_here(self, tmp_path: Path) -> None:
        script = """
            import sys
            import pydantic
            from wfplatform.authoring.travel import *
            class Trip(pydantic.BaseModel):
                year: int = 2013
                @pydantic.field_validator("year")
                @classmethod
                def check(cls, value):
                    return value + 1
            sys.stdout.buffer.write(pack({}, {}, {"trip": Trip}).to_bytes())
            """
        program = Program.load(packed(tmp_path, {}, script), tmp_path / "programs")
        assert program.parameter_type("trip").model_validate({"year": "1"}).year == 2


class TestRefused:
    def test_unknown_names(self, tmp_path: Path) -> None:
        program = Program.load(pack({"mean": statistics.mean}).to_bytes(), tmp_path)
        with pytest.raises(TravelError, match=r"no function 'median', only \['mean'\]"):
            program.function("median")
        with pytest.raises(TravelError, match="no constant"):
            program.constant("d")

    def test_a_module_that_is_not_installed_here(self, tmp_path: Path) -> None:
        content = pack({"mean": statistics.mean}).to_bytes().replace(b"statistics", b"statistixx")
        with pytest.raises(TravelError, match="No module named 'statistixx'") as caught:
            Program.load(content, tmp_path).function("mean")
        assert caught.value.code == "function_missing"

    def test_a_name_that_is_gone(self, tmp_path: Path) -> None:
        content = pack({"mean": statistics.mean}).to_bytes()
        content = content.replace(b"\xa8qualname\xa4mean", b"\xa8qualname\xa4meen")
        with pytest.raises(TravelError, match="no attribute 'meen'"):
            Program.load(content, tmp_path).function("mean")

    def test_a_pickle_of_another_python(self, tmp_path: Path) -> None:
        code = replace(pack({"f": lambda: 1}), python="3.99")
        with pytest.raises(TravelError, match=r"Python 3\.99; this worker runs Python 3\.1"):
            Program.load(code.to_bytes(), tmp_path).function("f")

    @pytest.mark.parametrize("path", ["../evil.py", "/evil.py", "a/../../evil.py", "a\\evil.py", "c:evil.py"])
    def test_a_path_that_leads_out(self, tmp_path: Path, path: str) -> None:
        code = Code(digest="d", python="3.13", functions={}, sources={path: b""}, sources_digest=digest(path.encode()))
        with pytest.raises(TravelError, match="outside its folder"):
            Program.load(code.to_bytes(), tmp_path / "programs")
        assert list((tmp_path / "programs").iterdir()) == []

    def test_a_digest_that_leads_out(self, tmp_path: Path) -> None:
        with pytest.raises(TravelError, match="digest"):
            project({"a.py": b""}, "../out", tmp_path / "programs")


class TestRequirements:
    def test_this_environment_has_what_it_has(self) -> None:
        here = environment()
        assert here["python"] == ".".join(map(str, sys.version_info[:2]))
        assert "cloudpickle" in here["distributions"]
        assert missing_requirements({"cloudpickle": here["distributions"]["cloudpickle"]}, here) == []
        assert canonical_json(here)

    def test_pickles_need_the_python_that_made_them(self) -> None:
        here = ".".join(map(str, sys.version_info[:2]))
        assert PYTHON not in pack({"mean": statistics.mean}).requirements
        for code in (pack({"f": lambda: 1}), pack({}, {"d": dump_constant([1])}), pack({}, {}, {"n": int})):
            assert code.requirements[PYTHON] == here

    def test_what_is_missing_or_differs_is_told(self) -> None:
        there = {"python": "3.12", "distributions": {"Foo_Bar": "1.0", "pandas": "3.0"}}
        needed = {"foo-bar": "1.0", "pandas": "3.1", "polars": "1.2", PYTHON: "3.13"}
        found = missing_requirements(needed, there)
        assert [one.prevents for one in found] == [True, False, True]
        assert found == [
            Mismatch(name="Python", expected="3.13", found="3.12"),
            Mismatch(name="pandas", expected="3.1", found="3.0"),
            Mismatch(name="polars", expected="1.2", found=None),
        ]
        assert found[1].message == "pandas 3.1 is needed, 3.0 is installed."
        assert found[2].message == "polars 1.2 is needed, it is not installed."


def made(source: str) -> Callable[..., Any]:
    scope: dict[str, Any] = {"__name__": "__main__"}
    exec(source, scope)
    return scope["g"]  # type: ignore[no-any-return]


def told(program: Program, key: str) -> str:
    """What is kept of the traceback of a function, without the marks below its lines."""
    function = caller(program.function(key))
    with pytest.raises(ZeroDivisionError) as caught, program.active():
        function({"x": 0})
    error = caught.value.with_traceback(caught.value.__traceback__.tb_next)  # type: ignore[union-attr]  # this frame's own
    text = str(describe_error(error, None, program.users_file)["traceback"])
    return "".join(line for line in text.splitlines(keepends=True) if line.strip(" ~^\n"))


def failed(function: Callable[..., Any]) -> str:
    with pytest.raises(ZeroDivisionError) as caught:
        function(1)
    return "".join(traceback.format_exception(caught.value))
