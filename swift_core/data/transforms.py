"""Named changes of a raw row, for the published data sets whose columns no declaration brings into our form.

Each takes the raw row and its place, and returns a row whose columns the layout then names. Keep this file short: what
`columns`, `texts`, `parse` and the like of a layout can say is said there.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

from swift_core.contract.errors import SwiftError

Raw = dict[str, Any]


def chat_room(raw: Raw, where: str) -> Raw:
    """Turns of many speakers under their names: the last one answers, the rest is told to it.

    Reads `conversations` of `from` and `value`; gives `system`, `told` and `answer`. Raises SwiftError where nobody
    spoke before the last.
    """
    turns = [(turn["from"], turn["value"]) for turn in raw["conversations"]]
    system = turns[0][1] if turns and turns[0][0] == "system" else None
    told = turns[system is not None : -1]
    if not told:
        raise SwiftError(f"{where}: nobody speaks before the answer.")
    said = told[0][1] if len(told) == 1 else "\n".join(f"{name}: {text}" for name, text in told)
    return {**raw, "system": system, "told": said, "answer": turns[-1][1]}


def phrases(raw: Raw, where: str) -> Raw:
    """A caption whose phrases have boxes, as GRIT has them.

    Reads `caption` and `ref_exps`, lists of [start, end, x1, y1, x2, y2, confidence] with boxes from 0 to 1; gives
    `marked`, the caption with `<ref-object><bbox>` for each phrase, and `refs`, `boxes` in its order. Raises
    SwiftError where two phrases overlap.
    """
    caption, found = raw["caption"], sorted(raw["ref_exps"], key=lambda e: e[:2])
    ends = [(int(e[0]), int(e[1])) for e in found]
    if any(before[1] > after[0] for before, after in pairwise(ends)):
        raise SwiftError(f"{where}: two phrases of ref_exps overlap.")
    pieces = [caption[a:b] for (_, a), (b, _) in pairwise([(0, 0), *ends, (len(caption), 0)])]
    return {
        **raw,
        "marked": "<ref-object><bbox>".join(pieces),
        "refs": [caption[a:b] for a, b in ends],
        "boxes": [list(e[2:6]) for e in found],
    }


def detections(raw: Raw, where: str) -> Raw:
    """Objects as lists of `category` names and `bbox`; gives `listed`, a line for each object.

    Raises SwiftError where the picture has no object.
    """
    if not raw["objects"]["bbox"]:
        raise SwiftError(f"{where}: the picture has no object.")
    return {**raw, "listed": "\n".join(["<ref-object><bbox>"] * len(raw["objects"]["bbox"]))}


def ones(raw: Raw, where: str) -> Raw:
    """A vector of zeros and ones under `npy`; gives `classes`, the places of its ones."""
    return {**raw, "classes": [place for place, value in enumerate(raw["npy"]) if value == 1]}


TRANSFORMS: dict[str, Callable[[Raw, str], Raw]] = {f.__name__: f for f in (chat_room, phrases, detections, ones)}
"""Name in a layout → function."""
