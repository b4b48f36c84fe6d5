"""Hold docstrings to their functions: `python tools/docstrings.py` lists every public function that keeps a rule not.

Two rules that pydoclint does not know: a function with a tensor in its signature names shapes, and a function that
raises `SwiftError` says so. Hook implementations are left out: their docstring stands at the spec.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
FOLDERS = ("swift_core", "plugins", "contrib_models", "templates_catalog", "datasets_catalog", "recipes_catalog")
SHAPE = re.compile(r"\[[^\]]*\]|\bshape|\bscalar|\bany shape", re.IGNORECASE)

Function = ast.FunctionDef | ast.AsyncFunctionDef


def mistakes(root: Path = ROOT) -> list[str]:
    """One line for each docstring that lacks what its function does."""
    files = [f for folder in FOLDERS for f in sorted((root / folder).rglob("*.py")) if "tests" not in f.parts]
    return [line for file in files for line in mistakes_in(file, root)]


def mistakes_in(file: Path, root: Path = ROOT) -> Iterator[str]:
    """The lines about one file."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    for function in _public(tree.body):
        text = ast.get_docstring(function) or ""
        where = f"{file.relative_to(root)}:{function.lineno}: {function.name}"
        if _has_tensor(function) and not SHAPE.search(text):
            yield f"{where} takes or gives a tensor and its docstring names no shape"
        if _raises(function) and "SwiftError" not in text and not re.search(r"\b[Rr]efuse", text):
            yield f"{where} raises SwiftError and its docstring does not say when"


def _public(body: list[ast.stmt]) -> Iterator[Function]:
    """Functions and methods without a leading underscore, hooks and overrides left out."""
    for node in body:
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            yield from _public(node.body)
        elif isinstance(node, Function) and not node.name.startswith("_") and not _is_hook(node):
            yield node


def _is_hook(function: Function) -> bool:
    return any("hookimpl" in ast.unparse(d) or "override" in ast.unparse(d) for d in function.decorator_list)


def _has_tensor(function: Function) -> bool:
    given = [a.annotation for a in (*function.args.args, *function.args.kwonlyargs)]
    return any("Tensor" in ast.unparse(a) for a in (*given, function.returns) if a is not None)


def _raises(function: Function) -> bool:
    raised = [n.exc for n in ast.walk(function) if isinstance(n, ast.Raise) and isinstance(n.exc, ast.Call)]
    return any(isinstance(c.func, ast.Name) and c.func.id.startswith("SwiftError") for c in raised)


def main() -> None:
    """Print the mistakes; exit 1 where there are any."""
    lines = mistakes()
    print("\n".join([*lines, f"{len(lines)} docstrings to mend"]))
    sys.exit(bool(lines))


if __name__ == "__main__":
    main()
