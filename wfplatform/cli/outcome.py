"""What a workflow returned, for people and for programs: tables cut to the screen, other values as Python writes them.

Known by what they can do, not by their type, so that no library is loaded for what does not need it.
Refuses: changing values.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from rich.pretty import Pretty
from rich.text import Text

from wfplatform.cli.screen import table
from wfplatform.cli.words import printable

if TYPE_CHECKING:
    from rich.console import RenderableType

__all__ = ["pictures", "value_document"]

ROWS: Final = 20
COLUMNS: Final = 12
CELL_CHARACTERS: Final = 48
TEXT_CHARACTERS: Final = 500
ITEMS: Final = 40
HEAD_CHARACTERS: Final = 9
GAP: Final = 3
"""Between two columns."""


def pictures(value: Any, name: str = "", *, width: int = 100) -> Iterator[RenderableType]:
    """A value as things to print; of a dict each item with its name, tables as tables.

    Args:
        value: what a workflow returned.
        name: what stands above it.
        width: characters of a line; tables leave columns out rather than be wider.
    """
    if (
        isinstance(value, dict)
        and value
        and all(isinstance(key, str) for key in value)
        and any(map(_is_large, value.values()))
    ):
        for key, item in value.items():
            yield from pictures(item, f"{name}.{key}" if name else key, width=width)
        return
    if _is_frame(value) or _is_series(value):
        rows, columns = (*value.shape, 1)[:2]
        across = f" x {columns} column{'s' if columns != 1 else ''}"
        yield Text.assemble((name or "result", "bold"), f"  {rows:,} row{'s' if rows != 1 else ''}{across}")
        yield from _frame(_labelled(value), width)
        if rows > ROWS:
            yield Text(f"… {rows - ROWS:,} more rows", style="dim")
        yield Text()
        return
    if isinstance(value, str):
        text = printable(value)
        shown = (
            text if len(text) <= TEXT_CHARACTERS else f"{text[:TEXT_CHARACTERS].rstrip()}… ({len(text):,} characters)"
        )
        yield Text.assemble((f"{name}: " if name else "", "bold"), shown)
        return
    if name and isinstance(value, bool | int | float | None):
        yield Text.assemble((f"{name}: ", "bold"), repr(value))
        return
    if name:
        yield Text(f"{name}:", style="bold")
    yield Pretty(value, max_length=ITEMS, max_string=TEXT_CHARACTERS, max_depth=8, expand_all=False)


def value_document(value: Any) -> Any:
    """A value as JSON: itself when it is plain, a table as its columns and first rows, else what Python writes of it."""
    if _is_frame(value) or _is_series(value):
        first = _labelled(value)
        return {
            "kind": "table",
            "type": _type_name(value),
            "rowsTotal": len(value),
            "columnsTotal": len(first.columns),
            "columns": [str(name) for name in first.columns],
            "rows": [[_cell_document(cell) for cell in row] for row in first.itertuples(index=False, name=None)],
        }
    if isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
        return {key: value_document(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [value_document(item) for item in value]
    if isinstance(value, bool | int | str) or value is None:
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else {"kind": "float", "text": repr(value)}
    return {"kind": "other", "type": _type_name(value), "text": repr(value)}


def _cell_document(cell: Any) -> Any:
    plain = cell.item() if hasattr(cell, "item") and getattr(cell, "shape", None) == () else cell
    if isinstance(plain, float) and not math.isfinite(plain):
        return None
    try:
        json.dumps(plain, allow_nan=False)
    except (TypeError, ValueError):
        return str(plain)
    return plain


def _is_frame(value: Any) -> bool:
    # pandas; a frame that has been given other methods by another library is printed as Python writes it.
    return hasattr(value, "itertuples") and hasattr(value, "columns") and len(getattr(value, "shape", ())) == 2


def _is_series(value: Any) -> bool:
    return hasattr(value, "to_frame") and hasattr(value, "reset_index") and len(getattr(value, "shape", ())) == 1


def _labelled(value: Any) -> Any:
    """The first rows of a frame or series as a frame, its labels as columns before the others unless they only count rows."""
    first = value.head(ROWS)
    frame = first.to_frame("value" if first.name is None else first.name) if _is_series(first) else first
    labels = value.index
    if type(labels).__name__ == "RangeIndex" and labels.name is None:
        return frame
    names = ["index" if name is None and labels.nlevels == 1 else name for name in labels.names]
    called = [f"level {level}" if name is None else name for level, name in enumerate(names)]
    return frame.reset_index(names=called, allow_duplicates=True)


def _is_large(value: Any) -> bool:
    return _is_frame(value) or _is_series(value) or (isinstance(value, str) and "\n" in value) or _deep_frame(value)


def _deep_frame(value: Any) -> bool:
    return isinstance(value, dict) and any(_is_frame(item) or _is_series(item) for item in value.values())


def _frame(value: Any, width: int) -> Iterator[RenderableType]:
    """The first rows of a frame, and as many columns as there is room for; heads are broken where their words end."""
    cut = value.iloc[:ROWS, :COLUMNS]
    names = list(cut.columns)
    cells = [[_cell(cell) for cell in row] for row in cut.itertuples(index=False, name=None)]
    widths = [max((len(cell) for cell in column), default=0) for column in zip(*cells, strict=True)] or [0] * len(names)
    plain = [str(name) for name in names]
    roomy = sum(max(len(head), cell) + GAP for head, cell in zip(plain, widths, strict=True)) <= width
    heads = plain if roomy else [_broken(head, cell) for head, cell in zip(plain, widths, strict=True)]
    shown, used = 0, 0
    for head, cell in zip(heads, widths, strict=True):
        used += max(*map(len, head.split("\n")), cell) + GAP
        if used > width and shown:
            break
        shown += 1
    numeric = [head for head, kind in zip(heads, cut.dtypes, strict=True) if getattr(kind, "kind", "O") in "iufc"]
    yield table(heads[:shown], [row[:shown] for row in cells], right=numeric)
    if left := [str(name) for name in value.columns][shown:]:
        told = ", ".join(left[:COLUMNS]) + (", …" if len(left) > COLUMNS else "")
        yield Text(f"… {len(left)} more column{'s' if len(left) > 1 else ''}: {told}", style="dim")


def _broken(head: str, width: int) -> str:
    """A name on several lines, none longer than the cells below it if its words allow."""
    lines: list[str] = []
    for word in head.replace("_", "_ ").split():
        if lines and len(lines[-1]) + len(word) <= max(width, HEAD_CHARACTERS):
            lines[-1] += word
        else:
            lines.append(word)
    return "\n".join(lines) or head


def _cell(cell: Any) -> str:
    if isinstance(cell, float):
        text = "-" if math.isnan(cell) else f"{cell:,.6g}"
    else:
        text = str(cell)
    return text if len(text) <= CELL_CHARACTERS else f"{text[: CELL_CHARACTERS - 1]}…"


def _type_name(value: Any) -> str:
    return f"{type(value).__module__}.{type(value).__qualname__}"
