"""`wfp db ...`: how the schema of the database stands to this release, and bringing it up to it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import typer

from wfplatform.cli.command import COMPLETED, FAILED, UNREACHABLE, command, command_group
from wfplatform.cli.screen import Screen

if TYPE_CHECKING:
    from wfplatform.store.migration import SchemaStatus

__all__ = ["add_to"]

ADVICE: Final = {
    "current": "Nothing is to be done.",
    "empty": "`wfp db upgrade` makes the schema; running a workflow does it too.",
    "older": "`wfp db upgrade` runs what is missing. Stop engines of the older release before.",
    "newer": "Install the newer release that upgraded it; a schema is never taken back.",
    "foreign": "It has tables with the platform's names that the platform did not make: give the platform a database of its own.",
}


def add_to(root: typer.Typer) -> None:
    """Add the group to the root."""
    group = command_group("db", "The schema of the database: status, upgrade.")
    command(group)(status)
    command(group)(upgrade)
    root.add_typer(group)


def status(screen: Screen) -> int:
    """Show which schema the database has. Exit code 1 when it is not this release's, 3 when the database does not run."""
    from wfplatform.bootstrap.operation import schema_status
    from wfplatform.settings import Settings

    settings = Settings.load()
    found = schema_status(settings)
    if found is None:
        screen.document({"running": False, "home": str(settings.home)})
        screen.say(f"The platform's own database in {settings.home} does not run. `wfp up` starts it.")
        return UNREACHABLE
    screen.document({"running": True, **_document(found)})
    screen.say(f"schema of the database  {found.revision or 'none'}")
    screen.say(f"schema of this release  {found.expected}")
    screen.say(f"state                   {found.state}")
    if found.pending:
        screen.say(f"to run                  {', '.join(found.pending)}")
    screen.say(ADVICE[found.state])
    return COMPLETED if found.state == "current" else FAILED


def upgrade(screen: Screen) -> None:
    """Bring the schema of the database to this release; starts the platform when the database is its own."""
    from wfplatform.bootstrap.operation import upgrade_schema
    from wfplatform.settings import Settings

    before, after = upgrade_schema(Settings.load())
    screen.document({"before": _document(before), "after": _document(after)})
    if before.state == "current":
        screen.say(f"The database has schema {after.revision} already.")
    else:
        screen.say(
            f"The database was {before.state} ({before.revision or 'no schema'}) and now has schema {after.revision}."
        )


def _document(found: SchemaStatus) -> dict[str, Any]:
    return {
        "state": found.state.capitalize(),
        "revision": found.revision,
        "expected": found.expected,
        "pending": list(found.pending),
    }
