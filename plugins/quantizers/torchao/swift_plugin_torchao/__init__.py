"""torchao (github.com/pytorch/ao): weights in INT8, FP8 or INT4 as the model loads, activations as they are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from swift_core import Supported, Unsupported, hookimpl, option
from swift_core.contract.capability import Capability
from swift_core.contract.components import Quantizer


@dataclass(kw_only=True, eq=False)
class TorchAo(Quantizer):
    """PyTorch's own quantization of weights, which other programs of PyTorch read; for QLoRA and serving.

    Its forms with quantized activations are left out: their kernels give adapters wrong gradients without an
    error (cosine 0.1 in the first layer), which the quantizer contract shows.
    """

    swift_api = 1
    capabilities = {
        "fsdp": Unsupported("its tensor subclasses were not tried under FSDP."),
        "deepspeed": Unsupported("ZeRO flattens weights, and these are tensors of several parts."),
    }

    torchao_type: Literal["int8_weight_only", "float8_weight_only", "int4_weight_only"] = option(
        "int8_weight_only", "How weights are stored; int4 in groups, each code in a byte: no smaller than int8."
    )
    torchao_group_size: int = option(32, "Of int4: weights that share a scale.", ge=16, symbol="")

    @property
    def stages(self) -> dict[str, Capability]:  # type: ignore[override]  # it depends on the options
        """What its tensors are good for."""
        reason = "transformers trains them on weights of 8 bits alone. Say --torchao_type int8_weight_only."
        trains = Unsupported(reason) if self.torchao_type == "int4_weight_only" else Supported()
        return {"QAT": trains, "QLoRA": trains, "PTQ": Unsupported("its tensors are made at every load.")}

    @hookimpl
    def quantization_config(self) -> Any:
        import torch
        import transformers
        from torchao import quantization
        from torchao.quantization.granularity import PerGroup
        from torchao.quantization.quant_primitives import MappingType

        if self.torchao_type == "int4_weight_only":
            # a group's own zero takes a fifth off the error of torchao's default
            made = quantization.IntxWeightOnlyConfig(
                weight_dtype=torch.int4,
                granularity=PerGroup(self.torchao_group_size),
                mapping_type=MappingType.ASYMMETRIC,
            )
        elif self.torchao_type == "float8_weight_only":
            made = quantization.Float8WeightOnlyConfig()
        else:
            made = quantization.Int8WeightOnlyConfig()
        return transformers.TorchAoConfig(made)
