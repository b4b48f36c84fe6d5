"""Write `docs/troubleshooting.md`: the texts of every `SwiftError` of ours, by distribution, read from the source.

Nothing is imported. A text is put together from the parts that stand in the code, and `…` is what a run fills in. Run
by `make generated`; a test checks that the page is up to date.
"""

from __future__ import annotations

import ast
import functools
import itertools
import re
import tomllib
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "troubleshooting.md"
FOLDERS = ("swift_core", "plugins", "contrib_models", "*_catalog")
LISTS = ("mistakes", "faults", "found")
"""Names under which mistakes are gathered, to be told together."""

Scope = dict[str, ast.expr]
"""What the names of a function stand for."""

GAP = "…"
FEWEST_WORDS = 3
"""A text of fewer words of its own says nothing by which it could be found."""

INTRO = """<!-- Written by tools/troubleshooting.py from the code: change the code, then run `make generated`. -->

# Troubleshooting

A mistake that you can mend is told as a text that says what is wrong, where, and what to do, and the command ends with
exit code 2. Here they are, by the distribution that tells them; a few that are put together in several places are left
out. `…` is what a run fills in: a name, a file, a number. Search for the words around it.

A traceback is another thing: it is a fault of swift-core or of a plugin. Report it with what `swift doctor --report`
writes. Before a long run, `swift explain` finds mistakes of the command and loads nothing, and `swift plan` tells
whether memory will do ([what will a job take?](plan.md)). Options of other programs are in
[Coming from another program](coming-from.md).
"""


def page() -> str:
    """The whole page: a section for each distribution that has texts."""
    found: dict[str, set[str]] = {}
    kinds = _error_classes()
    for file in _files():
        found.setdefault(_distribution(file.parent), set()).update(_texts_of(file, kinds))
    names = sorted((name for name in found if found[name]), key=lambda n: (n != "swift-core", n))
    sections = (f"\n## {name}\n\n" + "".join(f"- {_shown(t)}\n" for t in _sorted(found[name])) for name in names)
    return INTRO + "".join(sections)


def _sorted(texts: Iterable[str]) -> list[str]:
    return sorted(texts, key=lambda text: (re.sub(r"[^\w ]", "", text).strip().casefold(), text))


@functools.cache
def _files() -> tuple[Path, ...]:
    files = itertools.chain.from_iterable(ROOT.glob(f"{folder}/**/*.py") for folder in FOLDERS)
    left_out = {"tests", "build", ".venv"}
    return tuple(sorted(f for f in files if not left_out & set(f.relative_to(ROOT).parts)))


