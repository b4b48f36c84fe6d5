"""What every tuner built on PEFT shares: add, load, save and merge one adapter of a model.

Tuners import this module at their top, so it imports torch and PEFT only when a function runs.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from swift_core import SwiftError
from swift_plugin_runtime.heads import heads_in

WEIGHTS = "adapter_model.safetensors"

MAMBA = ("falcon_h1", "falcon_mamba", "mamba", "mamba2", "nemotron_h")
"""Model types for which PEFT refuses adapters on `out_proj`."""


def attach(model: Any, config: Any, name: str) -> Any:
    """The model with a new trainable adapter; a second one joins the first, and both are active."""
    import peft

    if not isinstance(model, peft.PeftModel):
        if heads_in(model):
            config.task_type = "SEQ_CLS"
            config.modules_to_save = sorted({*(config.modules_to_save or ()), *heads_in(model)})
        elif not hasattr(model, "prepare_inputs_for_generation"):
            config.task_type = None  # PEFT's wrapper of causal models asks for it; encoders have none
        return keep_training(peft.get_peft_model(model, config, adapter_name=name, autocast_adapter_dtype=False))
    before = _active(model)
    model.add_adapter(name, config, autocast_adapter_dtype=False)
    model.base_model.set_adapter([*before, name])
    return keep_training(model)


def keep_training(model: Any) -> Any:
    """The model with modules marked `swift_trains` trained: PEFT has frozen what an earlier tuner made to train."""
    for module in model.modules():
        if getattr(module, "swift_trains", False):
            module.requires_grad_(True)
    return model


def load(model: Any, folder: str, name: str, trainable: bool) -> Any:
    """The model with a saved adapter added under `name`; active, and trainable if asked."""
    import peft
    from safetensors.torch import load_file

    config = peft.PeftConfig.from_pretrained(folder)
    config.inference_mode = not trainable
    model = attach(model, config, name)
    result = peft.set_peft_model_state_dict(model, load_file(Path(folder, WEIGHTS)), adapter_name=name)
    if getattr(result, "unexpected_keys", None):
        raise SwiftError(f"The adapter {folder} does not fit this model: {result.unexpected_keys[:3]} …")
    return model


def save(model: Any, folder: str, name: str, base: Any) -> bool:
    """Write a plain PEFT adapter into `folder`. base: id or path of the base model, for others to find."""
    import peft
    from safetensors.torch import save_file

    state = peft.get_peft_model_state_dict(model, adapter_name=name)
    Path(folder).mkdir(parents=True, exist_ok=True)
    save_file({k: _plain(v) for k, v in state.items()}, Path(folder, WEIGHTS), metadata={"format": "pt"})
    config = model.peft_config[name]
    before = config.inference_mode, config.base_model_name_or_path
    config.inference_mode, config.base_model_name_or_path = True, str(base) if base else before[1]
    config.save_pretrained(folder)
    config.inference_mode, config.base_model_name_or_path = before
    return True


def merge(model: Any, name: str) -> Any:
    """The base model with every active adapter folded into its weights."""
    import peft

    if not isinstance(model, peft.PeftModel):
        return model  # an earlier tuner's merge has folded all of them
    _refuse_hidden_weights(model)
    return model.merge_and_unload(safe_merge=True)


def _refuse_hidden_weights(model: Any) -> None:
    """A linear layer that computes its weight when asked would take the merge and forget it."""
    import torch

    for name, module in model.named_modules():
        base = getattr(module, "base_layer", None)
        if isinstance(base, torch.nn.Linear) and "weight" not in dict(base.named_parameters(recurse=False)):
            raise SwiftError(
                f"{name} holds no plain weight to merge into, but a quantized form of it. "
                "Merge into the model that was quantized: --quantizer none."
            )


def linear_targets(job: Any, model: Any, wanted: list[str]) -> Any:
    """Module names to adapt: `all-linear` means every linear layer of the parts that are not frozen.

    The output head is left out, as in the LoRA paper's follow-ups and in PEFT. Without a job or card every
    linear layer counts.
    """
    import torch

    if wanted != ["all-linear"]:
        return wanted if len(wanted) > 1 else wanted[0]
    frozen = frozen_by(job)
    unfit = {name for name, module in model.named_modules() if _takes_no_adapter(model, name, module)}
    unfit |= {name for name, _ in model.named_modules() if name.split(".")[0] in heads_in(model)}
    if frozen is None and not unfit:
        return "all-linear"
    unfit |= {name for name, _ in model.named_modules() if frozen and frozen(name)}
    head = model.get_output_embeddings()
    return [
        name
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear) and module is not head and name not in unfit
    ]


def _takes_no_adapter(model: Any, name: str, module: Any) -> bool:
    """Linear layers that only look like one: routers of experts, which return more than a tensor, and the output
    projection of Mamba's blocks, whose kernel reads the weight past the adapter (PEFT refuses it)."""
    import torch

    if not isinstance(module, torch.nn.Linear):
        return False
    router = type(module).__module__.startswith("transformers.models.")
    return router or (name.endswith("out_proj") and model.config.model_type in MAMBA)


def frozen_by(job: Any) -> Callable[[str], bool] | None:
    """Whether --freeze_vit, --freeze_aligner and --freeze_llm keep a module or parameter out of training.

    A name belongs to the part whose prefix fits it longest: an aligner may lie inside the vision tower, and is
    then trained or frozen by its own flag. None where no flag applies.
    """
    if job is None or not job.many("model"):
        return None
    modules, options = job.card.modules, job.options
    parts = {
        "freeze_vit": modules.vision_tower + modules.audio_tower + modules.generator,
        "freeze_aligner": modules.aligner,
        "freeze_llm": modules.language_model,
    }
    kept = {prefix: getattr(options, flag, False) for flag, prefixes in parts.items() for prefix in prefixes}
    if not any(kept.values()) or not (modules.towers() or getattr(options, "freeze_llm", False)):
        return None

    def frozen(name: str) -> bool:
        name = f"{name.removeprefix('base_model.model.')}."
        fitting = [prefix for prefix in kept if name.startswith(f"{prefix}.")]
        return bool(fitting) and kept[max(fitting, key=len)]

    return frozen


def _active(model: Any) -> list[str]:
    active = model.base_model.active_adapter
    return list(active) if isinstance(active, list | tuple) else [active]


def _plain(value: Any) -> Any:
    value = value.full_tensor() if hasattr(value, "full_tensor") else value
    return value.detach().cpu().contiguous()
