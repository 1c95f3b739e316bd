"""The small graphs that are measured: for each a workflow and the same functions handed to Dask by hand.

A node does nothing, so that the orchestrator is what is measured; the last one of a graph prints a line, so that logs
are part of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import uuid4

from dask.task_spec import List, Task, TaskRef
from distributed import Client

from wfplatform import Workflow, node, workflow

__all__ = [
    "chain",
    "chain_of_submits",
    "chain_of_tasks",
    "fan_out",
    "fan_out_by_map",
    "fan_out_of_tasks",
    "many_of_submits",
    "many_of_tasks",
    "three",
]


def echo(value: int) -> int:
    """Nothing."""
    return value


def total(values: list[int]) -> int:
    """Their sum, and a line."""
    print(len(values), "values")
    return sum(values)


def following(value: int) -> int:
    """The next number."""
    return value + 1


def ending(value: int) -> int:
    """The next number, and a line."""
    print("the end is", value + 1)
    return value + 1


echo_node = node(echo)
total_node = node(total)
following_node = node(following)
ending_node = node(ending)


def fan_out(size: int) -> Workflow[[], int]:
    """A workflow of `size` nodes side by side and one that reads them all.

    Returns:
        it; its result is the sum of 0 to size - 1.
    """

    def draw() -> int:
        return total_node(echo_node.map(range(size)))

    return workflow(name=f"fan-out {size}", description="")(draw)


def chain(length: int) -> Workflow[[], int]:
    """A workflow of `length` nodes one after the other.

    Returns:
        it; its result is its length.
    """

    def draw() -> int:
        value = 0
        for _ in range(length - 1):
            value = following_node(value)
        return ending_node(value)

    return workflow(name=f"chain {length}", description="")(draw)


@workflow(name="three", description="")
def three(value: int) -> int:
    """Three nodes one after the other; the result is `value` + 2."""
    return ending_node(following_node(echo_node(value)))


def fan_out_by_map(client: Client, size: int) -> int:
    """Bare Dask: `map` and `submit`."""
    values = client.map(echo, range(size), pure=False)
    return int(client.submit(total, values, pure=False).result())


def fan_out_of_tasks(client: Client, size: int) -> int:
    """Bare Dask: one `get` of a graph."""
    run = uuid4().hex
    keys = [f"echo-{run}-{index}" for index in range(size)]
    graph: dict[str, Any] = {key: Task(key, echo, index) for index, key in enumerate(keys)}
    last = f"total-{run}"
    graph[last] = Task(last, total, List(*map(TaskRef, keys)))
    return int(client.get(graph, last))


def chain_of_submits(client: Client, length: int) -> int:
    """Bare Dask: a `submit` a node."""
    value: Any = 0
    for _ in range(length - 1):
        value = client.submit(following, value, pure=False)
    return int(client.submit(ending, value, pure=False).result())


def chain_of_tasks(client: Client, length: int) -> int:
    """Bare Dask: one `get` of a graph."""
    run = uuid4().hex
    graph: dict[str, Any] = {}
    value: Any = 0
    for index in range(length):
        key = f"chain-{run}-{index}"
        graph[key] = Task(key, ending if index == length - 1 else following, value)
        value = TaskRef(key)
    return int(client.get(graph, value.key))


def many_of_submits(client: Client, values: Sequence[int]) -> list[int]:
    """Bare Dask: three `submit` for each value, all gathered."""
    ends = []
    for value in values:
        first = client.submit(echo, value, pure=False)
        ends.append(client.submit(ending, client.submit(following, first, pure=False), pure=False))
    return list(client.gather(ends))


def many_of_tasks(client: Client, values: Sequence[int]) -> list[int]:
    """Bare Dask: one `get` of a graph with three tasks for each value."""
    run = uuid4().hex
    graph: dict[str, Any] = {}
    ends = []
    for index, value in enumerate(values):
        first, second, third = (f"{name}-{run}-{index}" for name in ("echo", "following", "ending"))
        graph[first] = Task(first, echo, value)
        graph[second] = Task(second, following, TaskRef(first))
        graph[third] = Task(third, ending, TaskRef(second))
        ends.append(third)
    return list(client.get(graph, ends))
