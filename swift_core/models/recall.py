"""All installed cards as facts, remembered between runs so that a list or an id imports none of them."""

from __future__ import annotations

import importlib.util
from dataclasses import fields
from typing import Any

from swift_core import capability
from swift_core.catalogue import Catalogue, Entry
from swift_core.errors import SwiftError
from swift_core.models.card import Family, Modules


def cards_of(catalogue: Catalogue) -> list[tuple[Entry, Family]]:
    """Every card's facts, without the hooks that a family may have; one that cannot be loaded is left out."""
    entries = catalogue.of_kind("model")
    missing = [e for e in entries if e.target not in catalogue.facts]
    if missing:
        _learn(catalogue, entries, missing)
    return [(e, _from_plain(catalogue.facts[e.target])) for e in entries if e.target in catalogue.facts]


def _learn(catalogue: Catalogue, entries: list[Entry], missing: list[Entry]) -> None:
    """Load what is missing; a card that fails is tried again by every run, so that mending it shows at once."""
    facts = dict(catalogue.facts)
    for entry in missing:
        try:
            facts[entry.target] = _to_plain(entry.load())
        except SwiftError:
            continue
    if facts.keys() - catalogue.facts.keys():
        catalogue.remember(facts, [file for e in entries if e.target in facts for file in _files(e)])


def _files(entry: Entry) -> list[str]:
    spec = importlib.util.find_spec(entry.target.partition(":")[0])
    return [spec.origin] if spec and spec.origin else []


def _to_plain(card: Family) -> dict[str, Any]:
    """What differs from a field's default, as JSON knows it, and the names of the hooks it implements."""
    from swift_core.contract import implementations

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
