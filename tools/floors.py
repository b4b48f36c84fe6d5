"""Prove version floors: `python tools/floors.py` lists every name that a distribution imports and its floor lacks.

A distribution says `swift-plugin-runtime>=0.4`. Then each name that it imports from the runtime must stand in the
runtime as it was when its version was 0.4: in this checkout where that is the version now, else in the last commit
that had it. Names are compared, nothing is installed.
"""

from __future__ import annotations

import ast
import functools
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
BASES = {
    "swift-core": ".",
    "swift-plugin-runtime": "plugins/runtime/runtime",
    "swift-plugin-serving": "plugins/runtime/serving",
    "swift-testing": "plugins/runtime/testing",
}
"""Distributions that others build on, and their folders."""


@dataclass(frozen=True)
class Tree:
    """The files of a checkout as they are, or as they were in a commit."""

    root: Path
    commit: str = ""

    def read(self, path: str) -> str:
        """A file's text; empty where there is none."""
        if not self.commit:
            file = self.root / path
            return file.read_text(encoding="utf-8") if file.is_file() else ""
        return git(self.root, "show", f"{self.commit}:{path.removeprefix('./')}")


def git(root: Path, *words: str) -> str:
    """What git prints; empty where it fails."""
    done = subprocess.run(["git", *words], cwd=root, capture_output=True, text=True, check=False)
    return done.stdout if not done.returncode else ""


def mistakes(root: Path = ROOT) -> list[str]:
    """One line for each floor that is too low or was never a version."""
    folders = [
        f.parent
        for f in sorted([*root.glob("plugins/*/*/pyproject.toml"), *root.glob("contrib_models/*/pyproject.toml")])
    ]
    return [line for folder in folders for line in _of_distribution(root, folder)]


def _of_distribution(root: Path, folder: Path) -> Iterator[str]:
    project = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    floors = dict(_floors(project.get("dependencies", [])))
    for base, place in BASES.items():
        package = base.replace("-", "_")
        wanted = sorted(names_from(folder, package)) if place != str(folder.relative_to(root)) else []
        if wanted and base not in floors:
            yield f"{project['name']} imports {package} and does not require {base}"
        elif wanted:
            yield from _lacking(root, project["name"], base, floors[base], wanted)


def _floors(requirements: list[str]) -> Iterator[tuple[str, str]]:
    for line in requirements:
        match = re.match(r"([a-z0-9-]+)>=([0-9.]+)", line)
        if match:
            yield match[1], match[2]


def _lacking(root: Path, name: str, base: str, floor: str, wanted: list[tuple[str, str]]) -> Iterator[str]:
    tree = tree_of(root, BASES[base], floor)
    if tree is None:
        yield f"{name} requires {base}>={floor}, and no commit has that version"
        return
    for module, word in wanted:
        if not has(tree, BASES[base], module, word):
            yield f"{name} imports {word} from {module}, which {base} {floor} does not have: raise the floor"


@functools.cache
def tree_of(root: Path, place: str, version: str) -> Tree | None:
    """The checkout or the last commit in which the distribution at `place` has a version; None where none has it."""
    if _same(_version(Tree(root), place), version):
        return Tree(root)
    file = f"{place}/pyproject.toml".removeprefix("./")
    changes = git(root, "log", "--format=%H", "--", file).split()
    for newer, older in zip(["HEAD", *changes], changes, strict=False):
        if _same(_version(Tree(root, older), place), version):
            return Tree(root, older if newer == "HEAD" else f"{newer}~1")
    return None


def _version(tree: Tree, place: str) -> str:
    match = re.search(r'^version = "([^"]+)"', tree.read(f"{place}/pyproject.toml"), re.MULTILINE)
    return match[1] if match else ""


def _same(one: str, other: str) -> bool:
    return bool(one) and _padded(one) == _padded(other)


def _padded(version: str) -> list[int]:
    parts = [int(p) for p in version.split(".")]
    return parts + [0] * (3 - len(parts))


def names_from(folder: Path, package: str) -> set[tuple[str, str]]:
    """(module, name) of everything that a distribution's own code imports from `package`."""
    names = set()
    for file in folder.glob("*/**/*.py"):
        if "tests" not in file.relative_to(folder).parts:
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == package:
                    names |= {(str(node.module), alias.name) for alias in node.names}
    return names


@functools.cache
def has(tree: Tree, place: str, module: str, name: str) -> bool:
    """Whether a module of a tree has a name: its own, a submodule, or one that its `__all__` lists."""
    base = f"{place}/{module.replace('.', '/')}"
    text = tree.read(f"{base}.py") or tree.read(f"{base}/__init__.py")
    below = f"{base}/{name}"
    return name in _defined(text) or bool(tree.read(f"{below}.py") or tree.read(f"{below}/__init__.py"))


@functools.cache
def _defined(text: str) -> frozenset[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        elif isinstance(node, ast.ImportFrom | ast.Import):
            names |= {a.asname or a.name for a in node.names}
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.isidentifier():
            names.add(node.value)  # a name in `__all__`, which a module's `__getattr__` finds
    return frozenset(names)


def main() -> None:
    """Print the mistakes; exit 1 where there are any."""
    lines = mistakes()
    print("\n".join([*lines, f"{len(lines)} floors to raise"]))
    sys.exit(bool(lines))


if __name__ == "__main__":
    main()
