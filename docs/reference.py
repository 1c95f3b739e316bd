"""Writes the parts of `settings.md` and `cli.md` that the code itself knows: `python docs/reference.py`.

A test compares them with the code, so a setting or an option cannot be added without its line here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import typer.main

from wfplatform.cli.root import application
from wfplatform.settings import Settings

__all__ = ["commands", "documented", "settings_table"]

DOCS: Final = Path(__file__).parent
BEGIN: Final = "<!-- Written by docs/reference.py: begin -->"
END: Final = "<!-- Written by docs/reference.py: end -->"
EVERYWHERE: Final = {"--help", "--json", "--debug"}


def settings_table() -> str:
    """Every setting with its variable, unit, default, owner and reason."""
    lines = ["| Setting | Variable | Unit | Default | Owner | Why |", "|---|---|---|---|---|---|"]
    for name, field in Settings.model_fields.items():
        facts: Any = field.json_schema_extra
        match = re.search(r"\. Default: (.*?)\. " + re.escape(str(facts["reason"])), str(field.description))
        assert match is not None, name
        default = {"''": "empty", "None": "none"}.get(match[1], match[1].strip("'"))
        cells = [f"`{name}`", f"`WFP_{name.upper()}`", facts["unit"], default, facts["owner"], facts["reason"]]
        lines.append("| " + " | ".join(_cell(cell) for cell in cells) + " |")
    return "\n".join(lines)


def commands() -> str:
    """Every command with its arguments and options."""
    return "\n\n".join(_pages(typer.main.get_command(application()), "wfp"))


def documented(text: str, written: str) -> str:
    """A document with what stands between the marks replaced."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    assert begin, "the document has lost its marks"
    assert end, "the document has lost its marks"
    return f"{before}{BEGIN}\n\n{written}\n\n{END}{after}"


def _pages(command: Any, path: str) -> Iterator[str]:
    children = getattr(command, "commands", None)
    if children is not None:
        for name, child in children.items():
            yield from _pages(child, f"{path} {name}")
        return
    arguments = [one for one in command.params if one.param_type_name == "argument"]
    options = [one for one in command.params if one.param_type_name == "option" and not EVERYWHERE & set(one.opts)]
    names = {one.name: one.metavar or one.name.upper() for one in arguments}
    shown = [names[one.name] if one.required else f"[{names[one.name]}]" for one in arguments]
    lines = [f"### `{path}`", "", f"`{' '.join([path, *shown, '[OPTIONS]' if options else '']).strip()}`", ""]
    lines += [" ".join(str(command.help).split())]
    if arguments or options:
        lines += ["", "| Argument or option | Default | Meaning |", "|---|---|---|"]
    lines += [f"| `{names[one.name]}` | {_default(one)} | {_cell(one.help or '')} |" for one in arguments]
    for one in options:
        written = ", ".join(f"`{word}`" for word in (*one.opts, *one.secondary_opts))
        value = "" if one.is_flag else f" {one.metavar or one.name.upper()}"
        lines.append(f"| {written}{value} | {_default(one)} | {_cell(one.help or '')} |")
    yield "\n".join(lines)


def _default(parameter: Any) -> str:
    if parameter.required:
        return "must be given"
    default = parameter.default
    return "" if default in (None, False, ()) else f"`{default:g}`" if isinstance(default, float) else f"`{default}`"


def _cell(text: object) -> str:
    return str(text).replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")


def main() -> None:
    """Writes the documents anew."""
    for name, written in (("settings.md", settings_table()), ("cli.md", commands())):
        path = DOCS / name
        path.write_text(documented(path.read_text(encoding="utf-8"), written), encoding="utf-8")


if __name__ == "__main__":
    main()
