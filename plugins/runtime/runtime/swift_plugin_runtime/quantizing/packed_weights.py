"""Checkpoints of quantized weights in plain torch: layers hold codes, and make their weight whole when it is used."""

from __future__ import annotations

from typing import Any

import torch
from transformers.quantizers.auto import (
    AUTO_QUANTIZER_MAPPING,
    register_quantization_config,
    register_quantizer,
)
from transformers.quantizers.base import HfQuantizer

from swift_core import SwiftError


def linear_of(weight: torch.Tensor, bias: torch.Tensor | None) -> torch.nn.Linear:
    """A plain, frozen layer of these. weight: [outputs, inputs]; bias: [outputs]."""
    made = torch.nn.Linear(*reversed(weight.shape), bias=bias is not None, device="meta", dtype=weight.dtype)
    made.weight = torch.nn.Parameter(weight, requires_grad=False)
    if bias is not None:
        made.bias = torch.nn.Parameter(bias, requires_grad=False)
    return made


class CodedLinear(torch.nn.Linear):
    """A linear layer without a stored weight. Subclasses hold codes in buffers and give the property `weight`."""

    def __init__(self, inputs: int, outputs: int, bias: bool):
        torch.nn.Module.__init__(self)
        self.in_features, self.out_features = inputs, outputs
        self.bias = torch.nn.Parameter(torch.zeros(outputs), requires_grad=False) if bias else None

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """[…, in] to […, out]."""
        return torch.nn.functional.linear(input, self.weight.to(input.dtype), self.bias)

    def plain(self, dtype: torch.dtype) -> torch.nn.Linear:
        """A linear layer of the weight [out, in] that the codes stand for."""
        return linear_of(self.weight.to(dtype), None if self.bias is None else self.bias.to(dtype))


class CodedQuantizer(HfQuantizer):
    """Puts layers with codes where the checkpoint has codes. Subclasses say which layer takes the place of which."""

    requires_calibration = True

    def coded(self, name: str, old: Any) -> CodedLinear:
        """The layer for the place `name` of the plain layer `old`."""
        raise NotImplementedError

    def _process_model_before_weight_loading(self, model: Any, **_: Any) -> None:
        for name in self.quantization_config.layers:
            model.set_submodule(name, self.coded(name, model.get_submodule(name)))

    def _dequantize(self, model: Any, dtype: torch.dtype | None = None) -> Any:
        """The model with plain layers in place of those with codes, in `dtype`; left out: float32."""
        for name in self.quantization_config.layers:
            model.set_submodule(name, model.get_submodule(name).plain(dtype or torch.float32))
        return model

    def is_serializable(self, *_: Any, **__: Any) -> bool:
        return False

    @property
    def is_trainable(self) -> bool:
        return True


def register(name: str, config: type, quantizer: type[CodedQuantizer]) -> None:
    """Make transformers' loader know a way of quantization by its name, once."""
    if name not in AUTO_QUANTIZER_MAPPING:
        register_quantization_config(name)(config)
        register_quantizer(name)(quantizer)


def settings_made(config: Any, method: str, needs: str = "") -> dict[str, Any]:
    """The `quantization_config` of a checkpoint. SwiftError, with how to make one, where its weights are plain.

    needs: options of `swift export` that the method cannot do without.
    """
    made = getattr(config, "quantization_config", None)
    if made is None:
        raise SwiftError(
            f"The checkpoint holds plain weights, and {method} quantizes offline. Make a quantized one first: "
            f"swift export --quant_method {method} {needs}--model …, then train or serve what it writes."
        )
    return made if isinstance(made, dict) else made.to_dict()
