"""Checkpoints in the compressed-tensors format in plain torch: weights are made whole when they are used.

Activations stay in the precision of the model: kernels that quantize them have no backward pass, and on a CPU they
give adapters wrong gradients without an error (cosine 0.1 in the first layer).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from swift_plugin_runtime.quantizing.packed_weights import CodedLinear, CodedQuantizer, register, settings_made
from transformers.utils.quantization_config import QuantizationConfigMixin

from swift_core import SwiftError

NAME = "swift_compressed"
PACKED = "pack-quantized"
FORMATS = (PACKED, "float-quantized", "int-quantized", "naive-quantized")
PARTS = ("weight_packed", "weight_shape", "weight_scale", "input_scale", "weight")
"""What a compressed layer holds: codes of 32 bits with the shape they stand for, or values of 8 bits; scales."""


class CompressedLinear(CodedLinear):
    """A linear layer that stores codes. bits: of a packed code.

    weight_packed [out, in · bits/32] int32, or weight [out, in] in FP8 or INT8; weight_scale [out, groups] or [1].
    input_scale, by which servers scale activations, is only kept.
    """

    def __init__(self, inputs: int, outputs: int, bias: bool, bits: int, parts: dict[str, tuple[Any, Any]]):
        super().__init__(inputs, outputs, bias)
        self.bits = bits
        for name, (shape, dtype) in parts.items():
            self._buffers[name] = torch.zeros(shape, dtype=dtype)  # `weight` is a property below

    @property
    def weight(self) -> torch.Tensor:
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


def settings_of(config: Any) -> dict[str, Any]:
    """How a checkpoint was compressed, for transformers' loader. SwiftError where it was not, or in another way."""
    made = settings_made(config, "llm_compressor")
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

    layers: dict[str, dict[str, tuple[list[int], str]]] = {}
    for file in sorted(Path(folder).glob("*.safetensors")):
        with safe_open(file, framework="pt") as stream:
            for key in stream.keys():  # noqa: SIM118 (the stream is no mapping)
                layer, _, part = key.rpartition(".")
                if part in PARTS:
                    piece = stream.get_slice(key)
                    layers.setdefault(layer, {})[part] = (piece.get_shape(), piece.get_dtype())
    return {layer: parts for layer, parts in layers.items() if "weight_scale" in parts}


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


class CompressedQuantizer(CodedQuantizer):
    """Puts layers with codes where the checkpoint has codes."""

    def coded(self, name: str, old: Any) -> CompressedLinear:
        made = self.quantization_config
        held = {part: (shape, TYPES[dtype]) for part, (shape, dtype) in made.layers[name].items()}
        return CompressedLinear(old.in_features, old.out_features, old.bias is not None, made.bits, held)


register(NAME, CompressedConfig, CompressedQuantizer)
