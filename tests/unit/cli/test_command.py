"""How functions become commands: options on every level, errors in words, exit codes."""

from __future__ import annotations

import errno
import json
import subprocess
import sys

import pytest
import typer
from typer.testing import CliRunner

from wfplatform.cli.command import command, command_group
from wfplatform.cli.root import application
from wfplatform.cli.screen import Screen
from wfplatform.errors import NotFoundError, UnreachableError, WfError


@pytest.fixture
def root() -> typer.Typer:
    made = typer.Typer()

    @made.callback()
    def options(as_json: bool = typer.Option(False, "--json"), debug: bool = False) -> None: ...

    group = command_group("things", "Things.")

    def show(screen: Screen, name: str, loud: bool = False) -> int:
        """Show a thing."""
        match name:
            case "missing":
                raise NotFoundError("thing_not_found", "There is no [thing].", "Make one.")
            case "silent":
                raise UnreachableError("silent", "Nobody answers.")
            case "failed":
                raise WfError("failed", "It failed.")
            case "stop":
                raise KeyboardInterrupt
            case "full":
                raise OSError(errno.ENOSPC, "No space left on device", "/data/x")
            case "defect":
                raise ZeroDivisionError("division by zero")
        screen.document({"name": name, "loud": loud})
        screen.say(f"thing [{name}]")
        return 0

    command(group)(show)
    made.add_typer(group)
    return made


@pytest.mark.parametrize(
    "words",
    [["--json", "things", "show", "a"], ["things", "--json", "show", "a"], ["things", "show", "a", "--json"]],
)
def test_json_is_taken_on_every_level(root: typer.Typer, words: list[str]) -> None:
    done = CliRunner().invoke(root, words)
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout) == {"name": "a", "loud": False}


def test_text_is_never_taken_for_markup(root: typer.Typer) -> None:
    assert CliRunner().invoke(root, ["things", "show", "red"]).stdout == "thing [red]\n"


@pytest.mark.parametrize(
    ("name", "code", "said"),
    [
        ("missing", 2, "There is no [thing].\nMake one.\n"),
        ("silent", 3, "Nobody answers.\n"),
        ("failed", 1, "It failed.\n"),
        ("stop", 130, "Interrupted.\n"),
        (
            "full",
            3,
            (
                "The operating system refused something: No space left on device: /data/x.\n"
                "See to the rights, the room or the connection it speaks of; --debug shows where it happened.\n"
            ),
        ),
        (
            "defect",
            1,
            (
                "This should not have happened: ZeroDivisionError: division by zero\n"
                "It is a defect of wfplatform; --debug shows where, and a report of it helps.\n"
            ),
        ),
    ],
)
def test_errors_are_words_on_standard_error(root: typer.Typer, name: str, code: int, said: str) -> None:
    done = CliRunner().invoke(root, ["things", "show", name])
    assert (done.exit_code, done.stderr, done.stdout) == (code, said, "")


def test_an_error_is_a_document_for_programs(root: typer.Typer) -> None:
    done = CliRunner().invoke(root, ["things", "show", "missing", "--json"])
    assert json.loads(done.stdout)["error"] == {
        "code": "thing_not_found",
        "message": "There is no [thing].",
        "hint": "Make one.",
    }


def test_a_traceback_is_shown_to_who_asks(root: typer.Typer) -> None:
    assert "Traceback" not in CliRunner().invoke(root, ["things", "show", "missing"]).stderr
    assert "Traceback" in CliRunner().invoke(root, ["things", "show", "missing", "--debug"]).stderr
    assert "ZeroDivisionError" in CliRunner().invoke(root, ["things", "show", "defect", "--debug"]).stderr


def test_every_command_explains_itself_and_takes_json() -> None:
    commands = [
        ["demo"], ["run"], ["up"], ["down"], ["status"],
        ["workflows", "list"], ["workflows", "show"], ["db", "status"], ["db", "upgrade"],
        *(["executions", name] for name in ("list", "show", "logs", "cancel", "retry")),
    ]  # fmt: skip
    for words in commands:
        done = CliRunner().invoke(application(), [*words, "--help"])
        assert done.exit_code == 0, done.output
        assert "--json" in done.stdout
        assert "--debug" in done.stdout
        assert "\x1b" not in done.stdout


def test_what_is_not_a_command_is_a_mistake_in_use() -> None:
    assert CliRunner().invoke(application(), ["nonsense"]).exit_code == 2
    assert CliRunner().invoke(application(), ["executions", "list", "--limit", "0"]).exit_code == 2


@pytest.mark.parametrize(
    ("words", "said", "asked"),
    [
        (["--json", "nonsense"], "nonsense", "wfp"),
        (["--json", "--nonsense"], "--nonsense", "wfp"),
        (["status", "--nonsense", "--json"], "--nonsense", "wfp status"),
        (["executions", "--json", "show"], "Missing argument 'ID'", "wfp executions show"),
        (["executions", "list", "--limit", "0", "--json"], "--limit", "wfp executions list"),
        (["executions", "list", "--limit", "many", "--json"], "valid integer", "wfp executions list"),
        (["--json", "executions"], "expects a command", "wfp executions"),
        (["--json"], "Missing command", "wfp"),
    ],
)
def test_a_mistake_in_use_is_a_document_for_programs(words: list[str], said: str, asked: str) -> None:
    done = CliRunner().invoke(application(), words, prog_name="wfp")
    assert done.exit_code == 2
    found = json.loads(done.stdout)["error"]
    assert found["code"] == "usage"
    assert said in found["message"]
    assert found["hint"] == f"`{asked} --help` tells what it takes."
    assert done.stderr


def test_a_mistake_in_use_is_no_document_for_people() -> None:
    for words in (["nonsense"], ["status", "--nonsense"], ["executions", "show", "--", "a", "--json"]):
        done = CliRunner().invoke(application(), words, prog_name="wfp")
        assert (done.exit_code, done.stdout) == (2, "")
        assert "Error" in done.stderr


def test_the_table_of_commands_loads_nothing_heavy() -> None:
    """What makes `wfp --help` quick, whatever the machine."""
    code = (
        "import sys; from typer.testing import CliRunner; import io, contextlib\n"
        "from wfplatform.cli.root import application\n"
        "try:\n"
        "    with contextlib.redirect_stdout(io.StringIO()):\n"
        "        application()(['--help'], prog_name='wfp')\n"
        "except SystemExit as end:\n"
        "    assert end.code == 0\n"
        "print(*sorted({name.partition('.')[0] for name in sys.modules}))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    heavy = {
        "alembic", "dask", "distributed", "numpy", "pandas", "psycopg", "pyarrow", "pydantic", "rich", "sqlalchemy",
        "sqlmodel",
    }  # fmt: skip
    assert heavy & set(done.stdout.split()) == set()
