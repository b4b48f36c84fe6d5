"""Quantizers that work offline, in an environment of their own: a checkpoint and rows in, a checkpoint out."""

from __future__ import annotations

import json
import math
import re
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from swift_core import SwiftError
from swift_core.catalogue.entries import Catalogue
from swift_core.catalogue.venvs import of_entry
from swift_core.contract.job import Job
from swift_core.jobs.steps import load_processor


def quantize_apart(job: Job, path: str, rows: list[Any], folder: str, worker: Path, owner: str, **told: Any) -> str:
    """Have `worker` quantize the checkpoint `path` into `folder`, and put the tokenizer beside it; `folder` again.

    rows: those it calibrates on, encoded here through the job's template. owner: the quantizer whose environment it is.
    told: what else the worker reads in its JSON file, beside `model`, `out` and `rows`.
    """
    from swift_plugin_runtime.loading.processor import tokenizer_of

    processor = load_processor(job, path, job.hook.load_config(job=job, path=path))
    encoded = job.hook.encode(job=job, rows=rows, processor=processor, generation=False) if rows else []
    ids = [item["input_ids"] for item in encoded]
    places = {"model": str(Path(path).resolve()), "out": str(Path(folder).resolve())}
    run_apart(
        owner, worker, {**places, "rows": [{"input_ids": i, "attention_mask": [1] * len(i)} for i in ids], **told}
    )
    tokenizer_of(processor).save_pretrained(folder)
    return folder


def refuse_media(job: Job, name: str) -> None:
    """SwiftError for a family that reads more than text, before an environment is made."""
    if set(job.card.modality) != {"text"}:
        raise SwiftError(f"{job.card.name} reads more than text; {name} calibrates on text models alone.")


def refuse_group(job: Job, path: str, size: int, skipped: Sequence[str] = ("lm_head",)) -> None:
    """SwiftError, before an environment is made, where groups of `size` weights do not fill a linear layer's width.

    path: the checkpoint; its config is read and no weights. size: -1 stands for a whole column. skipped: layers that
    stay as they are, by name or by a regex after `re:`.
    """
    import torch

    from swift_plugin_runtime.planning.shape import untuned

    with torch.device("meta"):
        model = untuned(job, job.hook.load_config(job=job, path=path))
    widths = {
        name: layer.in_features
        for name, layer in model.named_modules()
        if isinstance(layer, torch.nn.Linear) and not any(_named(name, word) for word in skipped)
    }
    odd = {name: width for name, width in widths.items() if size > 0 and width % size}
    if odd:
        name, width = next(iter(odd.items()))
        fits = math.gcd(size, *widths.values())
        raise SwiftError(
            f"Groups of {size} weights do not fill a width of {width} ({name}, and {len(odd) - 1} more layers). "
            f"Say --quant_group_size {fits}, which divides all widths."
        )


def _named(layer: str, word: str) -> bool:
    """Whether a layer has that name, or a part of it has, or the regex after `re:` fits from its beginning."""
    if word.startswith("re:"):
        return re.match(word[3:], layer) is not None
    return layer == word or layer.endswith(f".{word}")


def run_apart(owner: str, worker: Path, work: dict[str, Any]) -> None:
    """Run a worker in the environment of the quantizer `owner`; SwiftError with its last words where it fails."""
    environment = of_entry(Catalogue.installed().find("quantizer", owner))
    assert environment is not None
    python = environment.create()
    with tempfile.TemporaryDirectory() as place:
        file = Path(place, "work.json")
        file.write_text(json.dumps(work), encoding="utf-8")
        # it leaves a folder of logs where it runs
        done = subprocess.run(
            [str(python), str(worker), str(file)], capture_output=True, text=True, check=False, cwd=place
        )
    if done.returncode:
        raise SwiftError(f"{owner} failed in its environment: {done.stderr.strip()[-800:]}")
