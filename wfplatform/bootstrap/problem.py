"""From the process table to the one sentence that says why nothing can go on.

Refuses: an opinion on processes that run elsewhere, and alarm over one that is just being started again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from wfplatform.errors import PlatformError

if TYPE_CHECKING:
    from wfplatform.bootstrap.supervisor import ProcessRow

__all__ = ["no_engine", "problem_of"]


def problem_of(rows: Sequence[ProcessRow]) -> PlatformError | None:
    """What keeps everything from going on: no engine runs, or no scheduler, workers or database.

    Args:
        rows: the process table.

    Returns:
        an error to raise, with the last words of the process and the place of its log; None when nothing is known to be wrong.
    """
    engines = [row for row in rows if row.name.startswith("engine")]
    # What others hang on comes first: an engine that ends for want of a scheduler is not the cause.
    for kind, found in (
        ("database", [row for row in rows if row.name == "postgres"]),
        ("Dask scheduler", [row for row in rows if row.name == "scheduler"]),
        ("worker host", [row for row in rows if row.name == "workers"]),
        ("engine", engines),
    ):
        if found and all(row.problem for row in found):
            return _error(kind, found[0])
    return None


def no_engine() -> PlatformError:
    """What to raise when no engine is started here and none elsewhere holds a lease on the database."""
    return PlatformError(
        "no_engine",
        "No engine runs, so no execution goes on: none is started here, and none elsewhere holds a lease on the database.",
        "Set WFP_ENGINES to 1 or more, or leave it out, then `wfp down` and `wfp up`; or start an engine elsewhere that "
        "uses this database. What is open goes on then.",
    )


def _error(kind: str, row: ProcessRow) -> PlatformError:
    return PlatformError(
        f"no_{kind.rpartition(' ')[2]}",
        f"No {kind} runs, so no execution goes on. {row.problem}",
        f"The whole log is {row.log}. It is tried again, more and more seldom; when the cause is mended, `wfp down` and `wfp up` "
        "try at once, and what is open goes on.",
        process=row.name,
        log=str(row.log),
    )
