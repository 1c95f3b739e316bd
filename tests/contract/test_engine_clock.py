"""Engines go by the clock of their store."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any


def test_a_store_tells_the_time(subject: Any) -> None:
    first, second = subject.store.now(), subject.store.now()
    assert first.utcoffset() == timedelta(0)
    assert first <= second
    assert abs(second - datetime.now(UTC)) < timedelta(minutes=5)
