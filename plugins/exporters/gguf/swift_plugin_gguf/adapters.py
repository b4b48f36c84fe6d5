"""A LoRA adapter of PEFT as a GGUF adapter, which llama.cpp adds to a model while it computes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import gguf

from swift_core import SwiftError
from swift_plugin_gguf.architectures import architecture_of
from swift_plugin_gguf.files import write_weights
from swift_plugin_gguf.tensors import TYPES, Names, Weight

PREFIX = "base_model.model."
"""What PEFT puts before the name of a module."""

UNWRITTEN = ("use_dora", "modules_to_save", "trainable_token_indices", "lora_bias", "alora_invocation_tokens")
"""Fields of adapter_config.json whose effect a GGUF adapter does not have."""


def write_adapter(file: Path, name: str, folder: Path, config: Any, kind: str) -> None:
    """Write the adapter in `folder` into `file`. config: of its base model. kind: a word of --gguf_type.

    Raises SwiftError where it is more than LoRA on the projections of attention and feed-forward layers.
    """
    pairs, scales = _pairs(folder)
    if kind == "q8_0":
        raise SwiftError("An adapter is small and its rows are short: --gguf_type f32, f16 or bf16.")
    names = Names(architecture_of(config), config)
    first = next(iter(scales))
    rank = pairs[first]["lora_A"].shape[0]
    writer = gguf.GGUFWriter(file, names.architecture.name)
    writer.add_type(gguf.GGUFType.ADAPTER)
    writer.add_name(name)
    writer.add_string(gguf.Keys.Adapter.TYPE, "lora")
    writer.add_float32(gguf.Keys.Adapter.LORA_ALPHA, scales[first] * rank)
    number = TYPES["f32" if kind == "auto" else kind]
    weights = []
    for module, pair in pairs.items():
        found = _place(names, module)
        factor = scales[module] * pair["lora_A"].shape[0] / (scales[first] * rank)  # llama.cpp divides by the rank
        weights.append(Weight(f"{found}.lora_a", pair["lora_A"], number))
        weights.append(Weight(f"{found}.lora_b", pair["lora_B"] * factor, number, names.heads(found)))
    write_weights(writer, weights)


def _place(names: Names, module: str) -> str:
    found = names.of(f"{module}.weight")
    if found is None or not found.startswith("blk."):
        raise SwiftError(
            f"The adapter changes {module}, which llama.cpp adapts otherwise or not at all: say --merge_lora true."
        )
    return found


def _pairs(folder: Path) -> tuple[dict[str, dict[str, Any]], dict[str, float]]:
    """(module → its two matrices by name, module → by what their product is multiplied)."""
    from peft import PeftConfig
    from safetensors.torch import load_file

    said = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
    extra = [name for name in UNWRITTEN if said.get(name)]
    if said.get("peft_type") != "LORA" or extra or said.get("bias", "none") != "none":
        what = ", ".join(extra) or said.get("peft_type")
        raise SwiftError(f"A GGUF adapter holds plain LoRA only, and {folder} has {what}. Merge it: --merge_lora true.")
    config = PeftConfig.from_pretrained(str(folder))
    pairs: dict[str, dict[str, Any]] = {}
    for key, tensor in load_file(folder / "adapter_model.safetensors").items():
        module, _, part = key.removeprefix(PREFIX).removesuffix(".weight").rpartition(".")
        if part not in ("lora_A", "lora_B"):
            raise SwiftError(f"A GGUF adapter has no place for {key}. Merge the adapter: --merge_lora true.")
        pairs.setdefault(module, {})[part] = tensor
    return pairs, {module: _scale(config, module, pair["lora_A"].shape[0]) for module, pair in pairs.items()}


def _scale(config: Any, module: str, rank: int) -> float:
    """By what PEFT multiplies the product of the two matrices."""
    from peft.utils.other import get_pattern_key

    patterns = config.alpha_pattern or {}
    alpha = patterns.get(get_pattern_key(patterns, module), config.lora_alpha)
    return float(alpha / (rank**0.5 if config.use_rslora else rank))
