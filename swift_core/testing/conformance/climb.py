"""One family up the ladder: which rung it reaches, with its figures, or the reason why it stops."""

from __future__ import annotations

import datetime
import tempfile
import traceback
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

from swift_core.catalogue import Entry
from swift_core.errors import SwiftError
from swift_core.models.card import Family
from swift_core.testing.conformance.models import Failed, check_model
from swift_core.testing.conformance.tiny_family import architecture, write_checkpoint

VERSIONS = ("swift-core", "torch", "transformers", "peft")


def climb(entry: Entry, templates: dict[str, str]) -> dict[str, Any]:
    """The result of one family. templates: what is wrong with each template, empty where nothing is.

    A rung counts only above rungs that hold; the model is tried all the same, and its failure named.
    """
    card: Family = entry.load()
    figures: dict[str, Any] = {}
    broken = [f"template {n}: {templates[n]}" for n in card.checkpoints if templates.get(n, "not found")]
    reason = why_not_built(card)
    if not reason:
        with tempfile.TemporaryDirectory(prefix="swift-ladder-") as work:
            reason = _attempt(lambda: figures.update(_model_rung(card, Path(work))))
    rung = "card" if broken else "template" if reason else "model"
    return {"rung": rung, "reason": "; ".join([*broken[:1], *filter(None, [reason])]), "figures": figures}


def why_not_built(card: Family) -> str:
    """The reason why no tiny model of the family can be made from what is installed; empty where one can."""
    if card.remote_code:
        return f"remote code: {card.remote_code}"
    if not architecture(card):
        return "no architecture of its own: the card describes a way to use other families' models"
    return ""


def _model_rung(card: Family, work: Path) -> dict[str, Any]:
    return check_model(card, write_checkpoint(card, work / "model"), work)


def _attempt(check: Callable[[], Any]) -> str:
    """Why a check failed; empty where it passed."""
    try:
        check()
    except (Failed, SwiftError) as error:
        return str(error)
    except Exception as error:  # any class may fail in any way: the reason is the result
        where = traceback.extract_tb(error.__traceback__)[-1]
        text = " ".join(str(error).split())[:300]
        return f"{type(error).__name__}: {text} ({Path(where.filename).name}:{where.lineno})"
    return ""


def stamp() -> dict[str, Any]:
    """Date and versions of a run."""
    return {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "versions": {name: version(name) for name in VERSIONS},
    }
