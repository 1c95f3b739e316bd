"""Opening outputs that are put together from others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from wfplatform.compiler.tree import open_output
from wfplatform.engine.values import plain_output, tree_output


def load(output: Mapping[str, Any]) -> Any:
    return output["value"]


def test_trees_are_opened_item_by_item() -> None:
    one, two = plain_output(1), plain_output({"rows": [2, 3]})
    assert open_output(tree_output("list", [one, two]), load) == [1, {"rows": [2, 3]}]
    assert open_output(tree_output("tuple", [one]), load) == (1,)
    inner = tree_output("list", [])
    assert open_output(tree_output("dict", [one, inner], ["a", "b"]), load) == {"a": 1, "b": []}


def test_a_path_means_a_part_of_the_value() -> None:
    output = {**plain_output({"rows": [2, 3]}), "path": [["rows", False], [1, False]]}
    assert open_output(output, load) == 3
    assert open_output(tree_output("list", [output]), load) == [3]
    tree = tree_output("dict", [plain_output({"rows": [2, 3]}), plain_output(1)], ["a", "b"])
    assert open_output({**tree, "path": [["a", False], ["rows", False]]}, load) == [2, 3]


def test_the_digest_of_a_tree_tells_kind_names_and_parts_apart() -> None:
    one = plain_output(1)
    trees = [
        tree_output("list", [one]),
        tree_output("tuple", [one]),
        tree_output("list", [one, one]),
        tree_output("dict", [one], ["a"]),
        tree_output("dict", [one], ["b"]),
        tree_output("list", [{**one, "path": [["a", False]]}]),
    ]
    assert len({tree["digest"] for tree in trees}) == len(trees)
    assert trees[2]["size"] == 2
