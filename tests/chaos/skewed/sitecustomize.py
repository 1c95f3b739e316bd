"""Found on PYTHONPATH by the processes of a platform: an engine starts with a clock that is wrong by the seconds in a file.

Its seconds are as long as everybody's. Refuses to touch any other process.
"""

import datetime
import os
import pathlib
import sys
import time


def skew(by_s: float) -> None:
    """Let everything this process asks for the time be wrong."""
    true_time, true_time_ns, true_datetime = time.time, time.time_ns, datetime.datetime

    class Skewed(type):
        def __instancecheck__(cls, value: object) -> bool:
            return isinstance(value, true_datetime)

    class SkewedDatetime(true_datetime, metaclass=Skewed):
        @classmethod
        def now(cls, tz: datetime.tzinfo | None = None) -> datetime.datetime:
            return true_datetime.now(tz) + datetime.timedelta(seconds=by_s)

        @classmethod
        def utcnow(cls) -> datetime.datetime:
            return true_datetime.now(datetime.UTC).replace(tzinfo=None) + datetime.timedelta(seconds=by_s)

    time.time = lambda: true_time() + by_s
    time.time_ns = lambda: true_time_ns() + int(by_s * 1e9)
    datetime.datetime = SkewedDatetime


named = os.environ.get("CHAOS_SKEW_FILE", "")
if named and "wfplatform.bootstrap.engine_process" in sys.orig_argv:
    said = pathlib.Path(named).read_text(encoding="ascii") if pathlib.Path(named).exists() else ""
    if said:
        skew(float(said))
        os.write(2, f"The clock is wrong by {said} s on purpose.\n".encode())
