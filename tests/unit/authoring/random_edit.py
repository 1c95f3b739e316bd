"""Edits of projects made at random: some that may matter, and some of looks alone.

Refuses to say what an edit means; that is found by running what was edited.
"""

from __future__ import annotations

import ast
import io
import random
import tokenize
from typing import Any

from tests.unit.authoring.random_project import Project

__all__ = ["behaviour_edit", "neutral_edit"]


def behaviour_edit(chance: random.Random, texts: Project) -> Project:
    """A project in which something was changed that may matter."""
    trees = {name: ast.parse(text) for name, text in texts.items() if name.endswith(".py")}
    places = [(name, node) for name, tree in trees.items() for node in ast.walk(tree) if _is_mutable(node)]
    others = [(name, None) for name in texts.keys() - trees.keys()]
    name, node = chance.choice([*places, *others])
    if node is None:
        return {**texts, name: texts[name] + str(chance.randint(1, 9))}
    _mutate(chance, node)
    return {**texts, name: ast.unparse(ast.fix_missing_locations(trees[name])) + "\n"}


def _is_mutable(node: ast.AST) -> bool:
    match node:
        case ast.Constant(value=value):
            return isinstance(value, (bool, int, float, str))
        case ast.BinOp() | ast.Compare() | ast.IfExp() | ast.Return(value=ast.expr()) | ast.keyword() | ast.arguments():
            return True
        case ast.FunctionDef(body=body) | ast.ClassDef(body=body) | ast.Module(body=body):
            return len(body) > 1
        case ast.List(elts=items) | ast.Tuple(elts=items, ctx=ast.Load()):
            return len(items) > 1
        case _:
            return False


def _mutate(chance: random.Random, node: Any) -> None:
    match node:
        case ast.Constant(value=bool()):
            node.value = not node.value
        case ast.Constant(value=int() | float()):
            node.value = chance.choice([node.value + 1, float(node.value), node.value * 2])
        case ast.Constant(value=str()):
            node.value = node.value + chance.choice(["x", " "])
        case ast.BinOp():
            node.op = chance.choice([ast.Add(), ast.Sub(), ast.Mult()])
        case ast.Compare():
            node.ops[0] = chance.choice([ast.Lt(), ast.GtE(), ast.NotEq(), ast.Eq()])
        case ast.IfExp():
            node.body, node.orelse = node.orelse, node.body
        case ast.Return():
            node.value = ast.List(elts=[node.value], ctx=ast.Load())
        case ast.keyword():
            if isinstance(node.value, ast.Constant) and isinstance(node.value.value, int):
                node.value = ast.Constant(value=int(node.value.value) + 1)
        case ast.arguments():
            node.args.reverse()
        case ast.List() | ast.Tuple():
            node.elts.reverse()
        case _:
            one, other = chance.sample(range(len(node.body)), 2)
            if chance.random() < 0.5:
                node.body[one], node.body[other] = node.body[other], node.body[one]
            else:
                del node.body[one]


def neutral_edit(chance: random.Random, texts: Project) -> Project:
    """A project in which only looks were changed, or what nobody reaches."""
    name = chance.choice([name for name, text in texts.items() if text.strip() and name.endswith(".py")])
    edit = chance.choice([_commented, _unparsed, _documented, _spread, _joined, _lengthened])
    return {**texts, name: edit(chance, texts[name])}


def _commented(chance: random.Random, text: str) -> str:
    found = []
    for line in text.splitlines():
        if chance.random() < 0.3:
            found.append("# " + chance.choice(["why", "def f(x): return 5", "'''"]))
        if chance.random() < 0.2:
            found.append("")
        found.append(line + ("  # so" if chance.random() < 0.2 and line.strip() else ""))
    return "\n".join(found) + "\n"


def _unparsed(chance: random.Random, text: str) -> str:
    del chance
    return ast.unparse(ast.parse(text)) + "\n"


def _documented(chance: random.Random, text: str) -> str:
    tree = ast.parse(text)
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.ClassDef, ast.Module)) and chance.random() < 0.5:
            if ast.get_docstring(node) is not None:
                node.body = node.body[1:] or [ast.Pass()]
            else:
                words = ast.Constant(value=f"Says {chance.random()}.")
                node.body = [ast.Expr(value=words), *node.body]
    return ast.unparse(ast.fix_missing_locations(tree)) + "\n"


def _spread(chance: random.Random, text: str) -> str:
    """Line breaks within brackets."""
    lines = text.splitlines(keepends=True)
    places = []
    depth = fstring = 0
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        kind = tokenize.tok_name[token.type]
        fstring += (kind == "FSTRING_START") - (kind == "FSTRING_END")
        if token.string in ("(", "[", "{") and kind == "OP":
            depth += 1
        elif token.string in (")", "]", "}") and kind == "OP":
            depth -= 1
        if kind == "OP" and depth and not fstring and token.string in ("(", "[", "{", ",", "+", "-", "*"):
            places.append(token.end)
    for row, column in reversed(places):
        if chance.random() < 0.5:
            line = lines[row - 1]
            lines[row - 1] = line[:column] + "\n" + " " * chance.randint(0, 9) + line[column:]
    return "".join(lines)


def _joined(chance: random.Random, text: str) -> str:
    """Simple bodies on the line of what they belong to, or on one line with what follows."""
    lines = _unparsed(chance, text).splitlines()
    found: list[str] = []
    for line in lines:
        words, before = line.strip(), found[-1].strip() if found else ""
        simple = words and words.split()[0] not in _COMPOUND and words[0] != "@" and words[-1] != ":"
        deep = len(line) - len(line.lstrip())
        deep_before = len(found[-1]) - len(before) if found else 0
        if simple and before and chance.random() < 0.5 and before[0] not in "@'\"":
            is_simple = before.split()[0] not in _COMPOUND and before[-1] != ":"
            if is_simple and deep == deep_before:
                found[-1] += "; " + words
                continue
        found.append(line)
    return "\n".join(found) + "\n"


_COMPOUND = {
    "if",
    "elif",
    "else:",
    "for",
    "while",
    "def",
    "class",
    "with",
    "try:",
    "except",
    "finally:",
    "match",
    "case",
    "async",
}


def _lengthened(chance: random.Random, text: str) -> str:
    """Something that nobody reaches, somewhere between the others."""
    blocks = ast.parse(text).body
    lines = text.splitlines()
    starts = [min([node.lineno, *(one.lineno for one in getattr(node, "decorator_list", ()))]) for node in blocks]
    at = chance.choice([*starts, len(lines) + 1]) - 1
    if "__future__" in text or (at < len(lines) and ";" in lines[at]):
        at = len(lines)
    number = chance.randint(0, 999)
    more = chance.choice(
        [
            f"def lonely_{number}(x):\n    if x: return {number}\n    return [y for y in x]",
            f"class Lonely_{number}:\n    at = {number}\n    def go(self): return self.at",
            f"LONELY_{number} = {number}",
        ]
    )
    return "\n".join([*lines[:at], more, *lines[at:]]) + "\n"
