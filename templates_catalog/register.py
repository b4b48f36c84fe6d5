"""Writes the entry points of pyproject.toml from the template files: one for each name and alias.

Run it after a file is added, renamed or given an alias: `python templates_catalog/register.py`.
"""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

HERE = Path(__file__).parent
PROJECT = HERE / "pyproject.toml"
TABLE = '[project.entry-points."swift_core.templates"]\n'


def names() -> dict[str, str]:
    """Every name of the catalogue → the file that declares it. ValueError where two files claim one name."""
    owners: dict[str, str] = {}
    for file in sorted((HERE / "swift_templates_catalog" / "templates").glob("*.toml")):
        facts = tomllib.loads(file.read_text(encoding="utf-8"))
        for name in (file.stem, *facts.get("aliases", ())):
            if name in owners:
                raise ValueError(f"{owners[name]}.toml and {file.name} both declare {name!r}")
            owners[name] = file.stem
    return dict(sorted(owners.items()))


def registered(project: str) -> str:
    """The project file's text with the table of entry points written anew."""
    lines = [f'{name} = "swift_templates_catalog:{file}"\n' for name, file in names().items()]
    table = re.compile(re.escape(TABLE) + r"(?:[^\n\[]+\n)*")
    return table.sub(lambda _: TABLE + "".join(lines), project, count=1)


def main() -> int:
    """Write pyproject.toml."""
    PROJECT.write_text(registered(PROJECT.read_text(encoding="utf-8")), encoding="utf-8")
    print(f"{len(names())} names")
    return 0


if __name__ == "__main__":
    sys.exit(main())
