"""What of a text trains, to be read by people: in colours, or in marks."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Iterator
from typing import Any

from swift_core.templates.encode import IGNORED

Piece = tuple[str, float]
"""A text and its weight in the loss; 0: it is not trained."""


def pieces_of_ids(tokenizer: Any, encoded: dict[str, Any]) -> list[Piece]:
    """The text of an encoded row, cut where the weight in the loss changes."""
    labels = encoded["labels"]
    scale = encoded.get("loss_scale") or [1.0] * len(labels)
    weights = [0.0 if int(label) == IGNORED else float(w) for label, w in zip(labels, scale, strict=True)]
    pairs = itertools.groupby(zip(weights, encoded["input_ids"], strict=True), key=lambda pair: pair[0])
    return [(tokenizer.decode([int(i) for _, i in group]), weight) for weight, group in pairs]


def pieces_of_messages(messages: list[dict[str, Any]]) -> list[Piece]:
    """The turns of a conversation; an answer trains unless it says otherwise."""
    return list(_turns(messages))


def _turns(messages: list[dict[str, Any]]) -> Iterator[Piece]:
    for message in messages:
        yield f"{message['role']}: ", 0.0
        trains = message["role"] == "assistant" and message.get("loss") is not False
        yield text_of(message), float(message.get("loss_scale", 1.0)) if trains else 0.0
        yield "\n", 0.0


def text_of(message: dict[str, Any]) -> str:
    """A turn as text: thoughts, words, calls of tools."""
    thought = message.get("reasoning_content")
    calls = [json.dumps(call, ensure_ascii=False) for call in message.get("tool_calls") or ()]
    return "\n".join(
        [*([f"<think>{thought}</think>"] if thought else []), message.get("content") or "", *calls]
    ).strip()


COLOURS = {0: "\x1b[2m", 1: "\x1b[32m", 2: "\x1b[1;33m"}
"""Not trained, trained, trained with another weight than 1."""


def written(pieces: Iterable[Piece], colour: bool) -> str:
    """Pieces in colours; without them what trains stands in «», with its weight where that is not 1."""
    return "".join(_coloured(*piece) if colour else _marked(*piece) for piece in pieces)


def _coloured(text: str, weight: float) -> str:
    said = text if weight in (0, 1) else f"[{weight:g}×]{text}"
    return f"{COLOURS[int(weight) if weight in (0, 1) else 2]}{said}\x1b[0m"


def _marked(text: str, weight: float) -> str:
    return text if weight == 0 else f"«{'' if weight == 1 else f'{weight:g}×: '}{text}»"
