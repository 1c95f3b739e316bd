"""`wfp retention ...`: what is kept for how long, what would go now, and removing it at once instead of once a day.

Refuses: rules of its own; they are settings.
"""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from wfplatform.cli.command import command, command_group
from wfplatform.cli.connection import connected
from wfplatform.cli.screen import Screen, table
from wfplatform.cli.words import duration, instant, size

if TYPE_CHECKING:
    from wfplatform.core.retention import Gone, Preview, RetentionRules

__all__ = ["add_to"]


def add_to(root: typer.Typer) -> None:
    """Add the group to the root."""
    group = command_group("retention", "What is kept for how long, and removing what is older.")
    command(group)(show)
    command(group)(run)
    root.add_typer(group)


def show(screen: Screen) -> None:
    """Show the rules in force, and the settings they come from. Needs no platform that runs."""
    from wfplatform.bootstrap.retention import rules_of
    from wfplatform.settings import Settings

    rules = rules_of(Settings.load())
    screen.document(_rules_document(rules))
    number = rules.executions_per_workflow
    kept = [
        ("executions", _kept(rules.executions, "from their end", "for ever"), "executions_kept_days"),
        (
            "per workflow",
            "any number" if number is None else f"{number} that have ended, at most",
            "executions_kept_per_workflow",
        ),
        ("logs", _kept(rules.logs, "from the end of their execution", "as long as their execution"), "logs_kept_days"),
        (
            "artifacts",
            f"{_span(rules.unused)} after nothing was found to refer to them",
            "artifacts_kept_unused_s",
        ),
        ("results for reuse", "as long as the execution that left them, unless they expire before", ""),
        ("workflows", "for ever, with their versions and code", ""),
    ]
    screen.say(table(("what", "is kept", "setting"), kept))
    screen.say("What is open, or is to be tried again, never goes. An engine sees to it once a day.")


def run(
    screen: Screen,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go; nothing is changed.")] = False,
) -> None:
    """Remove what is older than the rules say, a little at a time, while everything else goes on."""
    with connected(screen) as platform:
        if dry_run:
            waiting = screen.err.status("Looking for what is old …") if screen.is_live else nullcontext()
            with waiting:
                preview = platform.retention.preview()
            screen.document({"dryRun": True, **_preview_document(preview)})
            _tell_preview(screen, preview)
            return
        status = screen.err.status("Looking for what is old …") if screen.is_live else None

        def told(gone: Gone) -> None:
            if status is not None:
                status.update(f"Removed: {', '.join(_words(gone)) or 'nothing yet'}")

        with status or nullcontext():
            gone = platform.retention.run(told)
    screen.document({"dryRun": False, "total": _gone_document(gone)})
    screen.say(
        "\n".join(["Removed:", *(f"  {one}" for one in _words(gone))]) if any(_words(gone)) else "Nothing is old."
    )
    _tell_unused(screen, gone, platform.retention.rules)


def _kept(span: timedelta | None, since: str, otherwise: str) -> str:
    return otherwise if span is None else f"{_span(span)} {since}"


def _span(span: timedelta) -> str:
    days = span / timedelta(days=1)
    if not days.is_integer():
        return duration(span.total_seconds())
    return "1 day" if days == 1 else f"{days:.0f} days"


def _tell_preview(screen: Screen, preview: Preview) -> None:
    now = datetime.now(UTC)
    if preview.workflows:
        rows = [
            (
                one.name,
                str(one.executions),
                str(one.nodes),
                str(one.lines),
                size(one.size_bytes),
                instant(one.ended_at, now=now),
            )
            for one in preview.workflows
        ]
        columns = ("workflow", "executions", "nodes", "log lines", "rows", "oldest ended")
        screen.say(table(columns, rows, right=columns[1:5]))
    words = _words(preview.gone)
    screen.say("\n".join(["Would go:", *(f"  {one}" for one in words)]) if words else "Nothing would go.")
    if preview.gone.unused_artifacts:
        screen.say(f"{_unused(preview.gone)} would then be referred to by nothing any more.")


def _tell_unused(screen: Screen, gone: Gone, rules: RetentionRules) -> None:
    if gone.unused_artifacts:
        after = _span(rules.unused)
        screen.say(
            f"{_unused(gone)} are referred to by nothing any more; they go in {after}, unless they are used again."
        )


def _unused(gone: Gone) -> str:
    return f"{gone.unused_artifacts} artifacts ({size(gone.unused_bytes)})"


def _words(gone: Gone) -> list[str]:
    counts = [
        (gone.executions, "executions"),
        (gone.nodes, "recorded nodes"),
        (gone.attempts, "earlier tries"),
        (gone.lines, "log lines"),
        (gone.commands, "commands"),
        (gone.cache_entries, "results for reuse"),
    ]
    words = [f"{count} {what}" for count, what in counts if count]
    return [*words, f"{gone.artifacts} artifacts ({size(gone.artifact_bytes)})"] if gone.artifacts else words


def _rules_document(rules: RetentionRules) -> dict[str, Any]:
    return {
        "executionsSeconds": None if rules.executions is None else rules.executions.total_seconds(),
        "executionsPerWorkflow": rules.executions_per_workflow,
        "logsSeconds": None if rules.logs is None else rules.logs.total_seconds(),
        "unusedArtifactsSeconds": rules.unused.total_seconds(),
    }


def _preview_document(preview: Preview) -> dict[str, Any]:
    return {
        "workflows": [
            {
                "name": one.name,
                "executions": one.executions,
                "nodes": one.nodes,
                "logLines": one.lines,
                "sizeBytes": one.size_bytes,
                "oldestEndedAt": one.ended_at.isoformat(),
            }
            for one in preview.workflows
        ],
        "total": _gone_document(preview.gone),
    }


def _gone_document(gone: Gone) -> dict[str, int]:
    return {_camel(name): count for name, count in asdict(gone).items()}


def _camel(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(word.capitalize() for word in others)
