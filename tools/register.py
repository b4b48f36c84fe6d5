"""Write the entry points of the catalogues from their files: names and aliases of templates and data sets, recipes.

Run it after a file is added, renamed or given an alias: `python tools/register.py`.
"""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent
CATALOGUES = ("templates", "datasets", "recipes")


def names(kind: str) -> dict[str, str]:
    """Every name of a catalogue → the file that declares it. ValueError where two files claim one name.

    A file declares its own name, unless it says another, and its aliases; what follows `=` in one is not its name.
    """
    owners: dict[str, str] = {}
    for file in sorted((ROOT / f"{kind}_catalog" / f"swift_{kind}_catalog" / kind).glob("*.*")):
        for name in _declared(file):
            if name in owners:
                raise ValueError(f"{owners[name]} and {file.stem} both declare {name!r}")
            owners[name] = file.stem
    return dict(sorted(owners.items()))


def _declared(file: Path) -> list[str]:
    """The names that a file declares; a recipe is called as its file, with dashes."""
    if file.suffix == ".yaml":
        return [file.stem.replace("_", "-")]
    facts = tomllib.loads(file.read_text(encoding="utf-8"))
    return [facts.get("name", file.stem), *(a.partition("=")[0] for a in facts.get("aliases", ()))]


def project(kind: str) -> Path:
    """The project file of a catalogue."""
    return ROOT / f"{kind}_catalog" / "pyproject.toml"


def registered(kind: str) -> str:
    """The project file's text with the table of entry points written anew."""
    head = f'[project.entry-points."swift_core.{kind}"]\n'
    lines = [f'{_key(name)} = "swift_{kind}_catalog:{file}"\n' for name, file in names(kind).items()]
    table = re.compile(re.escape(head) + r"(?:[^\n\[]+\n)*")
    return table.sub(lambda _: head + "".join(lines), project(kind).read_text(encoding="utf-8"), count=1)


def _key(name: str) -> str:
    return name if re.fullmatch(r"[\w-]+", name) else f'"{name}"'


def main() -> int:
    """Write both project files."""
    for kind in CATALOGUES:
        project(kind).write_text(registered(kind), encoding="utf-8")
        print(f"{kind}: {len(names(kind))} names")
    return 0


if __name__ == "__main__":
    sys.exit(main())
