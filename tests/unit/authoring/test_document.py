"""Documents: nothing is lost either way, canvases are understood, and every problem is told with its place."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import wfplatform
from tests.unit.authoring.policies import POLICIES, SECONDS, TEXT
from wfplatform.authoring.document import (
    MAX_DOCUMENT_BYTES,
    definition_digest,
    definition_warnings,
    document_schema,
    from_document,
    to_document,
)
from wfplatform.core.graph import (
    Binding,
    Constant,
    Definition,
    DictOf,
    Graph,
    Guard,
    ListOf,
    Literal,
    Node,
    OutputRef,
    Parameter,
    ParameterRef,
    PathStep,
)
from wfplatform.core.policy import Limit, Policy, Retry, WorkflowPolicy
from wfplatform.errors import DefinitionError

SCHEMA = jsonschema.Draft202012Validator(document_schema())

PLACE = st.floats(-1e6, 1e6).map(lambda place: place + 0.0)  # minus zero is zero on a canvas
KEYS = TEXT | st.sampled_from(["$ref", "$list", "$literal", "$", "a/b", "after", "guard", "path"])
NAMES = st.from_regex(r"[a-z][a-z0-9_-]{0,6}", fullmatch=True)
PORTS = NAMES | st.sampled_from(["after", "guard", "result", "x.y", "10", "9"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=6,
)
STEPS = st.builds(PathStep, TEXT | st.integers()) | st.builds(PathStep, TEXT, attribute=st.just(value=True))
PATHS = st.lists(STEPS, max_size=2).map(tuple)
PARAMETERS = st.builds(
    Parameter,
    name=NAMES,
    schema=st.just({}) | st.just({"type": ["integer", "array"], "items": {}}),
    required=st.booleans(),
    default=JSON,
    annotation=TEXT,
)


@st.composite
def definitions(draw: st.DrawFn) -> Definition:
    parameters = tuple(draw(st.lists(PARAMETERS, max_size=3, unique_by=lambda p: p.name)))
    nodes: list[Node] = []

    def bindings(depth: int = 2) -> st.SearchStrategy[Binding]:
        options: list[st.SearchStrategy[Binding]] = [
            st.builds(Literal, JSON),
            st.builds(Constant, TEXT, TEXT),
        ]
        if parameters:
            options.append(st.builds(ParameterRef, st.sampled_from([p.name for p in parameters]), PATHS))
        if nodes:
            ends = [(node.id, port) for node in nodes for port in node.outputs]
            options.append(
                st.sampled_from(ends).flatmap(lambda end: st.builds(OutputRef, st.just(end[0]), st.just(end[1]), PATHS))
            )
            options.append(st.sampled_from(ends).map(lambda end: OutputRef(*end)))
        if depth:
            inner = bindings(depth - 1)
            options.append(
                st.builds(ListOf, st.lists(inner, max_size=3).map(tuple), st.sampled_from(["list", "tuple"]))
            )
            pairs = st.lists(st.tuples(KEYS, inner), max_size=3, unique_by=lambda pair: pair[0])
            options.append(st.builds(DictOf, pairs.map(tuple)))
        return st.one_of(options)

    for name in draw(st.lists(NAMES, max_size=6, unique=True)):
        choices = [node.id for node in nodes if node.type == "choice"]
        kind = draw(st.sampled_from(["python", "choice", "custom.type"]))
        inputs = draw(st.dictionaries(PORTS, bindings(), max_size=4)) if kind != "choice" else {}
        config = draw(st.dictionaries(KEYS, JSON, max_size=2))
        if kind == "choice":
            inputs = {"condition": draw(bindings())}
        elif kind == "python":
            config["function"] = "m:f"
            config.pop("ports", None)
        over = {port: 1 for port, value in inputs.items() if isinstance(value, OutputRef) and draw(st.booleans())}
        nodes.append(
            Node(
                id=name,
                type=kind,
                label=draw(TEXT),
                inputs=inputs,
                over=over if kind != "choice" else {},
                outputs=tuple(draw(st.lists(PORTS, min_size=1, max_size=2, unique=True)))
                if draw(st.booleans())
                else ("result",),
                after=tuple(draw(st.lists(st.sampled_from([n.id for n in nodes]), max_size=2, unique=True)))
                if nodes
                else (),
                guard=draw(st.none() | st.builds(Guard, st.sampled_from(choices), st.booleans())) if choices else None,
                config=config,
                policy=draw(POLICIES),
                position=draw(st.none() | st.tuples(PLACE, PLACE)),
                notes=draw(TEXT),
            )
        )
    return Definition(
        name=draw(NAMES),
        description=draw(TEXT),
        policy=draw(
            st.builds(
                WorkflowPolicy,
                timeout_s=SECONDS,
                priority=st.integers(-9, 9),
                max_executions=st.none() | st.integers(1, 9),
                tags=st.lists(TEXT, max_size=2).map(tuple),
            )
        ),
        graph=Graph(nodes=tuple(nodes), result=draw(bindings()), parameters=parameters),
    )


def assert_same(left: Definition, right: Definition) -> None:
    assert left == right
    for one, other in zip(left.graph.nodes, right.graph.nodes, strict=True):
        assert list(one.inputs) == list(other.inputs)  # equal mappings may differ in order
        assert repr(one) == repr(replace(other, over=one.over, config=one.config, policy=other.policy))


@settings(max_examples=150, deadline=None)
@given(definitions())
def test_nothing_is_lost(definition: Definition) -> None:
    document = to_document(definition)
    SCHEMA.validate(document)
    assert_same(from_document(document), definition)
    text = json.dumps(document)
    assert_same(from_document(text), definition)
    assert_same(from_document(text.encode()), definition)
    assert to_document(from_document(text)) == document


@settings(max_examples=60, deadline=None)
@given(definitions(), st.randoms(use_true_random=False))
def test_what_a_canvas_may_do_to_it(definition: Definition, chance: random.Random) -> None:
    document = to_document(definition)
    chance.shuffle(document["nodes"])
    chance.shuffle(document["edges"])
    for node in document["nodes"]:
        node |= {"selected": True, "measured": {"width": 120}}
    sorted_text = json.dumps(document, sort_keys=True)
    found = from_document(sorted_text)
    assert {node.id: list(node.inputs) for node in found.graph.nodes} == {
        node.id: list(node.inputs) for node in definition.graph.nodes
    }
    known: set[str] = set()
    for node in found.graph.nodes:
        assert {link.source for link in found.graph.links[node.id]} <= known
        known.add(node.id)
    assert definition_digest(found, "code") == definition_digest(definition, "code")


def chain() -> Definition:
    nodes = (
        Node(id="load", config={"function": "m:load"}, inputs={"year": ParameterRef("year")}, notes="n"),
        Node(id="clean", config={"function": "m:clean"}, inputs={"rows": OutputRef("load")}, over={"rows": 1}),
        Node(id="big", type="choice", inputs={"condition": OutputRef("clean", path=(PathStep(0),))}),
        Node(
            id="plot",
            config={"function": "m:plot"},
            inputs={"z": OutputRef("clean"), "a": ListOf((OutputRef("load"), Literal({"$x": 1})))},
            after=("load",),
            guard=Guard("big", verdict=True),
            policy=Policy(retry=Retry(delay_s=2.0), timeout_s=60.0, limit=Limit("db", 4)),
            position=(10.5, 20.0),
        ),
    )
    parameters = (Parameter(name="year", schema={"type": "integer"}, required=False, default=2013),)
    return Definition(name="flights", graph=Graph(nodes=nodes, result=OutputRef("plot"), parameters=parameters))


def test_the_form() -> None:
    document = to_document(chain())
    assert document == {
        "schemaVersion": 1,
        "name": "flights",
        "parameters": [{"name": "year", "schema": {"type": "integer"}, "default": 2013}],
        "nodes": [
            {
                "id": "load",
                "type": "python",
                "data": {
                    "inputs": {"year": {"$param": "year"}},
                    "config": {"function": "m:load"},
                    "notes": "n",
                    "autoPosition": True,
                },
                "position": {"x": 0, "y": 0},
            },
            {
                "id": "clean",
                "type": "python",
                "data": {"over": {"rows": 1}, "config": {"function": "m:clean"}, "autoPosition": True},
                "position": {"x": 220, "y": 0},
            },
            {
                "id": "big",
                "type": "choice",
                "data": {"inputs": {"condition": {"$ref": "clean", "path": [0]}}, "autoPosition": True},
                "position": {"x": 440, "y": 0},
            },
            {
                "id": "plot",
                "type": "python",
                "data": {
                    "inputs": {"a": {"$list": [{"$ref": "load"}, {"$literal": {"$x": 1}}]}},
                    "order": ["z", "a"],
                    "after": ["load"],
                    "guard": {"node": "big", "verdict": True},
                    "config": {"function": "m:plot"},
                    "policy": {"retry": {"delayS": 2}, "timeoutS": 60, "limit": ["db", 4]},
                },
                "position": {"x": 10.5, "y": 20},
            },
        ],
        "edges": [
            edge("load", "clean", "result", "rows"),
            edge("clean", "big", "result", "condition"),
            edge("clean", "plot", "result", "z"),
            edge("load", "plot", "result", "a"),
            {"id": "after:load>plot", "type": "after", **ends("load", "plot", "after", "after")},
            {"id": "guard:big>plot", "type": "guard", **ends("big", "plot", "true", "guard")},
        ],
        "result": {"$ref": "plot"},
    }


def ends(source: str, target: str, out: str, into: str) -> dict[str, str]:
    return {"source": source, "target": target, "sourceHandle": out, "targetHandle": into}


def edge(source: str, target: str, out: str, into: str) -> dict[str, str]:
    return {"id": f"e:{source}.{out}>{target}.{into}", **ends(source, target, out, into)}


def python(name: str, **data: Any) -> dict[str, Any]:
    return {"id": name, "type": "python", "data": {"config": {"function": f"m:{name}"}, **data}}


def document(*nodes: dict[str, Any], edges: list[dict[str, Any]] | None = None, **more: Any) -> dict[str, Any]:
    return {"schemaVersion": 1, "name": "w", "nodes": list(nodes), "edges": edges or [], **more}


class TestDrawnOnACanvas:
    def test_an_edge_is_an_input(self) -> None:
        found = from_document(
            document(
                {**python("b"), "position": {"x": 1, "y": 2}},
                python("a"),
                edges=[{"id": "1", "source": "a", "target": "b", "targetHandle": "x"}],
            )
        )
        assert [node.id for node in found.graph.nodes] == ["a", "b"]
        assert found.graph.by_id["b"].inputs == {"x": OutputRef("a")}
        assert found.graph.by_id["b"].position == (1.0, 2.0)

    def test_handles_tell_order_and_branches(self) -> None:
        choice = {"id": "c", "type": "choice", "data": {"config": {"condition": "params.year > 2000"}}}
        found = from_document(
            document(
                python("a"),
                choice,
                python("b"),
                edges=[ends("a", "b", "after", "after"), ends("c", "b", "false", "guard")],
            )
        ).graph.by_id["b"]
        assert found.after == ("a",)
        assert found.guard == Guard("c", verdict=False)

    def test_without_edges_and_data(self) -> None:
        found = from_document('{"schemaVersion": 1, "name": "w", "nodes": [{"id": "x", "type": "http"}]}')
        assert found.graph.nodes == (Node(id="x", type="http"),)

    def test_an_edge_that_the_inputs_tell_in_more_detail(self) -> None:
        a, b = python("a"), python("b", inputs={"x": {"$ref": "a", "path": ["k"]}})
        found = from_document(document(a, b, edges=[edge("a", "b", "result", "x")]))
        assert found.graph.by_id["b"].inputs == {"x": OutputRef("a", path=(PathStep("k"),))}


def problems(given: Any, **arguments: Any) -> list[tuple[str, str]]:
    with pytest.raises(DefinitionError) as caught:
        from_document(given, **arguments)
    return [(problem["place"], problem["code"]) for problem in caught.value.facts["problems"]]


NUMBERS = {"type": "array", "items": {"type": "integer"}}


class TestProblems:
    @pytest.mark.parametrize(
        ("given", "expected"),
        [
            ([], [("", "wrong_type"), ("/name", "wrong_type"), ("/name", "no_name")]),
            ({"schemaVersion": 2, "name": "w", "nodes": []}, [("/schemaVersion", "schema_version")]),
            ({"name": "w"}, [("/schemaVersion", "schema_version")]),
            (document(name="  "), [("/name", "no_name")]),
            (document(node=[]), [("/node", "unknown_key")]),
            (document({"id": "a b", "type": "x"}), [("/nodes/0/id", "node_id")]),
            (document({"id": "a"}), [("/nodes/0/type", "wrong_type"), ("/nodes/0/type", "unknown_type")]),
            (document(python("a"), python("a")), [("/nodes/1/id", "duplicate_id")]),
            (document(python("a", label="a" * 300)), [("/nodes/0", "name_long")]),
            (document(python("a" * 300)), [("/nodes/0/id", "node_id")]),
            (document(python("a")) | {"name": "w" * 300}, [("/name", "name_long")]),
            (document(python("a", inputz={})), [("/nodes/0/data/inputz", "unknown_key")]),
            (document(python("a", policy={"retry": {"delay": 1}})), [("/nodes/0/data/policy/retry/delay", "unknown_key")]),
            (
                document(python("a", policy={"retry": {"attempts": 0}, "lane": "gpu", "timeoutS": "1"})),
                [
                    ("/nodes/0/data/policy/retry", "retry_attempts"),
                    ("/nodes/0/data/policy/lane", "wrong_type"),
                    ("/nodes/0/data/policy/timeoutS", "wrong_type"),
                ],
            ),
            (document(python("a", over={"x": -1})), [("/nodes/0/data/over/x", "over")]),
            (document(python("a", over={"x": 1})), [("/nodes/0/data/over/x", "over_missing_port")]),
            (document(python("a", inputs={"x": {"$reff": "b"}})), [("/nodes/0/data/inputs/x", "unknown_form")]),
            (document(python("a", inputs={"x": [{"$ref": "b"}]})), [("/nodes/0/data/inputs/x/0", "hidden_form")]),
            (document(python("a", inputs={"x": {"$ref": "b"}})), [("/nodes/0/data/inputs/x", "edge_to_nowhere")]),
            (
                document(python("a"), python("b", inputs={"x": {"$list": [{"$ref": "a", "port": "y"}]}})),
                [("/nodes/1/data/inputs/x/$list/0", "unknown_port")],
            ),
            (document(python("a", inputs={"x": {"$param": "y"}})), [("/nodes/0/data/inputs/x", "unknown_parameter")]),
            (document(result={"$ref": "gone"}), [("/result", "edge_to_nowhere")]),
            (
                document(python("a"), edges=[ends("a", "z", "result", "x"), ends("y", "a", "result", "x")]),
                [("/edges/0/target", "edge_to_nowhere"), ("/edges/1/source", "edge_to_nowhere")],
            ),
            (
                document(python("a"), python("b"), edges=[ends("a", "b", "result", "x"), ends("a", "b", "y", "x")]),
                [("/edges/1", "port_taken")],
            ),
            (
                document(python("a"), python("b", inputs={"x": 1}), edges=[ends("a", "b", "result", "x")]),
                [("/edges/0", "port_taken")],
            ),
            (document(python("a", after=["z"])), [("/nodes/0/data/after/0", "edge_to_nowhere")]),
            (
                document(python("a"), python("b", guard={"node": "a", "verdict": True})),
                [("/nodes/1/data/guard", "guard_not_choice")],
            ),
            (document({"id": "a", "type": "python"}), [("/nodes/0/data/config/function", "missing_configuration")]),
            (document({"id": "a", "type": "workflow"}), [("/nodes/0/data/config/workflow", "missing_configuration")]),
            (document({"id": "a", "type": "delay"}), [("/nodes/0/data/config", "missing_configuration")]),
            (document({"id": "a", "type": "choice"}), [("/nodes/0/data/inputs", "missing_input")]),
            (document({"id": "a", "type": "merge"}), [("/nodes/0/data/inputs", "missing_input")]),
            (
                document({"id": "a", "type": "loop"}),
                [
                    ("/nodes/0/data/config/limit", "missing_configuration"),
                    ("/nodes/0/data/inputs", "missing_input"),
                    ("/nodes/0/data/config/function", "missing_configuration"),
                    ("/nodes/0/data/config/while", "missing_configuration"),
                ],
            ),
            (document(python("a", inputs={"x": 5}, over={"x": 1})), [("/nodes/0/data/inputs/x", "map_rank")]),
            (document(python("a", inputs={"x": [1]}, over={"x": 2})), [("/nodes/0/data/inputs/x", "map_rank")]),
            (
                document(python("a"), python("b", inputs={"x": {"$list": [[1], {"$ref": "a"}]}}, over={"x": 2})),
                [("/nodes/1/data/inputs/x", "map_depth")],
            ),
            (
                document(python("a", inputs={"x": {"$list": [{"$list": [{"$constant": "d" * 64}]}]}}, over={"x": 3})),
                [("/nodes/0/data/inputs/x", "map_depth")],
            ),
            (
                document(
                    python("a", inputs={"x": {"$param": "n"}}, over={"x": 1}),
                    parameters=[{"name": "n", "schema": {"type": "integer"}}],
                ),
                [("/nodes/0/data/inputs/x", "map_rank")],
            ),
            (
                document(python("a", inputs={"x": [1, 2], "y": [1, 2, 3]}, over={"x": 1, "y": 1})),
                [("/nodes/0/data/over", "map_lengths")],
            ),
            (
                document(
                    python("a", inputs={"x": [1, 2]}, over={"x": 1}),
                    python("b", inputs={"x": {"$ref": "a"}, "y": [1, 2, 3]}, over={"x": 1, "y": 1}),
                ),
                [("/nodes/1/data/over", "map_lengths")],
            ),
            (
                document(
                    {"id": "c", "type": "choice", "data": {"inputs": {"condition": [1]}, "over": {"condition": 1}}},
                    python("b", guard={"node": "c", "verdict": True}),
                ),
                [("/nodes/1/data/guard", "map_rank")],
            ),
            (
                document(parameters=[{"name": "a"}, {"name": "a"}, {"name": ""}]),
                [("/parameters/1/name", "duplicate_id"), ("/parameters/2/name", "no_name")],
            ),
            ('{"schemaVersion": 1, "schemaVersion": 1}', [("/schemaVersion", "duplicate_key")]),
            ('{"a": NaN}', [("/a", "number_not_finite")]),
            (
                {"a": ["\ud800", "\0", float("inf")]},
                [("/a/0", "lone_surrogate"), ("/a/1", "nul_character"), ("/a/2", "number_not_finite")],
            ),
            ("[" * 70 + "]" * 70, [("/0" * 64, "nested_too_deep")]),
        ],
    )  # fmt: skip
    def test_each_has_its_place_and_code(self, given: Any, expected: list[tuple[str, str]]) -> None:
        assert problems(given) == expected

    def test_all_at_once_with_node_and_port(self) -> None:
        given = document(
            python("a", inputs={"x": {"$ref": "gone"}}),
            {"id": "b", "type": "delay"},
            python("c", after=["nowhere"]),
        )
        with pytest.raises(DefinitionError, match="Workflow 'w' has 3 problems") as caught:
            from_document(given)
        found = caught.value.facts["problems"]
        assert [problem["node"] for problem in found] == ["a", "b", "c"]
        assert found[0]["port"] == "x"
        assert "- node 'a', port 'x': There is no node 'gone' to take a value from." in caught.value.message

    def test_cycles_are_named_each_once(self) -> None:
        given = document(
            *(python(name) for name in "abcdefx"),
            edges=[
                ends("c", "a", "result", "i"), ends("a", "b", "result", "i"), ends("b", "c", "result", "i"),
                ends("d", "e", "after", "after"), ends("e", "d", "result", "i"),
                ends("f", "f", "result", "i"), ends("c", "x", "result", "i"),
            ],
        )  # fmt: skip
        with pytest.raises(DefinitionError) as caught:
            from_document(given)
        cycles = sorted(problem["message"] for problem in caught.value.facts["problems"])
        assert cycles == [
            "The nodes wait for each other: a -> b -> c -> a.",
            "The nodes wait for each other: d -> e -> d.",
            "The nodes wait for each other: f -> f.",
        ]

    def test_types_that_are_not_known(self) -> None:
        given = document({"id": "a", "type": "htpp"}, python("b"))
        assert problems(given, known_types={"http"}) == [("/nodes/0/type", "unknown_type")]

    @pytest.mark.parametrize(
        ("given", "taken", "over", "fits"),
        [
            ({"type": "integer"}, {"type": "number"}, 0, True),
            ({"type": "string"}, {"type": "integer"}, 0, False),
            ({"type": "string"}, {}, 0, True),
            ({"type": "string"}, {"anyOf": [{"type": "integer"}, {"type": "null"}]}, 0, False),
            ({"enum": ["a"]}, {"anyOf": [{"type": "string"}, {"type": "null"}]}, 0, True),
            ({"$ref": "#/$defs/a", "$defs": {"a": {"type": "string"}}}, {"type": "object"}, 0, False),
            (NUMBERS, NUMBERS, 0, True),
            (NUMBERS, {"type": "array", "items": {"type": "string"}}, 0, False),
            (NUMBERS, {"type": "integer"}, 1, True),
            (NUMBERS, {"type": "integer"}, 0, False),
            ({"type": "integer"}, {"type": "integer"}, 1, False),
        ],
    )
    def test_types_of_ports(self, given: Any, taken: Any, over: int, fits: bool) -> None:
        a = python("a")
        a["data"]["config"]["ports"] = {"outputs": {"result": given}}
        b = python("b", **({"over": {"x": over}} if over else {}))
        b["data"]["config"]["ports"] = {"inputs": {"x": taken}}
        drawn = document(a, b, edges=[edge("a", "b", "result", "x")])
        if fits:
            from_document(drawn)
        else:
            assert problems(drawn) == [("/nodes/1/data/inputs/x", "type_mismatch")]

    def test_ports_a_function_does_not_have(self) -> None:
        node = python("a", inputs={"y": 1})
        node["data"]["config"]["ports"] = {"inputs": {"x": {}}}
        assert problems(document(node)) == [("/nodes/0/data/inputs/y", "unknown_port")]

    def test_size_is_judged_before_reading(self) -> None:
        with pytest.raises(DefinitionError, match="at most 10485760 are allowed") as caught:
            from_document(b"[" * (MAX_DOCUMENT_BYTES + 1))
        assert caught.value.code == "too_large"

    def test_too_many_nodes(self) -> None:
        nodes = [{"id": f"n{index}", "type": "x"} for index in range(10_001)]
        assert problems(document(*nodes)) == [("/nodes", "too_many_nodes")]
        found = from_document(document(*nodes[:10_000]))
        assert [warning.code for warning in definition_warnings(found)] == ["many_nodes"]
        assert definition_warnings(from_document(document(*nodes[:500]))) == []


class TestDigest:
    def test_looks_do_not_count(self) -> None:
        plain = chain()
        nodes = [replace(node, label="L", notes="N", position=(1.0, 1.0)) for node in plain.graph.nodes]
        dressed = replace(plain, graph=replace(plain.graph, nodes=tuple(nodes)))
        assert definition_digest(plain, "c") == definition_digest(dressed, "c")
        assert len(definition_digest(plain, "c")) == 64

    def test_everything_else_does(self) -> None:
        plain = chain()
        load, *rest = plain.graph.nodes
        graphs = [
            replace(plain.graph, nodes=(replace(load, policy=Policy(priority=1)), *rest)),
            replace(plain.graph, nodes=(replace(load, inputs={"year": Literal(1)}), *rest)),
            replace(plain.graph, result=OutputRef("load")),
            replace(plain.graph, parameters=(replace(plain.graph.parameters[0], default=2014),)),
        ]
        digests = {definition_digest(replace(plain, graph=graph), "c") for graph in graphs}
        digests |= {definition_digest(plain, code) for code in ("c", "d")}
        assert len(digests) == 6

    def test_previews_of_constants_do_not_count(self) -> None:
        def of(preview: str) -> str:
            node = Node(id="a", config={"function": "m:f"}, inputs={"x": Constant("d", preview)})
            return definition_digest(Definition(name="w", graph=Graph(nodes=(node,))), "c")

        assert of("<object at 0x1>") == of("<object at 0x2>")

    def test_another_process_finds_the_same(self) -> None:
        text = json.dumps(to_document(chain()))
        code = (
            "import sys; from wfplatform.authoring.document import *\n"
            "print(definition_digest(from_document(sys.stdin.read()), 'c'))"
        )
        root = Path(wfplatform.__file__).parents[1]
        answers = {
            subprocess.run(
                [sys.executable, "-c", code], input=text, env={"PYTHONHASHSEED": seed, "PYTHONPATH": str(root)},
                capture_output=True, text=True, check=True, timeout=60,
            ).stdout.strip()
            for seed in ("1", "2")
        }  # fmt: skip
        assert answers == {definition_digest(chain(), "c")}
