"""Lines of logs: the constant message first, then the fields given as `extra`.

Standard library only: the supervisor imports it, which is started anew by every command that finds none.
"""

from __future__ import annotations

import logging
import sys
from typing import Final

__all__ = ["FieldFormatter", "log_lines"]

_KNOWN: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class FieldFormatter(logging.Formatter):
    """Adds `name=value` for each field."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802
        """One line a record, before the traceback of an error."""
        fields = [f"{name}={value}" for name, value in vars(record).items() if name not in _KNOWN]
        return " ".join([super().formatMessage(record), *fields])


def log_lines(
    level: int | str = logging.INFO, *, shape: str = "%(asctime)s %(levelname)s %(name)s %(message)s"
) -> None:
    """Have this process log to standard error, unless it logs already.

    Args:
        level: what is logged, as `logging` names it.
        shape: what stands before the fields.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(FieldFormatter(shape))
    logging.basicConfig(level=level, handlers=[handler])
