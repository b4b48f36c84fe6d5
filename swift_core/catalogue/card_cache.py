"""All installed cards as facts, remembered between runs so that a list or an id imports none of them."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import fields
from typing import Any

from swift_core.catalogue.entries import Catalogue, Entry
from swift_core.contract import capability
from swift_core.contract.cards import Family, Modules
from swift_core.contract.components import Dataset, declared
from swift_core.contract.errors import SwiftError


def cards_of(catalogue: Catalogue) -> list[tuple[Entry, Family]]:
    """Every card's facts, without the hooks that a family may have; one that cannot be loaded is left out."""
    entries = catalogue.of_kind("model")
    missing = [e for e in entries if e.target not in catalogue.facts]
    if missing:
        _learn(catalogue, missing, _to_plain)
    return [(e, _from_plain(catalogue.facts[e.target])) for e in entries if e.target in catalogue.facts]


PUBLISHED = ("modelscope", "huggingface", "task", "modality", "language", "summary", "file")
"""What is remembered of a published data set."""


def published(catalogue: Catalogue) -> list[tuple[Entry, dict[str, Any]]]:
    """Every published data set with what it declares; readers of files and hubs, which have no ids, are left out."""
    entries = catalogue.of_kind("dataset")
    missing = [e for e in entries if e.target not in catalogue.facts]
    if missing:
        _learn(catalogue, missing, _published)
    facts = ((e, catalogue.facts.get(e.target, {})) for e in entries)
    return [(e, f) for e, f in facts if f.get("modelscope") or f.get("huggingface")]


RECIPE = ("job", "task", "model", "hardware", "summary", "file")
"""What is remembered of a recipe."""


def recipes(catalogue: Catalogue) -> list[tuple[Entry, dict[str, Any]]]:
    """Every recipe with what a list says of it; one that cannot be loaded is left out."""
    entries = catalogue.of_kind("recipe")
    missing = [e for e in entries if e.target not in catalogue.facts]
    if missing:
        _learn(catalogue, missing, lambda recipe: {name: getattr(recipe, name) for name in RECIPE})
    return [(e, catalogue.facts[e.target]) for e in entries if e.target in catalogue.facts]


def _published(component: Any) -> dict[str, Any]:
    return {name: declared(component, Dataset, name) for name in PUBLISHED}


def _learn(catalogue: Catalogue, missing: list[Entry], to_plain: Callable[[Any], dict[str, Any]]) -> None:
    """Load what is missing; a card that fails is tried again by every run, so that mending it shows at once."""
    facts = dict(catalogue.facts)
    for entry in missing:
        try:
            facts[entry.target] = to_plain(entry.load())
        except SwiftError:
            continue
    if facts.keys() - catalogue.facts.keys():
        files = {str(f["file"]) for f in facts.values() if f.get("file")}
        catalogue.remember(facts, sorted({*catalogue.files, *sources(missing), *files}))


def sources(entries: list[Entry]) -> set[str]:
    """The imported files of the kernel and of the packages that bring `entries`: what is known of them stands there."""
    ours = {"swift_core", *(e.target.partition(":")[0].partition(".")[0] for e in entries)}
    loaded = [m for name, m in list(sys.modules.items()) if name.partition(".")[0] in ours]
    return {file for m in loaded if (file := getattr(m, "__file__", None))}


def _to_plain(card: Family) -> dict[str, Any]:
    """What differs from a field's default, as JSON knows it, and the names of the hooks it implements."""
    from swift_core.contract.signatures import implementations

    plain = {f.name: getattr(card, f.name) for f in fields(Family)}
    bare = Family(name="")
    plain = {k: v for k, v in plain.items() if v != getattr(bare, k)}
    plain["modules"] = vars(card.modules)
    plain["hooks"] = sorted(implementations(card))
    if card.capabilities:
        plain["capabilities"] = {k: [type(v).__name__, *vars(v).values()] for k, v in card.capabilities.items()}
    return plain


def _from_plain(plain: dict[str, Any]) -> Family:
    values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in plain.items() if k != "hooks"}
    values["modules"] = Modules(**{k: tuple(v) for k, v in plain["modules"].items()})
    answers = plain.get("capabilities", {}).items()
    values["capabilities"] = {k: getattr(capability, kind)(text) for k, (kind, text) in answers}
    return Family(**values)
