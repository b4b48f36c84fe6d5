"""What `--model_type` means where it is no family: a checkpoint by its name, as ms-swift 2 and the paper write it.

`qwen2-7b-instruct` is Qwen/Qwen2-7B-Instruct, `llama3_1-8b-instruct` is LLM-Research/Meta-Llama-3.1-8B-Instruct.
Names of later releases (`llama3_1`, `qwen2_5`) are templates of ours: they mean the family whose card names them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from swift_core.catalogue.entries import Catalogue, Entry
from swift_core.contract.cards import Checkpoint, Family
from swift_core.contract.errors import SwiftError

Cards = list[tuple[Entry, Family]]


def checkpoint_called(cards: Cards, word: str) -> tuple[Entry, Checkpoint] | None:
    """The one listed checkpoint whose name, owner and punctuation aside, is `word` or ends with it.

    None where no checkpoint is; SwiftError where several are.
    """
    wanted = _letters(word)
    named = [(e, p, n) for e, card in cards for p in card.listed() for n in _names(p)]
    for fits in (str.__eq__, str.endswith):
        checkpoints = {(e.name, p): (e, p) for e, p, n in named if fits(n, wanted)} if len(wanted) > 5 else {}
        if len(checkpoints) > 1:
            ids = ", ".join(sorted(p.modelscope or p.huggingface for _, p in checkpoints.values()))
            raise SwiftError(f"--model_type {word} may mean any of {ids}. Say which: --model ID.")
        if checkpoints:
            return next(iter(checkpoints.values()))
    return None


def family_of_template(catalogue: Catalogue, cards: Cards, word: str) -> tuple[Entry, str] | None:
    """The family that lists checkpoints with the template `word`, and the template's own name; None where none does.

    SwiftError where several families do.
    """
    try:
        target = catalogue.find("template", word).target
    except SwiftError:
        return None
    names = {e.name for e in catalogue.of_kind("template") if e.target == target}
    listed = [(e, t, card.task) for e, card in cards for t in card.checkpoints if t in names]
    chat = [one for one in listed if one[2] == "causal_lm"]  # before those that only score
    families = {e.name: (e, t) for e, t, _ in chat or listed}
    if len(families) > 1:
        raise SwiftError(
            f"--model_type {word} is a template of the families {', '.join(sorted(families))}. Say which family: "
            f"--model_type {min(families)}"
        )
    return next(iter(families.values()), None)


def _names(point: Checkpoint) -> Iterable[str]:
    ids = {i for i in (point.modelscope, point.huggingface) if i}
    return {_letters(re.split("[/:]", i)[-1]) for i in ids}


def _letters(text: str) -> str:
    return re.sub(r"[^a-z0-9]", "", text.lower())
