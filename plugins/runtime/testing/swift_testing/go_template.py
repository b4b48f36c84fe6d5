"""The part of Go's text/template that chat templates use, so that the Ollama form can be checked without Go.

Known: printing, `if`, `else if`, `else`, `range`, `end`, variables, `eq`, `ne`, `gt`, `and`, `or`, `not`, `len`,
`slice`, `printf` with `%s`, parentheses, string literals and the trim markers `{{-` and `-}}`
(https://pkg.go.dev/text/template).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

ACTION = re.compile(r"(\s*\{\{-\s|\{\{)((?:\"(?:\\.|[^\"\\])*\"|`[^`]*`|.)*?)(\s-\}\}\s*|\}\})", re.DOTALL)
WORD = re.compile(r"\"(?:\\.|[^\"\\])*\"|`[^`]*`|:=|=|[()]|[^\s()=:,]+")


@dataclass
class Node:
    """A text, or an action with the nodes inside it. branches: (condition, nodes) of an if; one for a range."""

    kind: str
    words: list[str] = field(default_factory=list)
    text: str = ""
    branches: list[tuple[list[str], list[Node]]] = field(default_factory=list)


def render(template: str, data: dict[str, Any]) -> str:
    """The text that Go's template engine prints for `data`. ValueError for an action that is not known here."""
    nodes, rest = _parse(_pieces(template))
    if rest:
        raise ValueError(f"the template closes a block that it did not open: {rest[0]}")
    return _print(nodes, data, {"$": data})


def _pieces(template: str) -> list[Node]:
    pieces, at = [], 0
    for match in ACTION.finditer(template):
        pieces += [Node("text", text=template[at : match.start()]), _action(WORD.findall(match[2]))]
        at = match.end()
    return [*pieces, Node("text", text=template[at:])]


def _action(words: list[str]) -> Node:
    if words and words[0] in ("if", "range", "else", "end"):
        return Node(words[0], words[1:])
    return Node("print", words)


def _parse(pieces: list[Node]) -> tuple[list[Node], list[Node]]:
    """Nodes up to the `else` or `end` that closes this level, and what follows from there."""
    nodes: list[Node] = []
    while pieces:
        head, pieces = pieces[0], pieces[1:]
        if head.kind in ("else", "end"):
            return nodes, [head, *pieces]
        if head.kind in ("if", "range"):
            pieces = _block(head, pieces)
        nodes.append(head)
    return nodes, []


def _block(head: Node, pieces: list[Node]) -> list[Node]:
    condition = head.words
    while True:
        inside, pieces = _parse(pieces)
        head.branches.append((condition, inside))
        if not pieces:
            raise ValueError(f"the {head.kind} has no end")
        close, pieces = pieces[0], pieces[1:]
        if close.kind == "end":
            return pieces
        condition = close.words[1:]  # `else` alone, or `else if …`


def _print(nodes: list[Node], dot: Any, variables: dict[str, Any]) -> str:
    return "".join(_print_one(node, dot, variables) for node in nodes)


def _print_one(node: Node, dot: Any, variables: dict[str, Any]) -> str:
    if node.kind == "text":
        return node.text
    if node.kind == "if":
        chosen = next((b for c, b in node.branches if not c or _value(c, dot, variables)), [])
        return _print(chosen, dot, variables)
    if node.kind == "range":
        return _range(node, dot, variables)
    if len(node.words) > 1 and node.words[1] in (":=", "="):
        variables[node.words[0]] = _value(node.words[2:], dot, variables)
        return ""
    return str(_value(node.words, dot, variables))


def _range(node: Node, dot: Any, variables: dict[str, Any]) -> str:
    words, inside = node.branches[0]
    names = words[: words.index(":=")] if ":=" in words else []
    out = ""
    for number, item in enumerate(_value(words[len(names) + bool(names) :], dot, variables) or []):
        variables |= dict(zip(names, (number, item) if len(names) == 2 else (item,), strict=False))
        out += _print(inside, item, variables)
    return out


def _value(words: list[str], dot: Any, variables: dict[str, Any]) -> Any:
    values, rest = _values(words, dot, variables)
    if rest:
        raise ValueError(f"a parenthesis too many in {' '.join(words)}")
    return values


def _values(words: list[str], dot: Any, variables: dict[str, Any]) -> tuple[Any, list[str]]:
    """The value of a call or single word, and the words behind its closing parenthesis."""
    function = words[0] if words and words[0] in FUNCTIONS else None
    words = words[1:] if function else words
    arguments: list[Any] = []
    while words and words[0] != ")":
        if words[0] == "(":
            value, words = _values(words[1:], dot, variables)
            arguments.append(value)
        else:
            arguments.append(_word(words[0], dot, variables))
        words = words[1:]
    return (FUNCTIONS[function](*arguments) if function else arguments[0]), words


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "eq": lambda one, *others: one in others,
    "ne": lambda one, other: one != other,
    "and": lambda *values: next((v for v in values if not v), values[-1]),
    "or": lambda *values: next((v for v in values if v), values[-1]),
    "not": lambda value: not value,
    "gt": lambda one, other: one > other,
    "len": len,
    "printf": lambda form, *values: form % values,
    "slice": lambda value, first: value[first:],
}


def _word(word: str, dot: Any, variables: dict[str, Any]) -> Any:
    if word[0] in '"`':
        return json.loads(word) if word[0] == '"' else word[1:-1]
    if word in ("true", "false"):
        return word == "true"
    if re.fullmatch(r"-?\d+", word):
        return int(word)
    name, *path = word.split(".")
    if name and name not in variables:
        raise ValueError(f"unknown word {word!r}")
    value = variables[name] if name else dot
    for key in filter(None, path):
        value = value.get(key, "") if isinstance(value, dict) else getattr(value, key)
    return value
