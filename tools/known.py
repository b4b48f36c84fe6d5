"""Write `swift_core/catalogue/known.tsv`: which distribution of this repository ships which component.

The kernel answers "It ships in …: pip install …" from it. Run by `make generated`; a test checks that the
file agrees with the pyproject.toml of every plugin.
"""

from __future__ import annotations

import tomllib
from pathlib import Path

from swift_core.contract.kinds import KINDS

ROOT = Path(__file__).parent.parent
TARGET = ROOT / "swift_core" / "catalogue" / "known.tsv"


def rows() -> list[str]:
    """Lines `kind, name, distribution`, tab-separated and sorted."""
    groups = {kind.group: kind.name for kind in KINDS.values()}
    found = []
    for file in plugin_files():
        project = tomllib.loads(file.read_text(encoding="utf-8"))["project"]
        for group, entries in project.get("entry-points", {}).items():
            found += [f"{groups[group]}\t{name}\t{project['name']}" for name in entries if group in groups]
    return sorted(found)


def plugin_files() -> list[Path]:
    """The pyproject.toml of every plugin in this repository."""
    patterns = ("plugins/*/*", "contrib_models/*", "templates_catalog")
    return sorted(file for pattern in patterns for file in ROOT.glob(f"{pattern}/pyproject.toml"))


if __name__ == "__main__":
    TARGET.write_text("".join(f"{row}\n" for row in rows()), encoding="utf-8")
    print(f"{TARGET.relative_to(ROOT)}: {len(rows())} components")
