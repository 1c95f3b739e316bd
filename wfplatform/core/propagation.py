"""What the end of one element does to others: branches not taken, failed and skipped inputs, maps whose size becomes known.

Most nodes have the common policy, and are skipped with the first input that fails or is skipped. Of careful ones
(`Graph.careful`) nothing is decided before all of it is known, so that how they end does not depend on which message came
first. Refuses to look at values.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from wfplatform.core.draft import Draft
from wfplatform.core.execution import AT_ODDS, WHOLE, Element, NodeState, Run
from wfplatform.core.graph import Link, Node, OutputRef, size_key, size_within
from wfplatform.core.policy import OnFailure, OnSkip

__all__ = ["completed", "decide", "end", "expand_claimed", "spread"]


def completed(draft: Draft, name: str, element: Element, run: Run) -> None:
    """Tell the dependants of an element that it has a result."""
    graph = draft.graph
    if name in graph.barriers:
        draft.needs_plan = True
    if name in graph.sized:
        _expand_items(draft, name, element, run.sizes or {})
    if run.verdict is not None:
        for link in graph.dependants[name]:
            if link.guards and link.target not in graph.careful:
                guard = graph.by_id[link.target].guard
                if guard is not None and guard.verdict is not run.verdict:
                    end(draft, link.target, element[: link.shared], _not_taken(name, run))
    if name in graph.watched:
        for link in graph.dependants[name]:
            if link.target in graph.careful:
                decide(draft, link.target, element[: link.shared], look=run.verdict is not None)
    if name in graph.gates:
        _pass_empty(draft, name, element)


def spread(draft: Draft, name: str, element: Element, run: Run) -> None:
    """Tell the dependants of an element that it failed, was cancelled or skipped."""
    graph = draft.graph
    if name in graph.releasing:
        draft.needs_plan = True
    for link in graph.dependants[name]:
        at = element[: link.shared]
        if link.target in graph.careful:
            decide(draft, link.target, at, look=True)
        elif run.state is not NodeState.SKIPPED or link.port or link.guards:
            end(draft, link.target, at, _skipped(name, run))
    if name in graph.gates:
        _pass_empty(draft, name, element)


def _pass_empty(draft: Draft, name: str, element: Element) -> None:
    """Empty maps that waited for this element have ended now, without any outcome that would say so."""
    for link in draft.graph.dependants[name]:
        for empty in _empty_below(draft, link.target, element[: link.shared]):
            draft.needs_plan = True
            _pass_on(draft, link.target, empty)


def _empty_below(draft: Draft, name: str, prefix: Element) -> Iterator[Element]:
    """Prefixes of a mapped node, this one or longer, below which there are no elements."""
    rank = draft.base.nodes[name].rank
    size = draft.size(name, prefix) if len(prefix) < rank else None
    if size == 0:
        yield prefix
    elif size is not None and len(prefix) + 1 < rank:
        for index in range(size):
            yield from _empty_below(draft, name, (*prefix, index))


def _pass_on(draft: Draft, name: str, prefix: Element) -> None:
    """Look again at what is mapped along with a node, of which there will be no further word below a prefix."""
    for link in draft.graph.dependants[name]:
        if link.target in draft.graph.careful:  # who reads it as a whole may have waited for it, too
            decide(draft, link.target, prefix[: link.shared])
        if link.shared > len(prefix) and draft.size(link.target, prefix) == 0:
            _pass_on(draft, link.target, prefix)


def end(draft: Draft, name: str, prefix: Element, run: Run) -> None:
    """End an element, or all below a prefix, because of what happened elsewhere; what has ended already stays as it is."""
    standing = draft.run(name, prefix)
    if standing is not None:
        if standing.state.final:
            if len(prefix) < draft.base.nodes[name].rank:
                _pass_on(draft, name, prefix)
            return
        run = Run(
            run.state, standing.attempt, upstream=run.upstream, error=run.error, reason=run.reason, sizes=standing.sizes
        )
    if len(prefix) < draft.base.nodes[name].rank:
        draft.put_branch(name, prefix, run)
    else:
        draft.put(name, prefix, run)
    spread(draft, name, prefix, run)


def _refuse(draft: Draft, name: str, prefix: Element, code: str, kind: str, message: str) -> None:
    """A branch of a node cannot be run at all: it fails, and with it the execution."""
    error = {"type": kind, "code": code, "message": message, "retryable": False}
    draft.fail(name, prefix, error)
    end(draft, name, prefix, Run(NodeState.FAILED, 1, error=error))


# -- sizes


def _expand(draft: Draft, name: str, prefix: Element, size: int) -> None:
    """The number of elements of a mapped node below a prefix became known; so it is of those mapped along with it."""
    known = draft.size(name, prefix)
    if known in {size, AT_ODDS}:
        return
    if known is not None:
        draft.set_size(name, prefix, AT_ODDS)
        decide(draft, name, prefix)
        return
    draft.set_size(name, prefix, size)
    draft.needs_plan = True
    for link in draft.graph.dependants[name]:
        if link.shared > len(prefix) and link.port:
            _expand(draft, link.target, prefix, size)


def expand_claimed(draft: Draft, name: str, sizes: Mapping[Element, set[int]]) -> None:
    """What the definition and the parameters say of the size of a node."""
    for prefix, said in sizes.items():
        if len(said) == 1:
            _expand(draft, name, prefix, next(iter(said)))
        else:
            draft.set_size(name, prefix, AT_ODDS)
    if any(len(said) > 1 for said in sizes.values()):
        decide(draft, name, WHOLE)


def _expand_items(draft: Draft, name: str, element: Element, sizes: Mapping[str, int]) -> None:
    graph = draft.graph
    for target in dict.fromkeys(link.target for link in graph.dependants[name] if link.expands):
        node = graph.by_id[target]
        for port, levels in node.over.items():
            binding = node.inputs[port]
            if isinstance(binding, OutputRef) and binding.node == name and levels > len(element):
                _expand_within(draft, target, element, size_key(binding), sizes, levels - len(element), ())


def _expand_within(
    draft: Draft, name: str, element: Element, key: str, sizes: Mapping[str, int], levels: int, indices: Element
) -> None:
    size = sizes.get(size_within(key, indices))
    if size is None:
        return  # no list: `decide` says so once nothing else keeps the node from running
    _expand(draft, name, (*element, *indices), size)
    if levels > 1:
        for index in range(size):
            _expand_within(draft, name, element, key, sizes, levels - 1, (*indices, index))


# -- careful nodes


def decide(draft: Draft, name: str, prefix: Element, *, look: bool = True) -> None:
    """End what of a node its inputs keep from running, at the shortest prefix at which they do, as far as is known already.

    Args:
        prefix: where something new is known.
        look: whether an input may have failed; else inputs of many elements are not looked through.
    """
    node = draft.graph.by_id[name]
    for depth in range(len(prefix)):
        if not _clear(draft, node, prefix[:depth], look=look):
            return
    _decide_below(draft, node, prefix, look=look)


def _decide_below(draft: Draft, node: Node, at: Element, *, look: bool) -> None:
    if not _clear(draft, node, at, look=look) or len(at) == node.rank:
        return
    if any(link.shared > len(at) for link in draft.graph.links[node.id]) or _has_items_within(draft, node, len(at) + 1):
        for index in range(draft.size(node.id, at) or 0):
            _decide_below(draft, node, (*at, index), look=look)


def _has_items_within(draft: Draft, node: Node, depth: int) -> bool:
    """Whether a node is mapped over items within items, which say at this depth how many there are, or that they are no list."""
    return depth < node.rank and any(
        levels > depth >= draft.base.nodes[binding.node].rank
        for port, levels in node.over.items()
        if isinstance(binding := node.inputs[port], OutputRef)
    )


def _clear(draft: Draft, node: Node, at: Element, *, look: bool) -> bool:
    """Whether nothing that is decided at this prefix keeps what is below from running; ends it if something does."""
    standing = draft.known(node.id).get(at)
    if standing is not None and standing.state.final:
        if len(at) < node.rank:
            _pass_on(draft, node.id, at)
        return False
    depth = len(at)
    failed: Run | None = None
    skipped: Run | None = None
    is_open = False
    for link in draft.graph.links[node.id]:
        if link.shared < depth:
            continue
        if link.shared > depth:
            whole = draft.known(link.source).get(at)
            if whole is None or not whole.state.final or depth >= draft.base.nodes[link.source].rank:
                continue
            found, ended = [whole], True
        else:
            found, ended = _standing(draft, link, at, look=look)
        for run in found:
            if link.guards:
                if run.state is NodeState.COMPLETED:
                    if node.guard is not None and run.verdict is not node.guard.verdict:
                        end(draft, node.id, at, _not_taken(link.source, run))
                        return False
                    continue
                if run.state is NodeState.SKIPPED:
                    end(draft, node.id, at, _skipped(link.source, run))
                    return False
            if run.state is NodeState.SKIPPED:
                skipped = skipped or (_skipped(link.source, run) if link.port else None)
            elif run.state is not NodeState.COMPLETED:
                failed = failed or _barred(node, link.source, run)
        if not ended:
            is_open = True
            if link.guards:
                return False
    if failed is not None:
        end(draft, node.id, at, failed)
        return False
    is_strict = node.policy.on_failure is OnFailure.FAIL
    if skipped is not None and node.policy.on_skip is OnSkip.SKIP and not (is_open and is_strict):
        end(draft, node.id, at, skipped)
        return False
    if is_open:
        return False
    return depth == node.rank or _sized(draft, node, at)


def _standing(draft: Draft, link: Link, at: Element, *, look: bool) -> tuple[list[Run], bool]:
    """What has ended of a source below a prefix (only whatever did not complete, if it is many), and whether that is all."""
    source = link.source
    run = draft.run(source, at)
    if len(at) == draft.base.nodes[source].rank or (run is not None and run.state.final):
        return ([run], True) if run is not None and run.state.final else ([], False)
    if not at:
        ended = draft.complete(source)
        if not ended and not look:
            return [], False
        known = draft.known(source).values()
        return [run for run in known if run.state.final and run.state is not NodeState.COMPLETED], ended
    found: list[Run] = []
    size = draft.size(source, at)
    if size is None:
        return [], False
    ended = True
    for index in range(size):
        below, all_ended = _standing(draft, link, (*at, index), look=look)
        found += [run for run in below if run.state is not NodeState.COMPLETED]
        ended = ended and all_ended
    return found, ended


def _sized(draft: Draft, node: Node, at: Element) -> bool:
    """Whether the inputs a node is mapped over agree how many elements there are below a prefix; ends it if they cannot."""
    depth = len(at)
    own = draft.size(node.id, at)
    sizes = {} if own is None else {"": own}
    hopeless: Run | None = None
    for port, levels in node.over.items():
        binding = node.inputs[port]
        if levels <= depth or not isinstance(binding, OutputRef):
            continue
        rank = draft.base.nodes[binding.node].rank
        if depth < rank:
            size = draft.size(binding.node, at)
            run = draft.run(binding.node, at)
        else:
            run = draft.run(binding.node, at[:rank])
            size = None
            if run is not None and run.state is NodeState.COMPLETED:
                size = (run.sizes or {}).get(size_within(size_key(binding), at[rank:]))
                if size is None:
                    if not _may_run(draft, node, at):
                        return False
                    _refuse(
                        draft,
                        node.id,
                        at,
                        "not_mappable",
                        "NodeError",
                        f"{node.id} is mapped over `{port}`, which {binding.node} did not return as a list. "
                        "Return a list from the node before, or hand it over with unmapped(...).",
                    )
                    return False
        if size is not None and size != AT_ODDS:
            sizes[port] = size
        elif depth < rank and _may_be_sized(draft, draft.graph.by_id[binding.node], at):
            return False
        elif run is not None and run.state.final:
            hopeless = hopeless or _skipped(binding.node, run)
    if len(set(sizes.values())) > 1 or own == AT_ODDS:
        if not _may_run(draft, node, at):
            return False
        lengths = ", ".join(f"`{port}` has {size}" for port, size in sizes.items() if port)
        _refuse(
            draft,
            node.id,
            at,
            "map_sizes",
            "NodeError",
            f"{node.id} is mapped over collections of different lengths"
            + (f": {lengths}" if len(sizes) > 2 else "")
            + ". Mapping goes item by item, like zip; mark what every element is to get whole with unmapped(...).",
        )
        return False
    if not sizes:
        if hopeless is not None:
            end(draft, node.id, at, hopeless)
        return False
    if own is None:
        _expand(draft, node.id, at, next(iter(sizes.values())))
    return True


def _may_be_sized(draft: Draft, node: Node, at: Element) -> bool:
    """Whether it may still become known how many elements a node has below a prefix, even if they have ended as a whole."""
    for port, levels in node.over.items():
        binding = node.inputs[port]
        if levels <= len(at) or not isinstance(binding, OutputRef):
            continue
        rank = draft.base.nodes[binding.node].rank
        if len(at) < rank:
            if _may_be_sized(draft, draft.graph.by_id[binding.node], at):
                return True
        else:
            run = draft.run(binding.node, at[:rank])
            if run is None or not run.state.final:
                return True
    return False


def _may_run(draft: Draft, node: Node, at: Element) -> bool:
    """Whether nothing can end a branch of a node as a whole any more, by way of what the node is mapped along with."""
    for link in draft.graph.links[node.id]:
        if link.shared <= len(at):
            found, ended = _standing(draft, link, at[: link.shared], look=False)
            if not ended or any(_bars(node, link, run) for run in found):
                return False
        else:
            run = draft.run(link.source, at)
            ended = run is not None and run.state.final
            if not ended and not _may_run(draft, draft.graph.by_id[link.source], at):
                return False
    return True


def _bars(node: Node, link: Link, run: Run) -> bool:
    """Whether what a node depends on keeps it from running, by the way it has ended."""
    if run.state is NodeState.COMPLETED:
        return link.guards and node.guard is not None and run.verdict is not node.guard.verdict
    if run.state is NodeState.SKIPPED:
        return link.guards or (bool(link.port) and node.policy.on_skip is OnSkip.SKIP)
    return True


# -- how what was not run has ended


def _not_taken(choice: str, run: Run) -> Run:
    said = "true" if run.verdict else "false"
    return Run(NodeState.SKIPPED, reason=f"the branch was not taken: {choice} was {said}")


def _skipped(source: str, run: Run) -> Run:
    """Skipped because of a source; a retry opens it again if in the end a failure was behind it."""
    word = {NodeState.FAILED: "failed", NodeState.CANCELLED: "was cancelled"}.get(run.state, "was skipped")
    upstream = run.upstream or run.state is not NodeState.SKIPPED
    return Run(NodeState.SKIPPED, reason=f"{source} {word}", upstream=upstream)


def _barred(node: Node, source: str, run: Run) -> Run:
    """What becomes of a node with a failed input."""
    skipped = _skipped(source, run)
    if node.policy.on_failure is OnFailure.SKIP:
        return skipped
    error: dict[str, Any] = {
        "type": "UpstreamFailed",
        "code": "upstream_failed",
        "message": f"Not run: {skipped.reason}.",
    }
    return Run(NodeState.FAILED, reason=skipped.reason, upstream=True, error=error)
