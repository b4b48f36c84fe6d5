"""Megatron-Core (Shoeybi et al., arXiv 1909.08053; github.com/NVIDIA/Megatron-LM): checkpoints for it, and back.

Which weight becomes which is data (`maps`, `architectures`). Torch writes and reads the files, so that a checkpoint is
converted on any machine; Megatron-Core itself stands in an environment of its own.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from swift_core import SwiftError, hookimpl
from swift_core.contract.components import Exporter, Requirements
from swift_core.contract.job import Job
from swift_core.jobs.writing import writing

ENGINE = Requirements(
    (
        "megatron-core==0.16.1; python_version < '3.12'",
        "megatron-core==0.19.2; python_version >= '3.12'",
        *("torch==2.13.0", "numpy", "psutil"),
    ),
    size="about 1 GB without CUDA",
)
"""Megatron-Core 0.16.1 is the newest for Python 3.11; later ones want 3.12. Without psutil its saving never ends."""


def _source(job: Job, what: str) -> tuple[Path, Any]:
    """(the folder that is read, its config). Raises SwiftError for adapters, which have no form there."""
    if any(item.folder for item in job.many("tuner")):
        raise SwiftError(f"{what} holds whole weights and no adapters; merge them first: --merge_lora true.")
    if job.options.new_special_tokens:
        raise SwiftError(f"{what} is written from the checkpoint as it is; leave --new_special_tokens out.")
    path = job.hook.resolve_checkpoint(job=job, model=job.options.model, revision=job.options.model_revision)
    return Path(path), job.hook.load_config(job=job, path=path)


def _refuse(missing: list[str], unknown: list[str], where: str) -> None:
    """SwiftError for weights that are not there, or that have no place."""
    wrong = [f"{word} {', '.join(names[:5])}" for word, names in (("lacks", missing), ("has", unknown)) if names]
    if wrong:
        raise SwiftError(
            f"{where} {' and '.join(wrong)}, which is not as the map of weights has it. Nothing is written."
        )


@dataclass(kw_only=True, eq=False)
class ToMegatron(Exporter):
    """Writes a distributed checkpoint of Megatron-Core, with config and tokenizer beside it."""

    swift_api = 1
    environment = ENGINE

    @hookimpl
    def export_model(self, job: Job) -> str:
        path, config = _source(job, "A checkpoint of Megatron-Core")
        with writing(job, "megatron") as place:
            write(job, path, config, place.staging)
            job.write_lock(place.staging)
        return str(place.final)


def write(job: Job, path: Path, config: Any, folder: Path) -> None:
    """Write the checkpoint of transformers in `path`, whose config is `config`, for Megatron-Core into `folder`.

    Raises SwiftError where there is no map for the family, or where a weight has no place.
    """
    from swift_plugin_megatron.architectures import settings_of
    from swift_plugin_megatron.files import SETTINGS, copy_beside, opened, write_distributed

    settings_of(config, "float32")  # refused before any weight is read
    with opened(path) as weights:
        settings = settings_of(config, weights.dtype())
        write_distributed(folder, _converted(job, config, weights))
    (folder / SETTINGS).write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")
    copy_beside(path, folder)


def _converted(job: Job, config: Any, weights: Any) -> dict[str, Any]:
    """The tensors of Megatron-Core by key. Raises SwiftError where a weight has no place or none is there."""
    from swift_plugin_megatron.architectures import rules_of, sizes_of
    from swift_plugin_megatron.maps import mistaken, to_megatron, wanted

    rules, sizes = rules_of(config), sizes_of(config)
    missing, unknown = mistaken(weights.names, wanted(rules, sizes))
    if config.tie_word_embeddings and unknown == ["lm_head.weight"]:
        unknown = _copy_of_embedding(job, weights)
    _refuse(missing, unknown, "The checkpoint")
    return {rule.key: to_megatron(rule, sizes, weights.read) for rule in rules}


def _copy_of_embedding(job: Job, weights: Any) -> list[str]:
    """The output matrix where it is not the embedding that it is tied to; where it is, nothing, and that is said."""
    import torch

    if not torch.equal(weights.read("lm_head.weight"), weights.read("model.embed_tokens.weight")):
        return ["lm_head.weight (tied to the embedding, and another)"]
    job.say("lm_head.weight is a copy of the embedding that it is tied to; it is written once.")
    return []


@dataclass(kw_only=True, eq=False)
class ToTransformers(Exporter):
    """Writes a checkpoint of Megatron-Core as transformers has it: safetensors, config and tokenizer."""

    swift_api = 1

    @hookimpl
    def export_model(self, job: Job) -> str:
        from huggingface_hub import save_torch_state_dict

        from swift_plugin_megatron.architectures import rules_of, sizes_of
        from swift_plugin_megatron.files import copy_beside, read_distributed, shapes, weights_folder
        from swift_plugin_megatron.maps import mistaken, to_transformers

        path, config = _source(job, "It")
        rules, sizes = rules_of(config), sizes_of(config)
        found = shapes(weights_folder(path))
        _refuse(*mistaken(found, [rule.key for rule in rules]), "The checkpoint of Megatron-Core")
        with writing(job, "hf") as place:
            tensors = read_distributed(weights_folder(path), found)
            named = (item for rule in rules for item in to_transformers(rule, sizes, tensors.pop(rule.key)))
            save_torch_state_dict(dict(named), place.staging, max_shard_size="5GB", safe_serialization=True)
            copy_beside(path, place.staging)
            job.write_lock(place.staging)
        return str(place.final)
