"""Write `swift_core/catalogue/known.tsv`: which distribution of this repository ships which component.

And `swift_core/catalogue/known_models.tsv`: which of them knows which checkpoint, architecture and model type.

The kernel answers "It ships in …: pip install …" from it. Run by `make generated`; a test checks that the
file agrees with the pyproject.toml of every plugin.
"""

from __future__ import annotations

import tomllib
from pathlib import Path

from swift_core.catalogue.entries import Catalogue
from swift_core.contract.kinds import KINDS
from swift_core.job.family_lookup import load_cards

ROOT = Path(__file__).parent.parent
TARGET = ROOT / "swift_core" / "catalogue" / "known.tsv"
MODELS = ROOT / "swift_core" / "catalogue" / "known_models.tsv"


def rows() -> list[str]:
    """Lines `kind, name, distribution`, tab-separated and sorted."""
    groups = {kind.group: kind.name for kind in KINDS.values()}
    lines = []
    for file in plugin_files():
        project = tomllib.loads(file.read_text(encoding="utf-8"))["project"]
        for group, entries in project.get("entry-points", {}).items():
            lines += [f"{groups[group]}\t{name}\t{project['name']}" for name in entries if group in groups]
    return sorted(lines)


def model_rows() -> list[str]:
    """Lines `checkpoint | architecture | config_type, name, distribution`, sorted.

    Of several families that know a fact the plainest is named: without a name or fields of its own to be told by.
    """
    owners: dict[tuple[str, str], str] = {}
    cards = load_cards(Catalogue.installed())
    for entry, card in sorted(cards, key=lambda c: (bool(c[1].named), bool(c[1].tells), len(c[1].name), c[1].name)):
        ids = {i for p in card.listed() for i in (p.modelscope, p.huggingface) if i}
        facts = [("checkpoint", i) for i in ids] + [("architecture", a) for a in card.architectures]
        for fact in facts + [("config_type", t) for t in card.config_types]:
            owners.setdefault(fact, entry.package)
    return sorted(f"{kind}\t{name}\t{dist}" for (kind, name), dist in owners.items())


def plugin_files() -> list[Path]:
    """The pyproject.toml of every plugin in this repository."""
    patterns = ("plugins/*/*", "contrib_models/*", "*_catalog")
    return sorted(file for pattern in patterns for file in ROOT.glob(f"{pattern}/pyproject.toml"))


if __name__ == "__main__":
    TARGET.write_text("".join(f"{row}\n" for row in rows()), encoding="utf-8")
    MODELS.write_text("".join(f"{row}\n" for row in model_rows()), encoding="utf-8")
    print(f"{TARGET.relative_to(ROOT)}: {len(rows())} components; {len(model_rows())} facts of models")
