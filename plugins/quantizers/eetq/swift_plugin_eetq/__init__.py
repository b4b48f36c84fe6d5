"""EETQ: weights in 8 bits by EETQ's kernels, for GPUs (github.com/NetEase-FuXi/EETQ)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from swift_core import Supported, SwiftError, Unsupported, hookimpl
from swift_core.contract.components import Quantizer
from swift_core.contract.job import Job


@dataclass(kw_only=True, eq=False)
class Eetq(Quantizer):
    """Linear layers in INT8 as the model loads. Table 2: QAT and QLoRA. Needs CUDA; it was not run on a GPU yet."""

    swift_api = 1
    stages = {
        "QAT": Supported("by the library; not run here"),
        "QLoRA": Supported("not run here"),
        "PTQ": Unsupported("at load alone"),
    }

    @hookimpl
    def quantization_config(self, job: Job, config: Any) -> Any:
        import transformers

        check_eetq(job)
        return transformers.EetqConfig("int8")


def check_eetq(job: Job) -> None:
    """SwiftError, before anything is loaded, where EETQ cannot run."""
    import importlib.util

    import torch

    if job.options.device == "cpu" or not torch.cuda.is_available():
        raise SwiftError("EETQ's kernels run on NVIDIA GPUs alone; on a CPU say --quantizer hqq or bnb.")
    if not (importlib.util.find_spec("eetq") or importlib.util.find_spec("kernels")):
        raise SwiftError("EETQ needs its kernels: pip install kernels (or eetq, whose wheels are for Python 3.10).")
