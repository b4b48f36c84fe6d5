"""Adapters as folders that plain PEFT opens on the base model, with the logits that they gave here.

What our tuners save is in PEFT's form already wherever PEFT has one; it is written anew with the tokenizer and its chat
template, and without what a run needs to go on. Adapters in ms-swift's own format are converted (`formats`).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from swift_core import SwiftError, hookimpl
from swift_core.contract.components import Exporter
from swift_core.contract.job import Job
from swift_core.jobs.steps import load_processor
from swift_core.jobs.writing import writing


@dataclass(kw_only=True, eq=False)
class PeftFormat(Exporter):
    """Writes adapters as folders that plain PEFT opens; several have a folder each."""

    swift_api = 1

    @hookimpl
    def export_model(self, job: Job) -> str:
        from swift_plugin_runtime.tuning.adapters import write

        from swift_plugin_peft_format.formats import read

        tuners = [item for item in job.many("tuner") if item.folder]
        if not tuners:
            raise SwiftError("There is no adapter to write. Say --adapters FOLDER, or --ckpt_dir with a checkpoint.")
        path = job.hook.resolve_checkpoint(job=job, model=job.options.model, revision=job.options.model_revision)
        base = job.hook.load_config(job=job, path=path)
        held = {item.label: read(item.entry.title, Path(str(item.folder))) for item in tuners}
        for label, (config, _) in held.items():
            _refuse_new_tokens(label, config, base)
        processor = load_processor(job, path, base)
        with writing(job, "peft") as place:
            for label, (config, weights) in held.items():
                folder = place.staging if len(held) == 1 else place.staging / label
                write(str(folder), weights, config, job.options.model)
                processor.save_pretrained(folder)
            job.write_lock(place.staging)
        return str(place.final)


def _refuse_new_tokens(label: str, config: Any, base: Any) -> None:
    """SwiftError for an adapter that trains tokens which its base does not have: PEFT could not open it there."""
    rows = getattr(config, "trainable_token_indices", None) or []
    rows = [row for part in rows.values() for row in part] if isinstance(rows, dict) else rows
    most = base.get_text_config().vocab_size
    if rows and max(rows) >= most:
        raise SwiftError(
            f"The adapter {label!r} trains the token {max(rows)}, and the base model has {most}: PEFT opens no adapter "
            "with new tokens on a base without them. Merge it: --merge_lora true."
        )
