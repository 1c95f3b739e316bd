"""What a run would do: the engine's own planner and keys, over results that earlier executions left, with nothing run.

Goes as far as inputs are known: what hangs on a node that runs is told as open. Refuses to publish, start or record anything.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from typing import Any, Final
from uuid import UUID

from wfplatform.app.port import Past
from wfplatform.authoring.code import Code
from wfplatform.authoring.document import from_document
from wfplatform.authoring.workflow import Workflow
from wfplatform.compiler.expand import known_sizes
from wfplatform.compiler.plan import plan
from wfplatform.compiler.segment import Flights, Limits
from wfplatform.core.event import Claimed, Reused
from wfplatform.core.execution import Element, Execution
from wfplatform.core.forecast import Fate, Forecast, KeptResult, NodeForecast
from wfplatform.core.graph import Graph, Json, Node, NodeKind
from wfplatform.core.lifecycle import advance, new_execution
from wfplatform.core.policy import Cache
from wfplatform.engine.committed import sources_in
from wfplatform.engine.reuse import cache_key, has_lengths, is_refreshed
from wfplatform.engine.values import EngineInputs
from wfplatform.errors import WfError

__all__ = ["forecast"]

_NOBODY: Final = UUID(int=0)


def forecast(
    past: Past,
    tenant_id: UUID,
    workflow: Workflow[..., Any],
    parameters: Mapping[str, Json],
    refresh: tuple[str, ...] = (),
) -> Forecast:
    """What a run of a workflow would do.

    Args:
        past: what earlier executions left.
        tenant_id: whose.
        workflow: need not be published.
        parameters: checked, as JSON.
        refresh: nodes that are computed anew whatever is kept; `ALL_NODES` among them means all.
    """
    return _Dream(past, tenant_id, workflow, parameters, refresh).told()


@dataclass(slots=True)
class _Looked:
    """What was found for the elements of one node whose inputs are known."""

    hits: list[KeptResult] = field(default_factory=list)
    misses: list[tuple[str, KeptResult | None]] = field(default_factory=list)


class _Dream:
    """An execution of which only that happens which needs nothing to run."""

    def __init__(
        self,
        past: Past,
        tenant_id: UUID,
        workflow: Workflow[..., Any],
        parameters: Mapping[str, Json],
        refresh: tuple[str, ...],
    ) -> None:
        self._past = past
        self._tenant_id = tenant_id
        self._workflow = workflow
        self._parameters = parameters
        self._refresh = refresh
        self._graph: Graph = workflow.graph
        self._code: Code = workflow.code
        self._now = datetime.now(UTC)
        self._execution: Execution = new_execution(_NOBODY, self._graph)
        self._outputs: dict[tuple[str, Element], Mapping[str, Any] | None] = {}
        self._looked: dict[str, _Looked] = {}
        self._ready: set[str] = set()

    def told(self) -> Forecast:
        self._advance(Claimed(known_sizes(self._graph, self._parameters)))
        asked: set[tuple[str, Element]] = set()
        while self._look(asked):
            pass
        costs = self._past.costs(self._tenant_id, self._workflow.name, self._workflow.version)
        reasons = self._workflow.not_reused
        latest = self._past.latest(self._tenant_id, self._workflow.name) if self._looked else {}
        nodes = tuple(
            self._node(node, costs.get(node.id), reasons.get(node.id, ""), latest) for node in self._graph.nodes
        )
        slots = self._past.slots() or 1
        unseen = tuple(node.name for node in nodes if node.expected_s is None)
        is_known = len(unseen) < sum(node.fate is not Fate.REUSED for node in nodes) or not unseen
        return Forecast(
            workflow=self._workflow.name,
            parameters=dict(self._parameters),
            nodes=nodes,
            slots=slots,
            expected_s=self._time_s(nodes, slots, open_runs=True) if is_known else None,
            least_s=self._time_s(nodes, slots, open_runs=False) if is_known else None,
            unseen=unseen,
        )

    # -- what would happen

    def _look(self, asked: set[tuple[str, Element]]) -> bool:
        """Look up what has become ready; whether anything was found, so that more may be."""
        numbers = count()
        planned = plan(self._graph, self._execution, Flights(), {}, Limits(slots=1), lambda: str(next(numbers)))
        self._ready = {
            member.span.node for segment in planned.segments if not segment.needs for member in segment.members[:1]
        }
        fresh = [
            (node, element)
            for segment in planned.segments
            for member in segment.members
            if self._is_reusable(node := self._graph.by_id[member.span.node])
            for element in member.span.elements()
            if (node.id, element) not in asked
        ]
        if not fresh:
            return False
        asked.update((node.id, element) for node, element in fresh)
        sizes = {name: runs.sizes for name, runs in self._execution.nodes.items()}
        seen = {
            place: self._outputs.get(place)
            for node, element in fresh
            for place in sources_in(self._graph, self._execution, node.id, element)
        }
        inputs = EngineInputs(self._graph, self._parameters, seen, sizes)
        keys = {(node.id, element): self._key(node, element, inputs) for node, element in fresh}
        kept = self._past.kept(self._tenant_id, list(dict.fromkeys(keys.values())))
        found = False
        for (name, element), key in keys.items():
            result = kept.get(key)
            looked = self._looked.setdefault(name, _Looked())
            why = self._refused(name, result)
            if result is None or why:
                looked.misses.append((why, result))
                continue
            looked.hits.append(result)
            self._outputs[name, element] = result.outputs
            self._advance(Reused(name, element, result.outputs, result.sizes, result.execution_id))
            found = True
        return found

    def _refused(self, name: str, result: KeptResult | None) -> str:
        if is_refreshed(name, self._refresh):
            return "it is to be computed anew"
        if result is None:
            return "no result"
        if result.expired:
            return f"the result of execution {_short(result.execution_id)} expired {_at(result.expires_at)}"
        if not has_lengths(result.sizes or {}, self._graph.size_levels.get(name, {})):
            return f"the result of execution {_short(result.execution_id)} was left without the lengths that are mapped over"
        return ""

    def _is_reusable(self, node: Node) -> bool:
        return node.policy.cache is not None and node.id not in self._workflow.not_reused

    def _key(self, node: Node, element: Element, inputs: EngineInputs) -> str:
        does = self._code.functions[_function(node)].digest
        assert does is not None
        return cache_key(node, element, does, self._code.environment, inputs)

    def _advance(self, event: Claimed | Reused) -> None:
        self._execution = advance(self._execution, self._graph, event, self._now).execution

    # -- how it is told

    def _node(
        self, node: Node, cost_s: float | None, reason: str, latest: Mapping[str, tuple[UUID, datetime, UUID]]
    ) -> NodeForecast:
        runs = self._execution.nodes[node.id]
        total = runs.total()
        looked = self._looked.get(node.id, _Looked())
        newest = sorted(looked.hits, key=lambda one: one.created_at, reverse=True)
        known: dict[str, Any] = {
            "name": node.id,
            "elements": total,
            "reused": len(looked.hits),
            "reused_from": tuple(dict.fromkeys(one.execution_id for one in newest)),
            "reused_at": newest[0].created_at if newest else None,
            "cost_s": cost_s,
        }
        if runs.complete:
            return NodeForecast(fate=Fate.REUSED, why=self._found(newest) or "it has no elements", **known)
        on = self._waits_for(node)
        if reason or node.policy.cache is None:
            why = reason or _plain_reason(node)
            return NodeForecast(
                fate=Fate.RUNS, why=f"{why}; it comes after {', '.join(on)}" if on and reason else why, **known
            )
        misses = self._missed(node, looked, latest)
        if on:
            rest = "depends on " + ", ".join(on) + f", which {'runs' if len(on) == 1 else 'run'}"
            if is_refreshed(node.id, self._refresh):
                return NodeForecast(fate=Fate.RUNS, why="it is to be computed anew", **known)
            why = f"{rest}; reused if what it gets from there is as it was"
            return NodeForecast(
                fate=Fate.OPEN, why="; ".join(filter(None, (self._found(newest), misses, why))), **known
            )
        fate = Fate.PARTLY if newest else Fate.RUNS
        return NodeForecast(fate=fate, why="; ".join(filter(None, (self._found(newest), misses))), **known)

    def _waits_for(self, node: Node) -> list[str]:
        """The nodes right before it that have not ended."""
        links = self._graph.links[node.id]
        return list(dict.fromkeys(link.source for link in links if not self._execution.nodes[link.source].complete))

    def _found(self, newest: list[KeptResult]) -> str:
        if not newest:
            return ""
        first = newest[0]
        others = len({one.execution_id for one in newest}) - 1
        more = f" and {others} others" if others > 1 else " and another" if others else ""
        return f"result of execution {_short(first.execution_id)}{more}, {_at(first.created_at)}"

    def _missed(self, node: Node, looked: _Looked, latest: Mapping[str, tuple[UUID, datetime, UUID]]) -> str:
        if not looked.misses:
            return ""
        said: dict[str, int] = {}
        for why, result in looked.misses:
            told = self._changed(node, latest.get(node.id)) if result is None and why == "no result" else why
            said[told] = said.get(told, 0) + 1
        if len(said) == 1 and not looked.hits:
            return next(iter(said))
        return "; ".join(f"of {number}: {told}" for told, number in said.items())

    def _changed(self, node: Node, last: tuple[UUID, datetime, UUID] | None) -> str:
        """What is different from when a result was left last."""
        if last is None:
            return "no execution of this workflow has left a result of it"
        execution_id, at, version_id = last
        since = f"since execution {_short(execution_id)}, {_at(at)}"
        try:
            version, packed = self._past.published(self._tenant_id, version_id)
            code, then = Code.from_bytes(packed), from_document(dict(version.document)).graph.by_id.get(node.id, node)
        except WfError:  # damaged, or of another release: nothing can be compared
            return (
                f"no result for this code and these inputs; the last is of execution {_short(execution_id)}, {_at(at)}"
            )
        entry, before = self._code.functions[_function(node)], code.functions.get(_function(then))
        if before is None or before.digest != entry.digest:
            return f"its code has changed {since}"
        cache, cached = node.policy.cache or Cache(), then.policy.cache or Cache()
        if self._environment(cache, self._code) != self._environment(cached, code):
            return f"its declared environment has changed {since}"
        if cache.salt != cached.salt:
            return f"its salt has changed {since}"
        return f"no result for these inputs; the last is of execution {_short(execution_id)}, {_at(at)}"

    @staticmethod
    def _environment(cache: Cache, code: Code) -> dict[str, str | None]:
        return {name: code.environment.get(name) for name in cache.environment}

    # -- how long

    def _time_s(self, nodes: tuple[NodeForecast, ...], slots: int, *, open_runs: bool) -> float:
        """No less than the work shared by all slots, and than the longest way through the graph."""
        own: dict[str, tuple[float, float]] = {}
        for node in nodes:
            counts = open_runs or node.fate is not Fate.OPEN
            work_s = (node.expected_s or 0.0) if counts else 0.0
            own[node.name] = (work_s, min(work_s, node.cost_s or 0.0))
        ends: dict[str, float] = {}
        for name in self._graph.by_id:
            before_s = max((ends[link.source] for link in self._graph.links[name]), default=0.0)
            ends[name] = before_s + own[name][1]
        return max(sum(work_s for work_s, _ in own.values()) / slots, max(ends.values(), default=0.0))


def _plain_reason(node: Node) -> str:
    match node.type:
        case NodeKind.PYTHON:
            return "no cache"
        case NodeKind.DELAY:
            return "a wait"
        case NodeKind.WORKFLOW:
            return f"an execution of its own, of {node.config['workflow']}"
        case kind:
            return f"a {kind}, which has no cache"


def _function(node: Node) -> str:
    return str(node.config.get("function", ""))


def _short(execution_id: UUID) -> str:
    return str(execution_id)[:13]


def _at(at: datetime | None) -> str:
    return "" if at is None else f"{at.astimezone():%Y-%m-%d %H:%M:%S}"
