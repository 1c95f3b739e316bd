"""`wfp workflows ...`: what is published: names, versions, parameters, nodes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from wfplatform.cli.command import command, command_group
from wfplatform.cli.connection import connected
from wfplatform.cli.screen import Screen
from wfplatform.core.graph import Graph, NodeKind, Parameter
from wfplatform.core.identifier import DEFAULT_TENANT

if TYPE_CHECKING:
    from wfplatform.core.graph import Node

__all__ = ["add_to"]


def add_to(root: typer.Typer) -> None:
    """Add the group to the root."""
    group = command_group("workflows", "Published workflows: list, show.")
    command(group, "list")(list_workflows)
    command(group)(show)
    root.add_typer(group)


def list_workflows(
    screen: Screen,
    limit: Annotated[int, typer.Option(help="How many at most.", min=1, max=10_000)] = 50,
    after: Annotated[str | None, typer.Option(metavar="NAME", help="Go on after this name.")] = None,
) -> None:
    """List workflows by name."""
    with connected(screen) as platform:
        page = platform.reader.workflows(DEFAULT_TENANT, limit=limit, after=after)
    if screen.as_json:
        from wfplatform.cli.view import workflow_document

        screen.document({"items": [workflow_document(one) for one in page.items], "next": page.next})
        return
    if not page.items:
        screen.say("No workflow is published yet; running one publishes it.")
        return
    from wfplatform.cli.screen import table
    from wfplatform.cli.words import first_line, instant

    rows = [
        (
            one.name,
            str(one.number or "-"),
            instant(one.updated_at),
            one.created_by,
            first_line(one.description, 80),
        )
        for one in page.items
    ]
    screen.say(table(("name", "version", "published", "by", "description"), rows, right=("version",)))
    if page.next is not None:
        screen.say(f"There are more: --after {page.next}")


def show(screen: Screen, name: Annotated[str, typer.Argument(help="The name of a workflow.")]) -> None:
    """Show a workflow: its parameters, its nodes, its versions and its last executions."""
    with connected(screen) as platform:
        record = platform.reader.workflow(DEFAULT_TENANT, name)
        versions = platform.reader.versions(DEFAULT_TENANT, name, limit=10)
        last = platform.reader.executions(DEFAULT_TENANT, workflow_name=name, limit=5).items
        graph = Graph(nodes=()) if record.version_id is None else platform.executions.graph(record.version_id)
    if screen.as_json:
        from wfplatform.cli.view import execution_document, version_document, workflow_document

        screen.document(
            {
                **workflow_document(record),
                "parameters": [_parameter_document(one) for one in graph.parameters],
                "nodes": [_node_document(graph, one) for one in graph.nodes],
                "versions": [version_document(one) for one in versions],
                "executions": [execution_document(one) for one in last],
            }
        )
        return
    from rich.text import Text

    from wfplatform.cli.screen import STYLE, table
    from wfplatform.cli.words import instant, state_word

    screen.say(
        Text.assemble((record.name, "bold"), f"  version {record.number}, published {instant(record.updated_at)}")
    )
    if record.description:
        screen.say(record.description.strip())
    if graph.parameters:
        screen.say()
        parameters = [
            (
                one.name,
                one.annotation or "any",
                "must be given" if one.required else json.dumps(one.default, ensure_ascii=False),
            )
            for one in graph.parameters
        ]
        screen.say(table(("parameter", "type", "default"), parameters))
    screen.say()
    nodes = [(one.id, _kind(one), ", ".join(_sources(graph, one)) or "-", _policies(one)) for one in graph.nodes]
    screen.say(table(("node", "type", "after", "policies"), nodes))
    screen.say()
    screen.say(table(("version", "digest"), [(str(one.number), one.digest) for one in versions], right=("version",)))
    if last:
        screen.say()
        rows = [
            (str(one.id), Text(state_word(one.state), style=STYLE[one.state]), instant(one.created_at)) for one in last
        ]
        screen.say(table(("last executions", "state", "asked for"), rows))


def _parameter_document(parameter: Parameter) -> dict[str, Any]:
    found: dict[str, Any] = {
        "name": parameter.name,
        "type": parameter.annotation,
        "required": parameter.required,
        "schema": dict(parameter.schema),
    }
    return found if parameter.required else found | {"default": parameter.default}


def _node_document(graph: Graph, node: Node) -> dict[str, Any]:
    return {"id": node.id, "type": node.type, "mapped": node.rank > 0, "after": _sources(graph, node)}


def _sources(graph: Graph, node: Node) -> list[str]:
    return list(dict.fromkeys(link.source for link in graph.links[node.id]))


def _kind(node: Node) -> str:
    kind = f"{node.type} {node.config['workflow']}" if node.type == NodeKind.WORKFLOW else node.type
    return f"{kind}, mapped" if node.rank else kind


def _policies(node: Node) -> str:
    policy = node.policy
    found = [
        f"{policy.attempts} tries" if policy.attempts > 1 else "",
        f"timeout {policy.timeout_s:g} s" if policy.timeout_s is not None else "",
        "cached" if policy.cache is not None else "",
        "effect" if policy.effect else "",
        f"lane {policy.lane}" if policy.lane != "cpu" else "",
    ]
    return ", ".join(filter(None, found)) or "-"
