"""FP8 weights with a scale for each block of 128 by 128, as DeepSeek-V3 stores them (arXiv 2412.19437)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from swift_core import SwiftError, Unsupported, hookimpl, option
from swift_core.contract.components import Quantizer
from swift_core.contract.job import Job


@dataclass(kw_only=True, eq=False)
class Fp8(Quantizer):
    """Weights in E4M3 with block scales, activations in FP8 too, for GPUs since Hopper. It was not run on one yet."""

    swift_api = 1
    stages = {
        "QAT": Unsupported("its products have no backward pass."),
        "QLoRA": Unsupported("its products have no backward pass."),
        "PTQ": Unsupported("its blocks are made at every load; llm_compressor writes FP8 checkpoints."),
    }
    fp8_block_size: int = option(128, "Rows and columns of a block with one scale.", ge=16, symbol="")

    @hookimpl
    def quantization_config(self, job: Job, config: Any) -> Any:
        import transformers

        check_fp8(job)
        size = (self.fp8_block_size, self.fp8_block_size)
        return transformers.FineGrainedFP8Config(weight_block_size=size)


def check_fp8(job: Job) -> None:
    """SwiftError, before anything is loaded, where FP8 products cannot run."""
    import torch

    if job.spec.name not in ("infer", "deploy", "eval", "export", "app", "sample"):
        raise SwiftError("FP8 products have no backward pass: train in bfloat16, or on --quantizer bnb.")
    if job.options.device == "cpu" or not torch.cuda.is_available():
        raise SwiftError("FP8 in blocks runs on GPUs alone; on a CPU say --quantizer torchao.")
