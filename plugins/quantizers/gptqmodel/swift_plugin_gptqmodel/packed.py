"""GPTQ and AWQ checkpoints in plain torch: weights are unpacked when they are used, so gradients are autograd's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from swift_plugin_runtime.quantizing.packed_weights import CodedLinear, CodedQuantizer, register, settings_made
from transformers.utils.quantization_config import QuantizationConfigMixin

from swift_core import SwiftError

NAME = "swift_packed"
AWQ_ORDER = (0, 4, 1, 5, 2, 6, 3, 7)
"""Where the columns 0 … 7 of a group lie in AWQ's packing."""


class PackedLinear(CodedLinear):
    """A linear layer whose weight is packed into int32. kind: gptq (zero points less one), gptq_v2 or awq.

    qweight: gptq [in · bits/32, out], awq [in, out · bits/32]. qzeros [groups, out · bits/32]. scales [groups, out].
    g_idx [in]: the group of each input (gptq).
    """

    def __init__(self, inputs: int, outputs: int, bias: bool, bits: int, group_size: int, kind: str):
        super().__init__(inputs, outputs, bias)
        self.bits, self.kind = bits, kind
        size = inputs if group_size == -1 else group_size
        groups, each = -(-inputs // size), 32 // bits
        whole = (inputs, outputs // each) if kind == "awq" else (inputs // each, outputs)
        self.register_buffer("qweight", torch.zeros(whole, dtype=torch.int32))
        self.register_buffer("qzeros", torch.zeros((groups, outputs // each), dtype=torch.int32))
        self.register_buffer("scales", torch.zeros(groups, outputs))
        self.size = size
        if kind != "awq":
            self.register_buffer("g_idx", torch.zeros(inputs, dtype=torch.int32))

    @property
    def weight(self) -> torch.Tensor:
        """[out, in], made anew whenever it is asked for."""
        columns = self.kind == "awq"
        levels = self.unpacked(self.qweight, across=columns)
        zeros = self.unpacked(self.qzeros, across=True) + int(self.kind == "gptq")
        group = self.group()
        return ((levels - zeros[group]) * self.scales[group]).T

    def group(self) -> torch.Tensor:
        """The group of each input: stored by gptq, which may have reordered them; in order in awq. Shape [in]."""
        if self.kind == "awq":
            return torch.arange(self.in_features, device=self.qweight.device) // self.size
        return self.g_idx.long()

    def unpacked(self, packed: torch.Tensor, across: bool) -> torch.Tensor:
        """Levels 0 … 2^bits − 1. across: several columns lie in one int32, else several rows.

        packed: [rows, columns]. Returns 32 / bits times as many columns, or rows.
        """
        each = 32 // self.bits
        shifts = torch.arange(each, device=packed.device, dtype=torch.int32) * self.bits
        mask = (1 << self.bits) - 1
        if not across:
            return ((packed[:, None, :] >> shifts[None, :, None]) & mask).flatten(0, 1)
        levels = (packed[:, :, None] >> shifts) & mask
        if self.kind == "awq":
            levels = levels[:, :, list(AWQ_ORDER)]
        return levels.flatten(1)


def settings_of(config: Any, method: str) -> dict[str, Any]:
    """How a checkpoint was packed, for transformers' loader. SwiftError where it was not, or by another method."""
    made = settings_made(config, method, "--dataset ROWS ")
    actual = str(getattr(made.get("quant_method"), "value", made.get("quant_method")))
    if actual != method:
        raise SwiftError(f"The checkpoint is quantized with {actual}; say --quantizer {actual}, or leave it out.")
    bits = int(made.get("bits") or made.get("w_bit") or 0)
    if bits not in (2, 4, 8):
        raise SwiftError(f"The checkpoint packs {bits} bits, which do not fill a word; 2, 4 and 8 can be loaded.")
    form = made.get("checkpoint_format") or made.get("format") or "gptq"
    kind = "awq" if method == "awq" else "gptq_v2" if form == "gptq_v2" else "gptq"
    size = made.get("group_size", made.get("q_group_size", 128))
    layers = packed_layers(config._name_or_path)
    return PackedConfig(bits=bits, group_size=int(size), kind=kind, layers=layers).to_dict()


def packed_layers(folder: str) -> list[str]:
    """Names of the layers that a checkpoint holds packed."""
    from safetensors import safe_open

    index = Path(folder, "model.safetensors.index.json")
    if index.is_file():
        names = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
    else:
        names = []
        for file in Path(folder).glob("*.safetensors"):
            with safe_open(file, framework="pt") as stream:
                names += list(stream.keys())
    return sorted(name.removesuffix(".qweight") for name in names if name.endswith(".qweight"))


class PackedConfig(QuantizationConfigMixin):
    """How layers are packed. layers: their names."""

    def __init__(self, bits: int = 4, group_size: int = 128, kind: str = "gptq", layers: Any = (), **_: Any):
        self.quant_method = NAME
        self.bits, self.group_size, self.kind, self.layers = bits, group_size, kind, list(layers)


class PackedQuantizer(CodedQuantizer):
    """Puts packed layers where the checkpoint has packed weights."""

    def coded(self, name: str, old: Any) -> PackedLinear:
        made = self.quantization_config
        return PackedLinear(
            old.in_features, old.out_features, old.bias is not None, made.bits, made.group_size, made.kind
        )


register(NAME, PackedConfig, PackedQuantizer)
