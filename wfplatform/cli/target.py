"""From `MODULE:WORKFLOW` to the workflow: imports the user's module here, in the user's own process.

Refuses: guessing. A module that cannot be imported, or has no such workflow, is an error that says what is there.
"""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import sys
import traceback
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from wfplatform.authoring.workflow import Workflow
from wfplatform.errors import NotFoundError, UserError, WfError

__all__ = ["find_workflow", "workflows_in"]

_FORM: Final = "Write MODULE:WORKFLOW, such as `shop:daily` or `flows/shop.py:daily`."


def find_workflow(target: str) -> Workflow[..., Any]:
    """The workflow that is meant.

    Args:
        target: an importable module, or the path of a `.py` file; a colon; the name of the workflow, its own or that of the
            variable. A module with one workflow needs no name.

    Raises:
        NotFoundError: there is no such module, or no such workflow in it.
        UserError: the module cannot be imported, or the name is missing.
    """
    written, separator, name = target.rpartition(":") if ":" in target else (target, "", "")
    if not written.strip() or (separator and not name.strip()):
        raise UserError("bad_target", f"{target!r} names no workflow.", _FORM, got=target)
    module = _imported(written.strip())
    found = workflows_in(module)
    wanted = name.strip()
    if not wanted:
        if len(found) == 1:
            return next(iter(found.values()))
        if not found:
            raise NotFoundError("workflow_not_found", _no_workflow(written), _HOW_MADE)
        raise UserError("bad_target", f"{written} has several workflows: {', '.join(found)}.", _FORM, got=target)
    chosen = found.get(wanted) or next((one for one in found.values() if one.name == wanted), None)
    if chosen is not None:
        return chosen
    if not found:
        raise NotFoundError("workflow_not_found", _no_workflow(written), _HOW_MADE)
    other = getattr(module, wanted, None)
    what = f"{wanted} is a {type(other).__name__}, not a workflow" if other is not None else f"no workflow {wanted!r}"
    near = difflib.get_close_matches(wanted, found, n=1)
    raise NotFoundError(
        "workflow_not_found",
        f"{written} has {what}." if other is None else f"In {written}, {what}.",
        f"It has: {', '.join(found)}." + (f" Did you mean {near[0]}?" if near else ""),
        workflows=list(found),
    )


def workflows_in(module: ModuleType) -> dict[str, Workflow[..., Any]]:
    """The workflows of a module by the name of their variable; those it only imports come last."""
    own: dict[str, Workflow[..., Any]] = {}
    foreign: dict[str, Workflow[..., Any]] = {}
    for name, value in vars(module).items():
        if isinstance(value, Workflow):
            (own if getattr(value, "__module__", "") == module.__name__ else foreign)[name] = value
    return own | foreign


_HOW_MADE: Final = "Decorate a function with @workflow from wfplatform."


def _no_workflow(written: str) -> str:
    return f"{written} has no workflow."


def _imported(written: str) -> ModuleType:
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    is_path = written.endswith(".py") or "/" in written
    name = _module_at(Path(written).expanduser()) if is_path else written
    try:
        return importlib.import_module(name)
    except WfError:
        raise  # A definition that is not well formed says so itself.
    except ModuleNotFoundError as error:
        if error.name is not None and (name == error.name or name.startswith(f"{error.name}.")):
            raise NotFoundError(
                "module_not_found",
                f"There is no module {error.name!r} here.",
                f"Looked in {here} and in the environment of {sys.executable}. A file is named by its path: "
                f"{name.replace('.', '/')}.py.",
                module=error.name,
            ) from error
        raise _failed(written, error) from error
    # Importing runs the user's code, which may raise anything; `sys.exit()` too.
    except (Exception, SystemExit) as error:
        raise _failed(written, error) from error


def _failed(written: str, error: BaseException) -> UserError:
    own = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith("<frozen ")
        and frame.filename != __file__
        and "importlib" not in frame.filename
    ]
    said = "".join(traceback.format_exception_only(error)).strip()
    where = f", line {own[-1].lineno} of {own[-1].filename}" if own else ""
    return UserError(
        "module_failed",
        f"{written} cannot be imported{where}: {said}",
        "Mend it, or install what it needs; --debug shows the whole traceback.",
        module=written,
    )


def _module_at(path: Path) -> str:
    """The name under which a file can be imported, with the folder it starts from on the path."""
    whole = path.absolute()
    if not whole.is_file():
        raise NotFoundError(
            "module_not_found",
            f"There is no file {path}.",
            f"Paths start from {Path.cwd()}.",
            path=str(path),
        )
    if whole.suffix != ".py" or not all(part.isidentifier() for part in (whole.stem,)):
        raise UserError(
            "bad_target",
            f"{path} cannot be imported: expected a file NAME.py whose NAME is a Python identifier.",
            "Rename the file.",
        )
    parts, folder = [whole.stem], whole.parent
    while (folder / "__init__.py").is_file():
        # A module of a package is imported as such, else its relative imports would fail.
        parts.insert(0, folder.name)
        folder = folder.parent
    root = str(folder)
    sys.path[:] = [root, *(entry for entry in sys.path if entry != root)]
    name = ".".join(parts)
    found = importlib.util.find_spec(name) if name not in sys.modules else sys.modules[name].__spec__
    if found is None or found.origin is None or not Path(found.origin).samefile(whole):
        raise UserError(
            "module_hidden",
            f"{path} cannot be imported: its name {name!r} belongs to {found.origin if found else 'another module'}.",
            "Rename the file.",
        )
    return name
