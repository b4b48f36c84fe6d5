"""HQQ: weights of 1 to 8 bits, found without data by half-quadratic splitting (github.com/mobiusml/hqq)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from swift_core import Supported, SwiftError, Unsupported, hookimpl, option
from swift_core.contract.components import Quantizer


@dataclass(kw_only=True, eq=False)
class Hqq(Quantizer):
    """Quantizes linear layers as the model loads, with HQQ's own library. Table 2: QAT and QLoRA, no PTQ."""

    swift_api = 1
    stages = {"QAT": Supported(), "QLoRA": Supported(), "PTQ": Unsupported("HQQ quantizes in seconds at every load.")}
    capabilities = {
        "fsdp": Unsupported("its packed weights cannot be split among processes."),
        "deepspeed": Unsupported("its packed weights cannot be split among processes."),
    }

    quant_bits: Literal[1, 2, 3, 4, 8] = option(4, "Bits per weight.", symbol="")
    hqq_group_size: int = option(64, "Weights that share scale and zero point.", ge=8, symbol="")
    hqq_axis: Literal[0, 1] = option(
        1, "Groups run along the inputs (1, which fast kernels want) or outputs (0).", symbol=""
    )
    hqq_skip_modules: list[str] = option([], "Parts of names of layers kept as they are, beside the output head.")

    @hookimpl
    def patch_model(self, model: Any) -> None:
        import torch
        from hqq.core.quantize import BaseQuantizeConfig, HQQLinear

        head = model.get_output_embeddings()
        settings = BaseQuantizeConfig(nbits=self.quant_bits, group_size=self.hqq_group_size, axis=self.hqq_axis)
        for name, module in list(model.named_modules()):
            kept = module is head or any(part in name for part in self.hqq_skip_modules)
            if isinstance(module, torch.nn.Linear) and not kept:
                self.refuse_odd_width(name, module)
                where = {"compute_dtype": module.weight.dtype, "device": str(module.weight.device)}
                model.set_submodule(name, HQQLinear(module, settings, del_orig=True, **where))
        model.dequantize = partial(plain_again, model)

    def refuse_odd_width(self, name: str, module: Any) -> None:
        """SwiftError where groups do not fill a layer."""
        width = module.in_features if self.hqq_axis == 1 else module.out_features
        if width % self.hqq_group_size:
            raise SwiftError(f"{name} is {width} wide, which --hqq_group_size {self.hqq_group_size} does not divide.")


def plain_again(model: Any) -> Any:
    """The model with plain linear layers of the weights that its HQQ layers stand for, in the type they compute in."""
    from hqq.core.quantize import HQQLinear
    from swift_plugin_runtime.quantizing.packed_weights import linear_of

    for name, module in list(model.named_modules()):
        if isinstance(module, HQQLinear):
            model.set_submodule(name, linear_of(module.dequantize(), module.bias))
    del model.dequantize
    return model
