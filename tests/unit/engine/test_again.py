"""What failed is tried again, each time later."""

from __future__ import annotations

from wfplatform.engine.again import Again


def test_each_try_comes_later_than_the_one_before_and_never_too_late() -> None:
    again: Again[str] = Again()
    assert again.next_s is None
    now_s, waits = 100.0, []
    for _ in range(8):
        again.put("a", now_s)
        assert again.due(now_s) == []
        due_s = again.next_s
        assert due_s is not None
        waits.append(due_s - now_s)
        now_s = due_s
        assert again.due(now_s) == ["a"]
        assert again.due(now_s) == []
    assert waits == [0.5, 1, 2, 4, 8, 10, 10, 10]


def test_what_worked_begins_anew() -> None:
    again: Again[str] = Again()
    for key in ("a", "a", "b"):
        again.put(key, 0.0)
    assert "a" in again
    again.drop("a")
    again.drop("unknown")
    assert "a" not in again
    assert again.next_s == 0.5
    again.put("a", 0.0)
    assert sorted(again.due(0.5)) == ["a", "b"]
