"""Checkpoints in the compressed-tensors format in plain torch: weights are made whole when they are used.

Activations stay in the precision of the model: kernels that quantize them have no backward pass, and on a CPU they
give adapters wrong gradients without an error (cosine 0.1 in the first layer).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers.quantizers.auto import (
    AUTO_QUANTIZER_MAPPING,
    register_quantization_config,
    register_quantizer,
)
from transformers.quantizers.base import HfQuantizer
from transformers.utils.quantization_config import QuantizationConfigMixin

from swift_core import SwiftError

NAME = "swift_compressed"
PACKED = "pack-quantized"
FORMATS = (PACKED, "float-quantized", "int-quantized", "naive-quantized")
PARTS = ("weight_packed", "weight_shape", "weight_scale", "input_scale", "weight")
"""What a compressed layer holds: codes of 32 bits with the shape they stand for, or values of 8 bits; scales."""


class CompressedLinear(torch.nn.Linear):
    """A linear layer that stores codes. bits: of a packed code.

    weight_packed [out, in · bits/32] int32, or weight [out, in] in FP8 or INT8; weight_scale [out, groups] or [1].
    input_scale, by which servers scale activations, is only kept.
    """

    def __init__(self, inputs: int, outputs: int, bias: bool, bits: int, parts: dict[str, tuple[Any, Any]]):
        torch.nn.Module.__init__(self)
        self.in_features, self.out_features, self.bits = inputs, outputs, bits
        for name, (shape, dtype) in parts.items():
            self._buffers[name] = torch.zeros(shape, dtype=dtype)  # `weight` is a property below
        self.bias = torch.nn.Parameter(torch.zeros(outputs), requires_grad=False) if bias else None

    @property
    def weight(self) -> torch.Tensor:  # type: ignore[override]
        """[out, in], made anew whenever it is asked for; float32."""
        codes = self.unpacked() if "weight_packed" in self._buffers else self._buffers["weight"].float()
        scale = self.weight_scale.float().reshape(self.weight_scale.shape[0], -1)
        groups = codes.view(len(codes), scale.shape[1], -1)
        return (groups * scale[:, :, None]).view(codes.shape)

    def unpacked(self) -> torch.Tensor:
        """Levels around zero [out, in]: the first of a word lies in its lowest bits, and is stored without sign."""
        shifts = torch.arange(32 // self.bits, device=self.weight_packed.device, dtype=torch.int32) * self.bits
        levels = (self.weight_packed[:, :, None] >> shifts) & ((1 << self.bits) - 1)
        return levels.flatten(1)[:, : self.in_features].float() - (1 << (self.bits - 1))

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.linear(input, self.weight.to(input.dtype), self.bias)


def settings_of(config: Any) -> dict[str, Any]:
    """How a checkpoint was compressed, for transformers' loader. SwiftError where it was not, or in another way."""
    made = getattr(config, "quantization_config", None)
    if made is None:
        raise SwiftError(
            "The checkpoint holds plain weights, and llm_compressor quantizes offline. Make a compressed one first: "
            "swift export --quant_method llm_compressor --model …, then train or serve what it writes."
        )
    made = made if isinstance(made, dict) else made.to_dict()
    made = made.get("quantization_config") or made
    if str(made.get("quant_method")) != "compressed-tensors":
        raise SwiftError(f"The checkpoint is quantized with {made.get('quant_method')}; leave --quantizer out.")
    refuse_unknown(made)
    bits = {int(group["weights"]["num_bits"]) for group in made["config_groups"].values()}
    layers = stored_layers(config._name_or_path)
    return CompressedConfig(bits=bits.pop(), layers=layers).to_dict()


def refuse_unknown(made: dict[str, Any]) -> None:
    """SwiftError for a form of compression that `CompressedLinear` does not compute."""
    weights = [group["weights"] for group in made["config_groups"].values()]
    known = made.get("format") in FORMATS and len({w["num_bits"] for w in weights}) == 1
    plain = all(w["symmetric"] and w["strategy"] in ("tensor", "channel", "group") for w in weights)
    if not (known and plain and all(32 % w["num_bits"] == 0 for w in weights)):
        raise SwiftError(
            f"The checkpoint is compressed as {made.get('format')!r} in a way that is not loaded here: known are "
            f"{', '.join(FORMATS)}, symmetric, scaled by tensor, channel or group, 2, 4 or 8 bits in every layer."
        )


def stored_layers(folder: str) -> dict[str, dict[str, tuple[list[int], str]]]:
    """Layer → part → (shape, dtype), of every layer that a checkpoint holds compressed."""
    from safetensors import safe_open

    found: dict[str, dict[str, tuple[list[int], str]]] = {}
    for file in sorted(Path(folder).glob("*.safetensors")):
        with safe_open(file, framework="pt") as stream:
            for key in stream.keys():  # noqa: SIM118 (the stream is no mapping)
                layer, _, part = key.rpartition(".")
                if part in PARTS:
                    piece = stream.get_slice(key)
                    found.setdefault(layer, {})[part] = (piece.get_shape(), piece.get_dtype())
    return {layer: parts for layer, parts in found.items() if "weight_scale" in parts}


class CompressedConfig(QuantizationConfigMixin):
    """How layers are stored. layers: what each of them holds, as `stored_layers` finds it."""

    def __init__(self, bits: int = 8, layers: Any = None, **_: Any):
        self.quant_method = NAME
        self.bits, self.layers = bits, layers or {}


TYPES = {
    "I32": torch.int32,
    "I64": torch.int64,
    "I8": torch.int8,
    "F8_E4M3": torch.float8_e4m3fn,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
}
"""safetensors' names of types."""


class CompressedQuantizer(HfQuantizer):
    """Puts layers with codes where the checkpoint has codes."""

    requires_calibration = True

    def _process_model_before_weight_loading(self, model: Any, **_: Any) -> None:
        made = self.quantization_config
        for name, parts in made.layers.items():
            old = model.get_submodule(name)
            held = {part: (shape, TYPES[dtype]) for part, (shape, dtype) in parts.items()}
            new = CompressedLinear(old.in_features, old.out_features, old.bias is not None, made.bits, held)
            model.set_submodule(name, new)

    def is_serializable(self, *_: Any, **__: Any) -> bool:
        return False

    @property
    def is_trainable(self) -> bool:
        return True


if NAME not in AUTO_QUANTIZER_MAPPING:
    register_quantization_config(NAME)(CompressedConfig)
    register_quantizer(NAME)(CompressedQuantizer)
