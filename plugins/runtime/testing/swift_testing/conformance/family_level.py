"""One family up the conformance levels: which level it reaches, with its figures, or the reason why it stops."""

from __future__ import annotations

import datetime
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

from swift_core.catalogue.conformance import recorded
from swift_core.catalogue.entries import Entry
from swift_core.contract.cards import Family
from swift_testing.conformance.attempt import attempt
from swift_testing.conformance.media import check_media
from swift_testing.conformance.models import check_model
from swift_testing.conformance.processors import make_processor
from swift_testing.conformance.tiny_family import architecture, write_checkpoint
from swift_testing.conformance.weights import check_weights

VERSIONS = ("swift-core", "torch", "transformers", "peft")


def level_reached(entry: Entry, templates: dict[str, str]) -> dict[str, Any]:
    """The result of one family. templates: what is wrong with each template, empty where nothing is.

    A level counts only above levels that hold; the model and every medium are tried all the same, and what fails
    is named. `media`: modality → `passed`, or why not.
    """
    card: Family = entry.load()
    result: dict[str, Any] = {"figures": {}, "media": {}}
    broken = [f"template {n}: {templates[n]}" for n in card.checkpoints if templates.get(n, "not found")]
    reason = why_not_built(card) or _tried(card, result)
    missed = [f"{m}: {why}" for m, why in result["media"].items() if why != "passed"]
    level = "card" if broken else "template" if reason else "media" if result["media"] and not missed else "model"
    if not (broken or reason or missed):
        level, reason = _with_weights(card, level, result)
    return {"level": level, "reason": "; ".join([*broken[:1], *filter(None, [reason]), *missed]), **result}


def _with_weights(card: Family, level: str, result: dict[str, Any]) -> tuple[str, str]:
    """(level, why it is not `weights` where that failed). What was seen is put into `result`.

    Where the package with the checkpoint is not installed, what an earlier run saw stays, with its own date.
    """
    seen: dict[str, Any] = {}
    reason = attempt(lambda: seen.update(check_weights(card) or recorded().get(card.name, {}).get("weights") or {}))
    if seen:
        result["weights"] = seen
    return ("weights" if seen else level), reason


def _tried(card: Family, result: dict[str, Any]) -> str:
    """Why the model fails; its figures and what became of each medium are put into `result`."""
    with tempfile.TemporaryDirectory(prefix="swift-conformance-") as work:
        reason = attempt(lambda: result["figures"].update(_model_level(card, Path(work, "text"))))
        if set(card.modality) != {"text"}:
            failed = attempt(lambda: _media_into(result, card, Path(work, "media")))
            if failed:
                result["media"] = {m: failed for m in card.modality if m != "text"}
    return reason


def _media_into(result: dict[str, Any], card: Family, work: Path) -> None:
    media, packing = media_level(card, work)
    result["media"].update(media)
    if packing:
        result["figures"]["packing"] = packing


def why_not_built(card: Family) -> str:
    """The reason why no tiny model of the family can be made from what is installed; empty where one can."""
    if card.remote_code:
        return f"remote code: {card.remote_code}"
    if not architecture(card):
        return "no architecture of its own: the card describes a way to use other families' models"
    return ""


def _model_level(card: Family, work: Path) -> dict[str, Any]:
    return check_model(card, write_checkpoint(card, work / "model"), work)


def media_level(card: Family, work: Path) -> tuple[dict[str, str], str]:
    """(modality → `passed` or why not; whether rows pack) of a tiny model with its tiny processor."""
    processor, changes = make_processor(card)
    return check_media(card, write_checkpoint(card, work / "model", processor, **changes), work)


def stamp() -> dict[str, Any]:
    """Date and versions of a run."""
    return {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "versions": {name: version(name) for name in VERSIONS},
    }
