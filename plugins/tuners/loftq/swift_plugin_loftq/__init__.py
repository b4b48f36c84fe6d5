"""LoftQ: on a quantized base, LoRA starts as a repair of what quantization lost (Li et al., arXiv 2310.08659)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from swift_plugin_runtime.loading.layers import base_of
from swift_plugin_runtime.tuning import adapters
from swift_plugin_runtime.tuning.peft_tuner import LowRankTuner

from swift_core import SwiftError, hookimpl
from swift_core.contract.job import Job


@dataclass(kw_only=True, eq=False)
class LoftQ(LowRankTuner):
    """LoRA on a bnb 4-bit base; s·B·A starts as the rank-r part of W − dequantized(Q) (LoftQ, arXiv 2310.08659)."""

    @hookimpl
    def attach_tuner(self, job: Job, model: Any, name: str) -> Any:
        if not (job is not None and job.many("quantizer")):
            raise SwiftError("LoftQ repairs what quantization lost, and nothing is quantized: say --quantizer bnb.")
        model = adapters.attach(model, self.peft_config(job, model), name)
        path = job.hook.resolve_checkpoint(job=job, model=job.options.model, revision=job.options.model_revision)
        with Weights(Path(path), base_of(model)) as weights:
            for key, layer in adapted(model, name):
                self.repair(layer, weights[key].to(layer.get_base_layer().weight.device).float(), name)
        return model

    def repair(self, layer: Any, original: Any, name: str) -> None:
        """Set A and B of one layer. original: W [out, in], not quantized.

        This is one round of the paper's algorithm 1. Further rounds would quantize the base anew, and the adapter
        would then fit no base but that one.
        """
        import torch

        scale, rank = layer.scaling[name], layer.r[name]
        lost = original - dequantized(layer.get_base_layer().weight)
        u, s, v = torch.linalg.svd(lost, full_matrices=False)
        root = (s[:rank] / scale).sqrt()
        layer.lora_A[name].weight.data.copy_(root[:, None] * v[:rank])
        layer.lora_B[name].weight.data.copy_(u[:, :rank] * root)


def adapted(model: Any, name: str) -> Iterator[tuple[str, Any]]:
    """(name of the weight in the plain model, layer) of each 4-bit layer with the adapter.

    Raises SwiftError for a layer that is not in 4 bits.
    """
    for path, module in model.named_modules():
        if name in getattr(module, "lora_A", {}):
            if not hasattr(module.get_base_layer().weight, "quant_state"):
                raise SwiftError(f"{path} is not quantized to 4 bits: say --quantizer bnb --quant_bits 4.")
            yield f"{path.removeprefix('base_model.model.')}.weight", module


def dequantized(weight: Any) -> Any:
    """A 4-bit weight as the layer computes with it, float32."""
    from bitsandbytes.functional import dequantize_4bit

    return dequantize_4bit(weight.data, weight.quant_state).float()


class Weights:
    """The weights of a checkpoint by the names that they have in a model of transformers, read when asked for."""

    def __init__(self, folder: Path, model: Any):
        self.files, self.model = sorted(folder.glob("*.safetensors")), model

    def __enter__(self) -> Weights:
        from safetensors import safe_open

        named = renamed(self.model)
        self.opened = [safe_open(file, framework="pt") for file in self.files]
        self.places = {named(key): (file, key) for file in self.opened for key in file.keys()}  # noqa: SIM118
        return self

    def __exit__(self, *_: object) -> None:
        self.opened, self.places = [], {}

    def __getitem__(self, name: str) -> Any:
        if name not in self.places:
            raise SwiftError(f"The checkpoint has no weight {name!r} to compare the quantized one with.")
        file, key = self.places[name]
        return file.get_tensor(key)


def renamed(model: Any) -> Callable[[str], str]:
    """A function from a name in the checkpoint to the name in the model, as transformers' loader renames it."""
    from transformers.conversion_mapping import get_model_conversion_mapping
    from transformers.core_model_loading import WeightConverter, rename_source_key

    every = get_model_conversion_mapping(model)
    converters = [item for item in every if isinstance(item, WeightConverter)]
    renamings = [item for item in every if not isinstance(item, WeightConverter)]
    there = {name.replace(".base_layer.", "."): name for name in model.state_dict()}
    return lambda key: rename_source_key(key, renamings, converters, model.base_model_prefix, there)[0]
