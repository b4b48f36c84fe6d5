"""The proof that a model's answers about media are the same when they are drawn beside others.

Of each modality two made-up prompts are read whole and answered beside a text; the logits of every token are compared
with those of transformers' own `generate`, which answers each prompt alone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from swift_core import SwiftError
from swift_core.contract.engine import Request
from swift_core.contract.job import Job
from swift_core.inference.conversation import askable
from swift_plugin_runtime.batching.collate import on_device, pad_batch
from swift_plugin_runtime.batching.separation import quiet, rounding_bound
from swift_plugin_runtime.encoding.multimodal import lacks
from swift_plugin_runtime.inference.proof import ERRORS, apart, made_up, row_for
from swift_plugin_runtime.inference.ragged import Part, Row, Store, attending
from swift_plugin_runtime.inference.static import greedy

DRAWN = 4
"""Tokens of each answer that are compared."""


def _picture(chance: np.random.Generator, number: int) -> Any:
    return chance.integers(0, 256, (84, 84 * number, 3), dtype=np.uint8)


def _video(chance: np.random.Generator, number: int) -> Any:
    return chance.integers(0, 256, (2 * number, 84, 84, 3), dtype=np.uint8)


def _sound(chance: np.random.Generator, number: int) -> Any:
    return (chance.standard_normal(16000 * number) * 0.1).astype(np.float32)


MEDIA: dict[str, Callable[[np.random.Generator, int], Any]] = {"image": _picture, "video": _video, "audio": _sound}
"""Modality → a medium of random values; the second is larger than the first."""


def tried_media(job: Job, model: Any, processor: Any) -> tuple[frozenset[str], dict[str, str]]:
    """(keys of encoded prompts with media that may be answered beside others; modality → why others may not).

    The model has passed the proof for texts. What the processor has no part for is left out: such requests are refused.
    """
    proven: set[str] = set()
    reasons = {}
    for modality in job.card.modality if job.many("model") else ():
        if modality in MEDIA and not lacks(processor, modality):
            reason, keys = _tried(job, model, processor, modality)
            proven |= keys
            if reason:
                reasons[modality] = reason
    return frozenset(proven), reasons


def _tried(job: Job, model: Any, processor: Any, modality: str) -> tuple[str | None, set[str]]:
    try:
        items = made_up_prompts(job, processor, modality)
        with quiet(model), torch.no_grad():
            bound = rounding_bound(model, {"input_ids": made_up(model)[1]})
            alone = [_generated(model, item) for item in items]
            with attending(model):
                found = _beside(row_for(model), items, [ids for ids, _ in alone])
    except (SwiftError, ImportError) as error:
        return f"none could be made up to try it ({str(error)[:200]})", set()
    except ERRORS as error:
        return f"it takes no such rows ({type(error).__name__}: {str(error).splitlines()[0][:200]})", set()
    if not apart(found, torch.cat([logits for _, logits in alone])) <= bound:
        return "its logits beside others are others than alone", set()
    return None, {key for item in items for key in item}


def made_up_prompts(job: Job, processor: Any, modality: str) -> list[dict[str, Any]]:
    """Two encoded questions about a medium of random values, of different sizes."""
    chance = np.random.default_rng(0)
    rows = []
    for number, words in enumerate(("What is it?", "What do you make of it, and why?"), 1):
        message = {"role": "user", "content": f"<{modality}>{words}"}
        media: dict[str, Any] = {f"{modality}s": [MEDIA[modality](chance, number)], "where": "a made-up request"}
        rows.append(askable(Request.of([message], **media)))
    encoded: list[dict[str, Any]] = job.hook.encode(job=job, rows=rows, processor=processor, generation=True)
    return encoded


def _generated(model: Any, item: dict[str, Any]) -> tuple[list[int], torch.Tensor]:
    """(tokens, their logits [DRAWN, vocabulary]) that `generate` answers to one prompt, greedily."""
    inputs = {k: on_device(model.device, v) for k, v in pad_batch([item], 0, left=True).items()}
    settings = greedy(DRAWN, 0)
    settings.output_logits = settings.return_dict_in_generate = True
    told = model.generate(**inputs, generation_config=settings)
    return told.sequences[0, -DRAWN:].tolist(), torch.cat(told.logits).float()


def _beside(row: Row, items: list[dict[str, Any]], answers: list[list[int]]) -> torch.Tensor:
    """The logits of the same answers, drawn beside each other and beside a text, as `generate` has them end to end."""
    text, beside = made_up(row.model)[0], Store(DRAWN)
    stores = [Store(len(item["input_ids"]) + DRAWN) for item in items]
    found = [
        [row.whole(Part(store, item["input_ids"], inputs=item))] for store, item in zip(stores, items, strict=True)
    ]
    for step in range(DRAWN - 1):
        parts = [Part(store, [ids[step]]) for store, ids in zip(stores, answers, strict=True)]
        logits = row([*parts, Part(beside, text[step : step + 1])])
        for own, line in zip(found, logits, strict=False):
            own.append(line[None])
    return torch.cat([line for own in found for line in own])
