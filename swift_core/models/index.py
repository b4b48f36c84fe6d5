"""From a model id or folder to its family: exact ids first, then what config.json says."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from swift_core.catalogue import Catalogue, Entry
from swift_core.errors import SwiftError, did_you_mean
from swift_core.models.card import Family

LOCK_FILE = "swift.lock.json"
"""Written beside every checkpoint: the components, versions and options that made it."""


@dataclass(frozen=True)
class Found:
    """A family and the template of the checkpoint that led to it. why: how it was recognised."""

    entry: Entry
    template: str
    why: str


def find_family(catalogue: Catalogue, model: str, model_type: str | None = None) -> Found:
    """The family of a hub id or local folder; a SwiftError tells what was tried and what to say."""
    if model_type:
        entry = catalogue.find("model", model_type)
        return Found(entry, _template_for(entry.load(), model), "--model_type")
    cards = load_cards(catalogue)
    return _by_id(cards, model) or _by_folder(catalogue, cards, model) or _unknown(cards, model)


def load_cards(catalogue: Catalogue) -> list[tuple[Entry, Family]]:
    """All installed cards; one that cannot be loaded is left out (`swift doctor` names it)."""
    cards = []
    for entry in catalogue.of_kind("model"):
        try:
            cards.append((entry, entry.load()))
        except SwiftError:
            continue
    return cards


def _by_id(cards: list[tuple[Entry, Family]], model: str) -> Found | None:
    wanted = model.lower()
    for entry, card in cards:
        for point in card.listed():
            if wanted in (point.modelscope.lower(), point.huggingface.lower()):
                return Found(entry, point.template, f"checkpoint id {model}")
    return None


def _by_folder(catalogue: Catalogue, cards: list[tuple[Entry, Family]], model: str) -> Found | None:
    folder = Path(model)
    if not folder.is_dir():
        return None
    lock = read_json(folder / LOCK_FILE)
    if lock.get("model_type"):
        return Found(catalogue.find("model", lock["model_type"]), lock.get("template") or "", LOCK_FILE)
    config = read_json(folder / "config.json")
    if not config:
        raise SwiftError(f"The folder {model!r} holds no config.json; it is not a model checkpoint.")
    return _by_config(cards, config, model)


def _by_config(cards: list[tuple[Entry, Family]], config: dict[str, Any], model: str) -> Found:
    names = set(config.get("architectures") or [])
    said = config.get("model_type", "")
    fits = [(e, c) for e, c in cards if names & set(c.architectures)] or [
        (e, c) for e, c in cards if said in c.config_types
    ]
    closer = [(e, c) for e, c in fits if said in c.config_types] or fits
    if len(closer) > 1:
        listed = ", ".join(e.name for e, _ in closer)
        raise SwiftError(f"{model!r} may be any of {listed}. Say which: --model_type {closer[0][0].name}")
    if not closer:
        raise SwiftError(
            f"{model!r} has architectures {sorted(names)} and model type {said!r}, which no installed family "
            "knows. Install its plugin, or say --model_type."
        )
    entry, card = closer[0]
    return Found(entry, card.template, "config.json")


def _template_for(card: Family, model: str) -> str:
    for point in card.listed():
        if model.lower() in (point.modelscope.lower(), point.huggingface.lower()):
            return point.template
    return card.template


def _unknown(cards: list[tuple[Entry, Family]], model: str) -> Found:
    ids = [p.modelscope for _, c in cards for p in c.listed()]
    raise SwiftError(
        f"{model!r} is neither a local folder nor a checkpoint of an installed family."
        f"{did_you_mean(model, ids)} For another checkpoint of a known family say --model_type."
    )


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file; {} where there is no file. SwiftError where it is broken."""
    if not path.is_file():
        return {}
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise SwiftError(f"{path} is not valid JSON: {error}") from None
    return found
