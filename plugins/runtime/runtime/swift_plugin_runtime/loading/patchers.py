"""Patches that any model may need, each named after what it mends."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from swift_core import hookimpl
from swift_core.contract.components import Patcher


@dataclass(kw_only=True, eq=False)
class InputGrads(Patcher):
    """Lets gradients flow into frozen embeddings, which gradient checkpointing of adapters needs."""

    swift_api = 1

    @hookimpl
    def patch_model(self, model: Any) -> None:
        model.enable_input_require_grads()


@dataclass(kw_only=True, eq=False)
class Float32Norms(Patcher):
    """Keeps normalisation weights in float32 under half precision, where their small updates would round away."""

    swift_api = 1

    @hookimpl
    def patch_model(self, model: Any) -> None:
        import torch

        for module in model.modules():
            if "norm" in type(module).__name__.lower() and getattr(module, "weight", None) is not None:
                module.to(torch.float32)
                module.register_forward_pre_hook(_inputs_as_weight)
                module.register_forward_hook(_output_as_input)


def _inputs_as_weight(module: Any, inputs: Any) -> Any:
    module._swift_dtype = inputs[0].dtype
    return (inputs[0].to(module.weight.dtype), *inputs[1:])


def _output_as_input(module: Any, _: Any, output: Any) -> Any:
    return output.to(module._swift_dtype)
