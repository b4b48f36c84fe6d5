"""What a server in an environment of its own is given to load: the checkpoint, merged or with plain LoRA adapters."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from swift_core.catalogue.venvs import of_entry
from swift_core.contract.components import Backend
from swift_core.contract.errors import SwiftError
from swift_core.contract.job import Job
from swift_core.jobs.steps import adapters_by_name, load_adapters, load_model, merge_adapters


def interpreter(job: Job, component: Backend) -> str:
    """The Python of the environment that a backend of the job declares, which is made where it is not there."""
    entry = next(c.entry for c in job.many("backend") if c.component is component)
    environment = of_entry(entry)
    assert environment is not None  # the class declares one
    return str(environment.create())


def checkpoint_of(job: Job) -> str:
    """The folder of the job's model."""
    path: str = job.hook.resolve_checkpoint(job=job, model=job.options.model, revision=job.options.model_revision)
    return path


def merged(job: Job, folder: str) -> str:
    """The checkpoint with the adapters folded in, written into `folder`; where it stands."""
    model, processor = load_model(job)
    model = merge_adapters(job, load_adapters(job, model))
    path = str(Path(folder, "merged"))
    job.hook.save_model(job=job, model=model, processor=processor, folder=path)
    return path


def lora_folders(job: Job, server: str) -> dict[str, str]:
    """Adapter name → its folder. server: whom errors name.

    Raises SwiftError for adapters that are not plain LoRA in PEFT's form.
    """
    folders = {}
    for name, items in adapters_by_name(job).items():
        folder = Path(str(items[0].folder))  # an adapter is always read from one
        if len(items) > 1 or not plain_lora(folder):
            raise SwiftError(f"{server} serves plain LoRA adapters only, and {name!r} is none: say --merge_lora true.")
        folders[name] = str(folder.resolve())
    return folders


def plain_lora(folder: Path) -> bool:
    """Whether the folder holds LoRA in PEFT's form with nothing beside it: no DoRA, no whole modules, no new tokens."""
    file = folder / "adapter_config.json"
    config = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    return config.get("peft_type") == "LORA" and not any(
        map(config.get, ("use_dora", "modules_to_save", "trainable_token_indices"))
    )


def rank_of(folder: Path) -> int:
    """The highest rank in a LoRA folder of PEFT's form."""
    config = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
    return max([config["r"], *config.get("rank_pattern", {}).values()])


def dtype_of(job: Job, path: str) -> str:
    """The precision by name. The `auto` of such servers turns float32 into a half type, the loader's does not."""
    if job.options.torch_dtype != "auto":
        return str(job.options.torch_dtype)
    config = json.loads(Path(path, "config.json").read_text(encoding="utf-8"))
    texts = [config, config.get("text_config") or {}]
    return next((str(c[k]) for c in texts for k in ("dtype", "torch_dtype") if c.get(k)), "auto")


def eos_of(path: str, tokenizer: Any) -> list[int]:
    """Token ids at which servers end an answer by themselves: those of generation_config.json, and the tokenizer's."""
    file = Path(path, "generation_config.json")
    found = json.loads(file.read_text(encoding="utf-8")).get("eos_token_id") if file.is_file() else None
    listed = found if isinstance(found, list) else [found]
    return [token for token in dict.fromkeys([*listed, tokenizer.eos_token_id]) if token is not None]