@functools.cache
def _tree(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"))


@functools.cache
def _distribution(folder: Path) -> str:
    """The name in the nearest pyproject.toml."""
    file = folder / "pyproject.toml"
    if file.is_file():
        return str(tomllib.loads(file.read_text(encoding="utf-8"))["project"]["name"])
    return _distribution(folder.parent)


def _error_classes() -> set[str]:
    """`SwiftError` and all classes that derive from it, by name."""
    classes = [node for file in _files() for node in ast.walk(_tree(file)) if isinstance(node, ast.ClassDef)]
    known = {"SwiftError"}
    while more := {c.name for c in classes if {ast.unparse(b) for b in c.bases} & known} - known:
        known |= more
    return known


# -- texts ------------------------------------------------------------------------------------------------
def _texts_of(file: Path, kinds: set[str]) -> set[str]:
    module = _module(file)
    texts = {t for node in ast.walk(module.tree) for given in _told(node, kinds) for t in module.texts(given, {})}
    return {t for t in (re.sub(r"\s+", " ", text).strip() for text in texts) if _says_something(t)}


def _told(node: ast.AST, kinds: set[str]) -> Iterator[ast.expr]:
    """What stands in the place of a text: arguments of an error, what a list of mistakes is, or what is added to it."""
    if isinstance(node, ast.Call):
        gathered = (
            isinstance(node.func, ast.Attribute) and node.func.attr == "append" and _name(node.func.value) in LISTS
        )
        if gathered or _name(node.func) in kinds:
            yield from node.args
    elif isinstance(node, ast.AugAssign | ast.Assign):
        target = node.target if isinstance(node, ast.AugAssign) else node.targets[0]
        if _name(target) in LISTS:
            yield node.value


def _name(node: ast.expr) -> str:
    """`x` of `x`, `self.x` and `a.b.x`; nothing of others."""
    return node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""


def _says_something(text: str) -> bool:
    return len(re.findall(r"[^\W\d_]{2,}", text)) >= FEWEST_WORDS


class Module:
    """A module and its functions, some of which write texts for others. tree: the module, parsed."""

    def __init__(self, tree: ast.Module):
        self.tree = tree
        self.functions = {n.name: n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef)}

    def texts(self, node: ast.expr | None, scope: Scope, depth: int = 5) -> list[str]:
        """All texts that an expression may be, or hold; `…` where the code does not say. scope: names and values."""
        match node:
            case ast.Constant(value=str(text)):
                return [text]
            case ast.JoinedStr(values=parts):
                return self._joined(parts, scope, depth)
            case ast.FormattedValue(value=value):
                return self._inner(value, scope, depth)
            case ast.BinOp(left=left, op=ast.Add(), right=right):
                return self._joined([left, right], scope, depth)
            case ast.IfExp(body=body, orelse=other):
                return [*self.texts(body, scope, depth), *self.texts(other, scope, depth)]
            case ast.List(elts=items) | ast.Tuple(elts=items):
                return [text for item in items for text in self.texts(item, scope, depth)]
            case ast.ListComp(elt=value) | ast.Subscript(value=value) | ast.Starred(value=value):
                return self.texts(value, scope, depth)
            case ast.Name(id=name) if depth and name in scope:
                return self.texts(scope[name], scope, depth - 1)
            case ast.Call(func=ast.Name(id=name)) if depth:
                return self._called(name, depth - 1)
            case ast.Call(func=ast.Attribute(value=ast.Name(id="self"), attr=name)) if depth and name in self.functions:
                return self._called(name, depth - 1)
        return [GAP]

    def _joined(self, parts: Iterable[ast.expr], scope: Scope, depth: int) -> list[str]:
        made = itertools.product(*(dict.fromkeys(self.texts(part, scope, depth)) for part in parts))
        return ["".join(chosen) for chosen in made]

    def _inner(self, value: ast.expr, scope: Scope, depth: int) -> list[str]:
        """A part in braces: alternatives where the code spells them out, a suggestion left out, else `…`."""
        if isinstance(value, ast.Call) and _name(value.func) == "did_you_mean":
            return [""]
        return self.texts(value, scope, depth) if isinstance(value, ast.IfExp) else [GAP]

    def _called(self, name: str, depth: int) -> list[str]:
        """The texts that a function returns or yields: one of this module, or the only one of its name."""
        module, function = (self, self.functions[name]) if name in self.functions else _shared().get(name, (self, None))
        nodes = list(ast.walk(function)) if function else []
        scope = {_name(n.targets[0]): n.value for n in nodes if isinstance(n, ast.Assign)}
        given = [n.value for n in nodes if isinstance(n, ast.Return | ast.Yield)]
        return [text for value in given for text in module.texts(value, scope, depth)] or [GAP]


@functools.cache
def _module(file: Path) -> Module:
    return Module(_tree(file))


@functools.cache
def _shared() -> dict[str, tuple[Module, ast.FunctionDef]]:
    """Functions that can be told by their name alone, with their modules."""
    every = [(_module(file), function) for file in _files() for function in _module(file).functions.values()]
    counts = Counter(function.name for _, function in every)
    return {function.name: (module, function) for module, function in every if counts[function.name] == 1}


def _shown(text: str) -> str:
    """A text as Markdown that shows it as it is."""
    text = re.sub(r"([\\`*\[\]])", r"\\\1", text).replace("<", "&lt;")
    text = re.sub(r"(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])", r"\\_", text)
    return re.sub(f"(?:{GAP}){{2,}}", GAP, text)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(f"docs/troubleshooting.md: {len(page().splitlines())} lines")
