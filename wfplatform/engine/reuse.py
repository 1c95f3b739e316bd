"""Results of earlier executions in place of nodes that would compute the same again.

The key is over what the node's function does (with the helpers it reaches), the digests of its inputs, and what its policy
declares: salt and environment. A function that cannot be analysed has no key: its node is computed. So is one whose earlier
result was left by a workflow that did not need to know how long it is, where this one maps over it.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from hashlib import sha256
from typing import Any

from wfplatform.compiler.segment import Planned
from wfplatform.core.event import Event, Reused
from wfplatform.core.execution import Element
from wfplatform.core.graph import Node, NodeKind, size_within
from wfplatform.core.policy import ALL_NODES
from wfplatform.core.ports import CacheStore, EngineStore
from wfplatform.engine.committed import committed_outputs, inputs_of, sources
from wfplatform.engine.live import Live
from wfplatform.engine.values import EngineInputs

__all__ = ["Reuse", "cache_key", "has_lengths", "is_refreshed"]


class Reuse:
    """Looks nodes up that may be reused.

    Args:
        cache: what earlier executions left.
        store: where committed outputs of this one are read.
    """

    def __init__(self, cache: CacheStore, store: EngineStore) -> None:
        self._cache = cache
        self._store = store

    def hits(self, live: Live, planned: Planned) -> list[Event]:
        """Events for planned elements that need not run. The others are remembered, so that their results are kept."""
        asked = [
            (node, element)
            for segment in planned.segments
            for member in segment.members
            if (node := live.graph.by_id[member.span.node]).policy.cache is not None and node.type == NodeKind.PYTHON
            for element in member.span.elements()
            if (node.id, element) not in live.cache_keys and not _is_edited(live, node.id, element)
        ]
        if not asked:
            return []
        inputs = self._inputs(live, asked)
        keys = {}
        for node, element in asked:
            key = self._key(live, node, element, inputs)
            if key is not None:
                keys[node.id, element] = key
        found = self._cache.cached(live.claim.tenant_id, list(dict.fromkeys(keys.values()))) if keys else {}
        events: list[Event] = []
        for (name, element), key in keys.items():
            hit = found.get(key)
            # What stood in for it once and is pending again could not be read.
            is_lost = (name, element) in live.reused
            if (
                hit is None
                or is_lost
                or is_refreshed(name, live.claim.refresh)
                or not has_lengths(hit.sizes or {}, live.graph.size_levels.get(name, {}))
            ):
                live.cache_keys[name, element] = key
                if is_lost or is_refreshed(name, live.claim.refresh) or hit is not None:
                    live.unshared.add((name, element))
            else:
                live.reused.add((name, element))
                events.append(Reused(name, element, hit.outputs, hit.sizes, hit.execution_id))
        return events

    def _inputs(self, live: Live, asked: list[tuple[Node, Element]]) -> EngineInputs:
        wanted = dict.fromkeys(key for node, element in asked for key in sources(live, node.id, element))
        return inputs_of(live, committed_outputs(self._store, {live.id: wanted}).get(live.id, {}))

    def _key(self, live: Live, node: Node, element: Element, inputs: EngineInputs) -> str | None:
        does = live.version.function_digest(str(node.config["function"]))
        return None if does is None else cache_key(node, element, does, live.version.environment, inputs)


def _is_edited(live: Live, node: str, element: Element) -> bool:
    """Whether somebody replaced inputs: what comes of it is this element's alone."""
    run = live.execution.nodes[node].runs.get(element)
    return run is not None and run.edit is not None


def is_refreshed(node: str, refresh: Collection[str]) -> bool:
    """Whether a node is to be computed anew."""
    return node in refresh or ALL_NODES in refresh


def cache_key(node: Node, element: Element, does: str, environment: Mapping[str, str], inputs: EngineInputs) -> str:
    """Under what the result of an element is kept.

    Args:
        node: with a cache.
        does: the digest of its function.
        environment: what was declared of the environment: name -> version, or digest of a value.
        inputs: all outputs that the element takes are known to it.
    """
    policy = node.policy.cache
    assert policy is not None
    ports = {port: inputs.digest(node.id, port, element) for port in node.inputs if port not in policy.ignore}
    described: list[Any] = [does, policy.salt, list(node.outputs), sorted(ports.items())]
    if policy.environment:
        described.append(sorted((name, environment.get(name)) for name in set(policy.environment)))
    text = json.dumps(described)
    return sha256(text.encode()).hexdigest()


def has_lengths(sizes: Mapping[str, int], wanted: Mapping[str, int]) -> bool:
    """Whether all lengths were recorded that a graph maps over: name -> how many levels of it."""
    return all(_has_length(sizes, key, (), levels) for key, levels in wanted.items())


def _has_length(sizes: Mapping[str, int], key: str, indices: Element, levels: int) -> bool:
    size = sizes.get(size_within(key, indices))
    if size is None or levels == 1:
        return size is not None
    return all(_has_length(sizes, key, (*indices, index), levels - 1) for index in range(size))
