"""What travels with a function, what is refused and by which name, and one digest everywhere."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import textwrap
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import wfplatform
from wfplatform import node, workflow
from wfplatform.authoring.code import ByReference, ByValue, Code
from wfplatform.authoring.travel import dump_constant, function_digest, pack
from wfplatform.errors import TravelError

ROOT = Path(wfplatform.__file__).parents[1]


def files(folder: Path, **content: str) -> Path:
    """Write Python modules; `__` in a name stands for `.`, and `__top` for a package itself."""
    for name, text in content.items():
        path = folder / (name.replace("__", "/").replace("/top", "/__init__") + ".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))
    return folder


def python(code: str | Path, folder: Path, seed: str = "0") -> str:
    """Run code in a fresh process whose import root is `folder`."""
    arguments = [str(code)] if isinstance(code, Path) else ["-c", textwrap.dedent(code)]
    done = subprocess.run(
        [sys.executable, "-W", "error", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": seed, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def made(source: str, name: str = "f", **scope: Any) -> Callable[..., Any]:
    """A function as a notebook would have it."""
    scope = {"__name__": "__main__", **scope}
    exec(textwrap.dedent(source), scope)
    return scope[name]  # type: ignore[no-any-return]


def value_of(code: Code, key: str) -> ByValue:
    entry = code.functions[key]
    assert isinstance(entry, ByValue)
    return entry


class TestByReference:
    def test_an_installed_function_brings_nothing(self) -> None:
        code = pack({"mean": statistics.mean, "percentile": np.percentile})
        assert code.functions["mean"] == ByReference(
            module="statistics", qualname="mean", digest=function_digest(statistics.mean).value
        )
        assert isinstance(code.functions["percentile"], ByReference)
        assert dict(code.sources) == {}
        assert dict(code.requirements) == {"numpy": np.__version__}

    def test_a_project_module_brings_its_package_and_what_it_imports(self, tmp_path: Path) -> None:
        files(
            tmp_path,
            flows__top="",
            flows__etl="""
                from . import tables
                from .deep.inner import VALUE

                def load():
                    import lazily
                    from helper import g
                    return g(VALUE)
                """,
            flows__tables="import numpy",
            flows__deep__inner="VALUE = 1",
            helper="""
                import importlib
                try:
                    import pandas
                except ImportError:
                    pandas = None
                named = importlib.import_module("by_name")
                def g(x): return x
                """,
            by_name="",
            lazily="import absent_package",
            unrelated="",
        )
        (tmp_path / "flows" / "query.sql").write_text("select 1")
        (tmp_path / "flows" / ".git").mkdir()
        (tmp_path / "flows" / ".git" / "x.py").write_text("")
        answer = python(
            """
            from wfplatform.authoring.travel import pack
            from flows.etl import load
            code = pack({"load": load})
            print(sorted(code.sources), dict(code.requirements).keys(), code.functions["load"].qualname)
            """,
            tmp_path,
        )
        expected = [
            "by_name.py", "flows/__init__.py", "flows/deep/inner.py", "flows/etl.py", "flows/query.sql",
            "flows/tables.py", "helper.py", "lazily.py",
        ]  # fmt: skip
        assert answer == f"{expected} dict_keys(['numpy']) load"

    def test_a_decorated_node_is_unwrapped(self, tmp_path: Path) -> None:
        files(tmp_path, flow="from wfplatform import node\n@node\ndef f(x: int) -> int:\n    return x\n")
        answer = python(
            "import flow; from wfplatform.authoring.travel import pack; print(pack({'f': flow.f}).functions['f'])",
            tmp_path,
        )
        assert answer.startswith("ByReference(module='flow', qualname='f', digest='")

    def test_too_many_bytes_are_refused_with_the_largest_file(self, tmp_path: Path) -> None:
        files(tmp_path, big__top="def f(): pass")
        (tmp_path / "big" / "data.parquet").write_bytes(bytes(11 * 1024 * 1024))
        answer = python(
            """
            from wfplatform.authoring.travel import pack
            from wfplatform.errors import TravelError
            import big
            try:
                pack({"f": big.f})
            except TravelError as error:
                print(error.code, error.message)
            """,
            tmp_path,
        )
        assert answer.startswith("sources_too_large")
        assert "big/data.parquet (11534336 bytes)" in answer


STALE = """
    import pathlib, warnings
    import wfp_flow
    from wfplatform.authoring.travel import pack
    path = pathlib.Path(wfp_flow.__file__)
    path.write_text({text!r})
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        entry = pack({{"f": wfp_flow.f}}).functions["f"]
    print(len(caught), entry.digest is None, entry.reason)
    """


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (
            "# moved\n\n\nclass C:\n    def m(self): return 1\n\n\ndef f(x):\n    'Says what.'\n    return x\n",
            "0 False ",
        ),
        (
            "class C:\n    def m(self): return 2\ndef f(x): return x",
            "1 True changed on disk since it was imported: wfp_flow",
        ),
        ("def f(x): return x + 1", "1 True changed on disk since it was imported: wfp_flow"),
        ("def f(x", "1 True changed on disk since it was imported: wfp_flow"),
    ],
)
def test_a_module_that_was_edited_since(tmp_path: Path, text: str, answer: str) -> None:
    files(tmp_path, wfp_flow="class C:\n    def m(self): return 1\ndef f(x): return x")
    assert python(STALE.format(text=text), tmp_path) == answer.strip()


class TestByValue:
    def test_a_script_sends_its_functions_and_the_modules_they_use(self, tmp_path: Path) -> None:
        files(
            tmp_path,
            helper="def double(x): return 2 * x",
            lazily="def one(): return 1",
            script="""
                import helper
                from wfplatform.authoring.travel import pack

                LIMIT = 3

                def f(x):
                    import lazily
                    return helper.double(x) + lazily.one() + LIMIT

                code = pack({"f": f})
                print(type(code.functions["f"]).__name__, sorted(code.sources))
                print(code.listings[0].blocks[0][0], code.listings[0].blocks[0][1].splitlines()[0])
                """,
        )
        assert python(tmp_path / "script.py", tmp_path).splitlines() == [
            "ByValue ['helper.py', 'lazily.py']",
            "7 def f(x):",
        ]

    def test_closures_and_lambdas_travel_by_value(self) -> None:
        def outer(step: int) -> Callable[[int], int]:
            return lambda x: x + step

        code = pack({"a": outer(1), "b": outer(2)})
        assert value_of(code, "a").digest != value_of(code, "b").digest
        assert pack({"a": outer(1)}).digest == pack({"a": outer(1)}).digest

    def test_values_in_constants_bring_their_modules(self, tmp_path: Path) -> None:
        files(tmp_path, shapes="class Box: ...")
        answer = python(
            """
            import shapes
            from wfplatform.authoring.travel import dump_constant, pack
            print(sorted(pack({}, {"d": dump_constant([shapes.Box()])}).sources))
            print(sorted(pack({}, {}, {"box": list[shapes.Box] | None}).sources))
            """,
            tmp_path,
        )
        assert answer.splitlines() == ["['shapes.py']", "['shapes.py']"]


class TestRefused:
    def test_a_lock_in_a_closure(self) -> None:
        lock = threading.Lock()

        def guarded() -> bool:
            return lock.locked()

        with pytest.raises(TravelError, match=r"guarded.*closure variable 'lock' is of type _thread.lock") as caught:
            pack({"guarded": guarded})
        assert caught.value.facts["path"] == "its closure variable 'lock'"
        assert "inside the function" in caught.value.hint

    def test_a_lambda_by_the_name_it_was_given(self) -> None:
        lock = threading.Lock()
        with pytest.raises(TravelError, match=r"Function 'guarded' cannot travel .*closure variable 'lock'"):
            pack({"k": lambda: lock}, names={"k": "guarded"})

    @pytest.mark.parametrize(
        ("scope", "path", "kind"),
        [
            ({"thing": (n for n in "abc")}, "its global 'thing'", "generator"),
            ({"thing": {"a": [1, threading.RLock()]}}, "its global 'thing'['a'][1]", "_thread.RLock"),
            ({"thing": threading.Thread()}, "its global 'thing'", "_thread"),
        ],
    )
    def test_globals_by_the_way_to_the_culprit(self, scope: dict[str, Any], path: str, kind: str) -> None:
        with pytest.raises(TravelError) as caught:
            pack({"f": made("def f(): return thing", **scope)})
        assert caught.value.facts["path"].startswith(path)
        assert kind in caught.value.facts["type"]
        assert "Function 'f'" in caught.value.message

    def test_an_open_file_even_though_cloudpickle_would_copy_it(self, tmp_path: Path) -> None:
        (tmp_path / "x.txt").write_text("x")
        with (
            (tmp_path / "x.txt").open() as opened,
            pytest.raises(TravelError, match=r"default of 'source' is of type _io.TextIOWrapper") as caught,
        ):
            pack({"f": made("def f(source=opened): ...", opened=opened)})
        assert "Pass the path" in caught.value.hint

    def test_a_connection_of_a_helper(self) -> None:
        import sqlite3

        connection = sqlite3.connect(":memory:")
        scope: dict[str, Any] = {"connection": connection, "__name__": "__main__"}
        exec("def helper(): return connection", scope)
        try:
            with pytest.raises(
                TravelError, match=r"global 'helper', there global 'connection' is of type sqlite3.Conn"
            ):
                pack({"f": made("def f(): return helper()", **scope)})
        finally:
            connection.close()

    def test_large_data_in_a_closure(self) -> None:
        data = np.zeros(9_000_000)
        with pytest.raises(TravelError, match="largest part is function 'f'") as caught:
            pack({"f": lambda: data[0]})
        assert caught.value.code == "code_too_large"

    def test_a_temporary_folder(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            assert folder
        holder = tempfile.TemporaryDirectory()
        try:
            with pytest.raises(TravelError, match=r"tempfile\.TemporaryDirectory"):
                pack({"f": lambda: holder.name})
        finally:
            holder.cleanup()


SCRIPT = """
    import dataclasses, enum, re, logging
    import numpy as np
    import pydantic
    import helper
    from wfplatform.authoring.travel import function_digest, pack

    WORDS = frozenset({"a", "b", "c", "delta", "epsilon"})
    TABLE = {"x": {1, 2, 3}, "y": np.arange(3)}
    PATTERN = re.compile("x+")
    LOG = logging.getLogger("user")

    class Colour(enum.Enum):
        RED = "red"

    @dataclasses.dataclass
    class Row:
        number: int = 1
        words: list = dataclasses.field(default_factory=list)
        def total(self):
            return self.number + len(self.words)

    class Model(pydantic.BaseModel):
        number: int = 1

    def inner(x, *, y=WORDS):
        class Local:
            attribute = 3
        return [w for w in y if x in {"p", "q", "r"}] + [Local.attribute]

    def f(x=Colour.RED):
        LOG.info("x")
        return inner(x), TABLE, PATTERN, Row(), Model, helper.double(1)

    code = pack({"f": f, "g": helper.double}, {}, {"a": Row, "b": Model, "c": Colour, "d": list[int] | None})
    print(code.digest, function_digest(f))
    """


class TestDigest:
    def test_it_is_the_same_in_every_process(self, tmp_path: Path) -> None:
        answers = set()
        for number, seed in enumerate(("0", "1", "7")):
            folder = files(tmp_path / str(number), script=SCRIPT, helper="def double(x): return {'a', 'b', 'c'}")
            answers.add(python(folder / "script.py", folder, seed))
        assert len(answers) == 1
        assert "value=None" not in answers.pop()

    @pytest.mark.parametrize(
        ("changed", "by"),
        [
            ("return [w for w in y", "return [w.x for w in y"),
            ("attribute = 3", "attribute = 4"),
            ('"epsilon"', '"zeta"'),
            ('"y": np.arange(3)', '"y": np.arange(4)'),
            ("self.number + len", "self.number - len"),
            ("number: int = 1\n\n    def inner", "number: int = 2\n\n    def inner"),
            ('RED = "red"', 'RED = "blue"'),
            ("x=Colour.RED", "x=1"),
        ],
    )
    def test_what_a_function_reaches_counts(self, tmp_path: Path, changed: str, by: str) -> None:
        assert changed in SCRIPT
        files(tmp_path, script=SCRIPT, helper="def double(x): return x", other=SCRIPT.replace(changed, by))
        assert python(tmp_path / "script.py", tmp_path) != python(tmp_path / "other.py", tmp_path)

    @pytest.mark.parametrize(
        ("helper", "same"),
        [
            ("# a comment\n\n\ndef double(x):\n    '''Says what.'''\n    # says why\n    return  x\n", True),
            ("def unused(): return 5\ndef double(x): return x", True),
            ("def double(x): return x + 1", False),
            ("STEP = 1\ndef double(x): return (x, STEP)", False),
        ],
    )
    def test_helpers_count_looks_do_not(self, tmp_path: Path, helper: str, same: bool) -> None:
        script = "import helper\nfrom wfplatform.authoring.travel import function_digest\n"
        script += "def f(x):\n    return helper.double(x)\nprint(function_digest(f))"
        answers = []
        for name, text in (("a", "def double(x): return x"), ("b", helper)):
            folder = files(tmp_path / name, helper=text, script=script)
            answers.append(python(folder / "script.py", folder))
        assert (answers[0] == answers[1]) is same

    def test_docstring_and_place_do_not_count(self) -> None:
        plain = made("def f(x):\n    return x + 1")
        dressed = made("# comment\n\n\ndef f(x: int) -> int:\n    'Says what.'\n    return (\n  x + 1)")
        assert function_digest(plain) == function_digest(dressed)

    def test_recursion_ends(self) -> None:
        assert function_digest(made("def f(x): return g(x)\ndef g(x): return f(x)")).value

    def test_what_has_no_content_gives_the_reason(self) -> None:
        found = function_digest(made("def f(): return lock", lock=threading.Lock()))
        assert found.value is None
        assert found.reason == "global 'lock': an object of type _thread.lock has no content that could be compared"

    def test_a_node_type_of_the_platform_is_analysed(self) -> None:
        from wfplatform.examples import flights_data

        functions = [item for item in vars(flights_data).values() if callable(item) and hasattr(item, "__module__")]
        assert any(function_digest(item).value for item in functions)


def test_bytes_and_back() -> None:
    code = pack({"f": lambda x: x, "m": statistics.mean}, {"d": dump_constant(1)}, {"p": int})
    assert Code.from_bytes(code.to_bytes()) == code


@pytest.mark.parametrize("content", [b"", b"\x80", b"\xc1", b"\x93\x01\x02\x03"])
def test_other_bytes_are_refused(content: bytes) -> None:
    with pytest.raises(TravelError, match=r"other bytes|something else"):
        Code.from_bytes(content)


def test_a_newer_format_is_refused() -> None:
    import msgpack

    with pytest.raises(TravelError, match="format 99"):
        Code.from_bytes(msgpack.packb({"format": 99}))


def test_a_parameter_of_the_workflow_inside_a_function_is_named_as_such() -> None:
    @workflow
    def drawn(n: int = 1) -> object:
        @node
        def added(x: int) -> int:
            return x + n

        return added(1)

    with pytest.raises(TravelError, match="its closure variable 'n' is of type") as caught:
        drawn.version  # noqa: B018 - drawing it is what is refused
    assert "give it to the node as an argument" in caught.value.hint
