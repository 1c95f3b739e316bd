"""What every module of the package looks like."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from tests.house.tree import ROOT, SOURCE, Module, modules, words

LINES = 400
NOT_A_NAME = {"base", "helper", "helpers", "impl", "manager", "util", "utils"}
NOT_OUR_WORD = {"Dag", "DAG", "Flow", "Instance", "Job", "Pipeline", "Step", "Task"}
NOT_A_MODULE = NOT_A_NAME | {"common", "misc", "stuff", "tools"}
WITHOUT_UNIT = {"age", "delay", "duration", "elapsed", "interval", "timeout", "ttl"}
STATE = {"dict", "list", "set", "defaultdict", "deque", "OrderedDict", "Counter", "Lock", "RLock"}
STATE |= {"WeakKeyDictionary", "WeakSet", "WeakValueDictionary"}

SQL = re.compile(
    r"""^\s*(?:
        select\s+[\w*"(].*?\bfrom\b | insert\s+into\b | update\s+[\w".]+\s+set\b | delete\s+from\b |
        create\s+(?:table|index|unique|role|schema|database|policy)\b | alter\s+(?:table|role)\b |
        drop\s+(?:table|index|role|schema|database)\b | truncate\s+table\b |
        (?:un)?listen\s+\w+\s*;?$ | copy\s+[\w".]+\s*(?:\([^)]*\)\s*)?(?:from|to)\s+\w+
    )""",
    re.IGNORECASE | re.VERBOSE | re.DOTALL,
)


def migration(module: Module) -> bool:
    """Whether a module is a step of the schema, which Alembic loads by its path."""
    return ".migrations." in module.name


def docstrings(module: Module) -> set[ast.AST]:
    """The nodes that are documentation."""
    return {
        node.body[0].value
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }


def definitions(module: Module) -> Iterator[ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef]:
    """Classes and functions, inner ones too."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def test_a_module_is_short() -> None:
    long = {
        str(module.path.relative_to(ROOT)): count for module in modules() if (count := module.text.count("\n")) > LINES
    }
    assert long == {}


def test_a_module_says_what_it_is() -> None:
    silent = [module.name for module in modules() if module.text.strip() and not ast.get_docstring(module.tree)]
    assert silent == []


def test_a_public_module_lists_what_is_public() -> None:
    open_ended = [
        module.name
        for module in modules()
        if module.public
        and module.text.strip()
        and not migration(module)
        and not module.name.endswith("__main__")
        and not any(
            isinstance(target, ast.Name) and target.id == "__all__"
            for node in module.tree.body
            if isinstance(node, ast.Assign | ast.AnnAssign)
            for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
        )
        # A package of plain modules has nothing of its own to list.
        and not (module.path.name == "__init__.py" and len(module.tree.body) == 1)
    ]
    assert open_ended == []


def test_no_module_is_a_drawer() -> None:
    assert [module.name for module in modules() if NOT_A_MODULE & set(module.name.split("."))] == []


def test_a_class_is_called_by_what_it_is() -> None:
    vague = [
        f"{module.at(node)} {node.name}"
        for module in modules()
        for node in definitions(module)
        if isinstance(node, ast.ClassDef)
        and (NOT_A_NAME & set(words(node.name)) or node.name.strip("_") in NOT_OUR_WORD)
    ]
    assert vague == [], "see docs/glossary.md for the words"


def test_a_number_is_named_with_its_unit() -> None:
    bare = [
        f"{module.at(node)} {name}"
        for module in modules()
        for node in ast.walk(module.tree)
        for name, annotation in annotated(node)
        if words(name)[-1:] and words(name)[-1] in WITHOUT_UNIT and re.search(r"\b(int|float)\b", annotation)
    ]
    assert bare == [], "timeout_s, size_bytes, length_rows"


def test_an_instant_is_named_at() -> None:
    bare = [
        f"{module.at(node)} {node.target.id}"
        for module in modules()
        for owner in definitions(module)
        if isinstance(owner, ast.ClassDef)
        for node in owner.body
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
        if re.fullmatch(r"(Mapped\[)?(datetime\.)?datetime( \| None)?\]?", ast.unparse(node.annotation))
        and not re.fullmatch(r"at|now|\w+_at", node.target.id)
    ]
    assert bare == []


def annotated(node: ast.AST) -> Iterator[tuple[str, str]]:
    """Fields and arguments with what they are declared to be."""
    if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
        yield node.target.id, ast.unparse(node.annotation)
    if isinstance(node, ast.arg) and node.annotation:
        yield node.arg, ast.unparse(node.annotation)


def test_a_module_keeps_no_state() -> None:
    kept = []
    for module in modules():
        for node in module.tree.body:
            if not isinstance(node, ast.Assign | ast.AnnAssign) or node.value is None:
                continue
            value = node.value
            empty = isinstance(value, ast.List | ast.Set) and not value.elts
            empty = empty or (isinstance(value, ast.Dict) and not value.keys)
            if isinstance(value, ast.Call):
                empty = ast.unparse(value.func).rpartition(".")[2] in STATE and not value.args
            if empty and "__all__" not in ast.unparse(node):
                kept.append(f"{module.at(node)} {ast.unparse(node)}")
    assert kept == [], "hand it to the constructor, or use a ContextVar"


def test_sql_stands_in_store_only() -> None:
    # Nodes that query a user's database carry the user's SQL, never their own.
    places = [
        f"{module.at(node)} {node.value.strip()[:60]!r}"
        for module in modules()
        if module.layer != "store"
        for documentation in [docstrings(module)]
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in documentation
        if SQL.match(node.value)
    ]
    assert places == []


def test_the_sql_pattern_knows_sql() -> None:
    known = [
        "select id from execution", "SELECT * FROM t", "insert into t values (1)", "update t set epoch = 1",
        "delete from t", "LISTEN wfp_command", "copy t (a, b) from stdin", "\n create table t (a int)",
    ]  # fmt: skip
    prose = [
        "select a node",
        "listen on loopback only",
        "update the plan",
        "copy of a value",
        "drop what is old",
    ]
    assert [text for text in known if not SQL.match(text)] == []
    assert [text for text in prose if SQL.match(text)] == []


def test_no_error_is_swallowed() -> None:
    swallowed = [
        module.at(node)
        for module in modules()
        for node in ast.walk(module.tree)
        if (
            isinstance(node, ast.ExceptHandler)
            and (node.type is None or ast.unparse(node.type) in {"Exception", "BaseException"})
            and all(isinstance(line, ast.Pass | ast.Continue) for line in node.body)
        )
        or (isinstance(node, ast.Call) and re.search(r"\bsuppress\((Base)?Exception\)$", ast.unparse(node)))
    ]
    assert swallowed == []


def test_every_folder_of_modules_is_a_package() -> None:
    """Else import-linter and mypy pass it by without a word."""
    folders = {module.path.parent for module in modules() if not migration(module)}
    assert [str(folder.relative_to(ROOT)) for folder in folders if not (folder / "__init__.py").is_file()] == []


def test_the_package_is_there() -> None:
    assert (SOURCE / "__init__.py").is_file()
    assert (SOURCE / "py.typed").is_file(), "the package says that it is typed"
