"""Weights under llama.cpp's names, in its order of rows, in the type asked for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import gguf
import numpy
from gguf import GGMLQuantizationType as Type

from swift_core import SwiftError
from swift_plugin_gguf.architectures import Architecture, head_dim, rope_of

TYPES = {"f32": Type.F32, "f16": Type.F16, "bf16": Type.BF16, "q8_0": Type.Q8_0}
"""The words of --gguf_type → GGUF's types."""

LARGEST_HALF = 65504.0


@dataclass(frozen=True)
class Weight:
    """One tensor of the file. tensor: a torch tensor as transformers has it. heads: how many heads its rows are turned
    in; 0: they stay. add: what is added to every number. kind: GGUF's type."""

    name: str
    tensor: Any
    kind: Type
    heads: int = 0
    add: float = 0.0

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape as it is stored: numbers, or bytes where the type packs them."""
        shape = tuple(self.tensor.shape)
        plain = self.kind in (Type.F32, Type.F16)
        return shape if plain else tuple(gguf.quant_shape_to_byte_shape(shape, self.kind))

    @property
    def dtype(self) -> Any:
        """numpy's type of what is stored."""
        return numpy.dtype({Type.F32: numpy.float32, Type.F16: numpy.float16}.get(self.kind, numpy.uint8))

    def values(self) -> Any:
        """The numbers as they are stored. SwiftError where one is too large for f16."""
        import torch

        numbers = self.tensor.detach().to("cpu", torch.float32).numpy() + numpy.float32(self.add)
        if self.heads:
            numbers = turned(numbers, self.heads)
        if self.kind is Type.F16 and numpy.abs(numbers).max(initial=0) > LARGEST_HALF:
            raise SwiftError(f"{self.name} has numbers beyond {LARGEST_HALF:.0f}, the largest of f16: say bf16 or f32.")
        return gguf.quants.quantize(numpy.ascontiguousarray(numbers), self.kind)


def turned(numbers: Any, heads: int) -> Any:
    """Rows of Q or K in turns: of each head's first and second half, one each. numbers: [heads * width, …]."""
    rows = numbers.shape[0]
    halves = numbers.reshape(heads, 2, rows // heads // 2, *numbers.shape[1:])
    return halves.swapaxes(1, 2).reshape(numbers.shape)


class Names:
    """Names of tensors of one architecture. layers: how many the model has."""

    def __init__(self, architecture: Architecture, config: Any):
        kinds = {name: kind for kind, name in gguf.MODEL_ARCH_NAMES.items()}
        self.architecture, self.config = architecture, config
        self.map = gguf.get_tensor_name_map(kinds[architecture.name], config.num_hidden_layers)

    def of(self, name: str) -> str | None:
        """GGUF's name of a tensor of transformers; None where llama.cpp has no such tensor."""
        found: str | None = self.map.get_name(name, (".weight", ".bias"))
        return found

    def heads(self, found: str) -> int:
        """How many heads the rows of the tensor called `found` are turned in."""
        config, which = self.config, found.split(".")[-2]
        heads = {"attn_q": config.num_attention_heads, "attn_k": config.num_key_value_heads}
        return heads.get(which, 0) if self.architecture.turned else 0


def weights_of(architecture: Architecture, model: Any, kind: Type) -> list[Weight]:
    """Every tensor of the file. Norms and biases are always float32.

    Raises SwiftError for tensors that llama.cpp does not have.
    """
    config, names = model.config.get_text_config(), Names(architecture, model.config.get_text_config())
    tensors = dict(_named(model, config))
    unknown = [name for name in tensors if names.of(name) is None]
    if unknown:
        raise SwiftError(f"llama.cpp's {architecture.name!r} has no place for {', '.join(unknown[:5])} of this model.")
    weights = list(_scaled_positions(architecture, model, config))
    for name, tensor in tensors.items():
        found = str(names.of(name))
        add = float(architecture.one_more and found.endswith("norm.weight"))
        weights.append(Weight(found, tensor, kind if tensor.dim() > 1 else Type.F32, names.heads(found), add))
    return [_fitting(weight) for weight in weights]


def _named(model: Any, config: Any) -> Iterator[tuple[str, Any]]:
    """The tensors that a file holds: those of the model without the output matrix where it is the embedding."""
    for name, tensor in model.state_dict().items():
        if not (config.tie_word_embeddings and name.endswith("lm_head.weight")):
            yield name, tensor


def _scaled_positions(architecture: Architecture, model: Any, config: Any) -> Iterator[Weight]:
    """By what each frequency is divided, where Llama 3's rule scales them apart from each other."""
    rope = rope_of(config)
    if rope.get("rope_type") != "llama3":
        return
    import torch

    width = head_dim(config)
    plain = rope["rope_theta"] ** (-torch.arange(0, width, 2, dtype=torch.float64) / width)
    scaled = next(buffer for name, buffer in model.named_buffers() if name.endswith("rotary_emb.inv_freq"))
    yield Weight("rope_freqs.weight", (plain / scaled.to("cpu", torch.float64)).float(), Type.F32)


def _fitting(weight: Weight) -> Weight:
    """The weight itself, or as f16 where its rows cannot be cut into Q8_0's blocks of 32."""
    if weight.kind is not Type.Q8_0 or weight.tensor.shape[-1] % 32 == 0:
        return weight
    return Weight(weight.name, weight.tensor, Type.F16, weight.heads, weight.add)
