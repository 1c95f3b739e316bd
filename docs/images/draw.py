"""Draws a workflow's graph as an SVG that reads on light and dark pages: `python docs/images/draw.py > docs/images/flights.svg`.

Columns are ranks (a node stands left of all that need it, as close as it can); rows follow the rows of what a node needs.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from itertools import pairwise
from typing import Final
from xml.sax.saxutils import escape

from wfplatform.core.graph import Graph, Literal, Node, OutputRef
from wfplatform.examples.flights import flights

__all__ = ["drawing"]

WIDTH: Final = 148
HEIGHT: Final = 42
GAP_X: Final = 32
GAP_Y: Final = 12
MARGIN: Final = 20

STYLE: Final = """
  .page { fill: #ffffff; } .box { fill: #f2f5fa; stroke: #8794a8; } .many { fill: #e3f0e8; stroke: #4f8a68; }
  .edge { fill: none; stroke: #8794a8; stroke-width: 1.2; }
  text { font: 14px system-ui, Helvetica, Arial, sans-serif; fill: #1d2430; }
  .note { fill: #5a6678; font-size: 12px; }
  @media (prefers-color-scheme: dark) {
    .page { fill: #10151d; } .box { fill: #1b2330; stroke: #66758c; } .many { fill: #173226; stroke: #5aa27c; }
    .edge { stroke: #66758c; } text { fill: #e4e9f1; } .note { fill: #9aa7ba; }
  }
"""


def drawing(graph: Graph) -> str:
    """A graph as SVG.

    Args:
        graph: of a workflow.

    Returns:
        The text of the file.
    """
    sources = {node.id: list(dict.fromkeys(link.source for link in graph.links[node.id])) for node in graph.nodes}
    columns = _columns(graph, sources)
    places, counts = _places(columns, sources), _counts(graph)
    bottom = max(y for _, y in places.values()) + HEIGHT
    width, height = MARGIN * 2 + len(columns) * WIDTH + (len(columns) - 1) * GAP_X, bottom + MARGIN + 22
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img">',
        "<title>The workflow flights: a year is read once, its months are counted in parallel, the counts become tables</title>",
        f"<style>{STYLE}</style>",
        f'<rect class="page" width="{width}" height="{height}" rx="8"/>',
    ]
    for target, found in sources.items():
        lines += [_edge(source, target, places) for source in found]
    for node in graph.nodes:
        lines += _box(node, counts[node.id], *places[node.id])
    lines.append(
        f'<text class="note" x="{MARGIN}" y="{height - 12}">Green, doubled boxes are mapped: one element for each month. '
        f"{len(graph.nodes)} nodes, {sum(counts.values())} elements.</text>"
    )
    return "\n".join([*lines, "</svg>", ""])


def _columns(graph: Graph, sources: dict[str, list[str]]) -> list[list[str]]:
    rank: dict[str, int] = {}
    for node in graph.nodes:
        rank[node.id] = max((rank[source] + 1 for source in sources[node.id]), default=0)
    # What needs nothing stands right before the first that needs it.
    for name, found in sources.items():
        if not found:
            rank[name] = min((rank[other] for other, needs in sources.items() if name in needs), default=1) - 1
    columns: list[list[str]] = [[] for _ in range(max(rank.values()) + 1)]
    for name, column in rank.items():
        columns[column].append(name)
    return columns


def _places(columns: list[list[str]], sources: dict[str, list[str]]) -> dict[str, tuple[float, float]]:
    for before, column in pairwise(columns):
        rows = {name: index for index, name in enumerate(before)}
        column.sort(key=lambda name: _mean([rows[one] for one in sources[name] if one in rows], len(before)))
    tallest = max(map(len, columns))
    places: dict[str, tuple[float, float]] = {}
    for index, column in enumerate(columns):
        top = MARGIN + (tallest - len(column)) * (HEIGHT + GAP_Y) / 2
        for row, name in enumerate(column):
            places[name] = (MARGIN + index * (WIDTH + GAP_X), top + row * (HEIGHT + GAP_Y))
    return places


def _mean(values: list[int], otherwise: float) -> float:
    return sum(values) / len(values) if values else otherwise


def _edge(source: str, target: str, places: dict[str, tuple[float, float]]) -> str:
    (x1, y1), (x2, y2) = places[source], places[target]
    x1, y1, y2 = x1 + WIDTH, y1 + HEIGHT / 2, y2 + HEIGHT / 2
    bend = x1 + GAP_X / 2
    return (
        f'<path class="edge" data-edge="{source} {target}" '
        f'd="M{x1:g} {y1:g} C{bend:g} {y1:g} {x2 - GAP_X / 2:g} {y2:g} {x2:g} {y2:g}"/>'
    )


def _box(node: Node, count: int, x: float, y: float) -> Iterable[str]:
    kind = "many" if node.rank else "box"
    size = f'width="{WIDTH}" height="{HEIGHT}" rx="6"'
    if node.rank:
        yield f'<rect class="{kind}" x="{x + 4:g}" y="{y + 4:g}" {size}/>'
    yield f'<rect class="{kind}" data-node="{node.id}" x="{x:g}" y="{y:g}" {size}/>'
    name, note = _label(node, count)
    middle = x + WIDTH / 2
    yield f'<text x="{middle:g}" y="{y + (18 if note else 26):g}" text-anchor="middle">{escape(name)}</text>'
    if note:
        yield f'<text class="note" x="{middle:g}" y="{y + 34:g}" text-anchor="middle">{escape(note)}</text>'


def _label(node: Node, count: int) -> tuple[str, str]:
    name = str(node.config["function"]).rpartition(":")[2]
    if node.rank:
        return name, f"{count} elements"
    # Several nodes of one function are told apart by the text they are given.
    given = [binding.value for binding in node.inputs.values() if isinstance(binding, Literal)]
    return name, next((str(value).replace("_", " ") for value in given if isinstance(value, str)), "")


def _counts(graph: Graph) -> dict[str, int]:
    """Node -> elements; as many as the list it is mapped over has items, or the mapped node it follows has elements."""
    counts: dict[str, int] = {}
    for node in graph.nodes:
        over = [node.inputs[port] for port in node.over]
        known = [len(one.value) for one in over if isinstance(one, Literal) and isinstance(one.value, list)]
        known += [counts[one.node] for one in over if isinstance(one, OutputRef)]
        counts[node.id] = known[0] if node.rank else 1
    return counts


if __name__ == "__main__":
    sys.stdout.write(drawing(flights.graph))
