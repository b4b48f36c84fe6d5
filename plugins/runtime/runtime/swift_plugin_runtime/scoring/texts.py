"""Texts to compare (columns `positive`, `negative`) and their vectors."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any, Literal

import torch
from torch.nn import functional

from swift_core.contract.errors import SwiftError
from swift_core.contract.row import Row
from swift_core.job.lockfile import read_json
from swift_plugin_runtime.loading.layers import keeps_logits


def texts_in(row: Row, column: str) -> list[str]:
    """The texts of a column that holds one or several, also as a list in JSON; none where it is left out.

    `positive_messages` and `negative_messages`, lists of conversations, count by their last messages.
    """
    value = row.extra.get(column)
    if value is None:
        return [str(talk[-1]["content"]) for talk in row.extra.get(f"{column}_messages") or []]
    if not isinstance(value, str):
        return list(value)
    listed = _json_list(value) if value.startswith("[") else None
    return [value] if listed is None else listed


def _json_list(text: str) -> list[str] | None:
    """The texts of a JSON list, as tables hold them; None where it is not a list of texts."""
    try:
        texts = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return texts if isinstance(texts, list) and all(isinstance(t, str) for t in texts) else None


def fault_of(row: Row, column: str, needed: bool = True, one: bool = False) -> str | None:
    """What is wrong with a column of texts. needed: it must hold one. one: not more than one."""
    try:
        texts = texts_in(row, column)
    except (TypeError, KeyError, IndexError):
        return f"{column} must be a text or a list of texts, found {row.extra.get(column)!r}."
    if any(not isinstance(text, str) or not text.strip() for text in texts):
        return f"{column} must hold texts that are not empty, found {row.extra.get(column)!r}."
    if (needed and not texts) or (one and len(texts) != 1):
        return f"needs {'one text' if one else 'a text'} in the column {column}, found {len(texts)}."
    return None


def text_row(row: Row, text: str) -> Row:
    """A text as a conversation of its own, without the row's media and system text."""
    said = [{"role": "user", "content": text}]
    return dataclasses.replace(row, messages=said, images=[], videos=[], audios=[], objects={}, tools=[])


def embed(model: Any, inputs: dict[str, Any], pooling: str = "last") -> torch.Tensor:
    """Vectors of unit length [texts, size] of a padded batch, from the model's last hidden states, in float32."""
    hidden = hidden_states(model, inputs)
    mask = inputs["attention_mask"]
    if pooling == "mean":
        pooled = (hidden * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
    else:
        places = torch.arange(mask.shape[1], device=mask.device) * mask
        chosen = places.argmax(1) if pooling == "last" else mask.argmax(1)
        pooled = hidden[torch.arange(len(hidden), device=mask.device), chosen]
    return functional.normalize(pooled.float(), dim=-1)


Pooling = Literal["last", "mean", "first"]

POOLINGS: dict[str, Pooling] = {
    "mean_tokens": "mean",
    "cls_token": "first",
    "lasttoken": "last",
    "mean": "mean",
    "cls": "first",
}
"""sentence-transformers' names of poolings → ours."""


def own_pooling(model: Any) -> Pooling | None:
    """The pooling that a checkpoint states as sentence-transformers does (`1_Pooling/config.json`); None without it.

    Raises SwiftError for one that we do not have.
    """
    said = read_json(Path(str(model.config._name_or_path), "1_Pooling", "config.json"))
    names = [
        key.removeprefix("pooling_mode_") for key, on in said.items() if key.startswith("pooling_mode_") and on is True
    ]
    names += [said["pooling_mode"]] if isinstance(said.get("pooling_mode"), str) else []
    if not names:
        return None
    if len(names) > 1 or names[0] not in POOLINGS:
        raise SwiftError(f"The checkpoint pools by {' and '.join(names)}, which we do not have: say --pooling.")
    return POOLINGS[names[0]]


def hidden_states(model: Any, inputs: dict[str, Any]) -> torch.Tensor:
    """The hidden states that the output head sees, [rows, tokens, size], of a base model or one with a head."""
    few = {"logits_to_keep": 1} if keeps_logits(model) else {}
    output = model(**inputs, **few, use_cache=False, output_hidden_states=True)
    last = getattr(output, "last_hidden_state", None)
    return output.hidden_states[-1] if last is None else last
