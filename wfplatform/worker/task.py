"""What stands in a Dask graph: a function that takes opaque bytes. The scheduler imports this module and nothing behind it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wfplatform.worker.values import SegmentValues

__all__ = ["run_segment"]


def run_segment(order: bytes, *needed: SegmentValues) -> SegmentValues:
    """Run a segment on the worker that this is called on.

    Args:
        order: a packed `SegmentOrder`.
        needed: the values of the segments it needs.

    Returns:
        the values other segments read.
    """
    from wfplatform.worker.site import here  # noqa: PLC0415  # the scheduler must not load what runs on workers

    return here().run(order, needed)
