"""Quantizers that work offline, in an environment of their own: a checkpoint and rows in, a checkpoint out."""

from __future__ import annotations

import json
import subprocess
import tempfile
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
