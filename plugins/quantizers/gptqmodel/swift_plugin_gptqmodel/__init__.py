"""GPTQ (Frantar et al., arXiv 2210.17323) and AWQ (Lin et al., arXiv 2306.00978), made offline by GPTQModel.

GPTQModel works in an environment of its own. What it writes, and what AutoGPTQ and AutoAWQ wrote, is loaded here
in plain torch (`packed`): on any device, with gradients that are right.
"""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

from swift_core import Supported, SwiftError, Unsupported, hookimpl, option
from swift_core.contract.components import Quantizer, Requirements
from swift_core.contract.job import Job

BASE = ("torch==2.13.0", "transformers==5.23.0", "accelerate==1.15.0")


@dataclass(kw_only=True, eq=False)
class Calibrated(Quantizer):
    """What both share: rows in, a packed checkpoint out; and how such a checkpoint is loaded."""

    swift_api = 1
    method: ClassVar[str] = ""
    environment = Requirements(
        ("--no-build-isolation", "gptqmodel==7.6.0", *BASE),
        before=(*BASE, "setuptools", "wheel", "ninja", "packaging", "pybind11"),
    )
    stages = {"QAT": Unsupported("its codes are not trained."), "QLoRA": Supported(), "PTQ": Supported()}
    capabilities = {
        "fsdp": Unsupported("its packed weights cannot be split among processes."),
        "deepspeed": Unsupported("its packed weights cannot be split among processes."),
    }

    quant_bits: Literal[2, 3, 4, 8] = option(4, "Bits per weight (N of AWQ).", symbol="N")
    quant_group_size: int = option(
        128, "g: weights that share scale and zero point; -1: a whole column.", ge=-1, symbol="g"
    )
    quant_samples: int = option(
        256, "Rows of --dataset on which it calibrates, through the job's template.", ge=1, symbol=""
    )

    @hookimpl
    def quantization_config(self, config: Any) -> Any:
        """Loads a checkpoint that is packed already; how it was packed stands in its config."""
        from swift_plugin_gptqmodel.packed import settings_of

        config.quantization_config = settings_of(config, self.method)

    @hookimpl
    def quantize_model(self, job: Job, path: str, rows: Iterable[Any], folder: str) -> str:
        from swift_plugin_runtime.quantizing.offline import quantize_apart

        self.refuse_settings(job, path)
        if not shutil.which("nvcc"):
            os.environ.setdefault("BUILD_CUDA_EXT", "0")  # GPTQModel would compile kernels that nothing can run
        worker, drawn = Path(__file__).with_name("worker.py"), list(rows)[: self.quant_samples]
        told = {"method": self.method, "settings": self.settings()}
        return quantize_apart(job, path, drawn, folder, worker, owner="gptq", **told)  # one environment for both

    def settings(self) -> dict[str, Any]:
        """The arguments of GPTQModel's QuantizeConfig."""
        return {"bits": self.quant_bits, "group_size": self.quant_group_size}

    def refuse_settings(self, job: Job, path: str) -> None:
        """SwiftError for what the method cannot do with the checkpoint `path`, before its environment is made."""
        from swift_plugin_runtime.quantizing.offline import refuse_media

        refuse_media(job, self.method)


@dataclass(kw_only=True, eq=False)
class Gptq(Calibrated):
    """GPTQ: weights rounded one column after the other, each error spread over those to come. PTQ and QLoRA."""

    method = "gptq"
    reads = ("gptq",)

    gptq_desc_act: bool = option(False, "Columns in the order of their activations' size (act-order).")
    gptq_sym: bool = option(True, "Symmetric levels, without a zero point of their own.")

    def settings(self) -> dict[str, Any]:
        return {**super().settings(), "desc_act": self.gptq_desc_act, "sym": self.gptq_sym, "pack_impl": "original"}


@dataclass(kw_only=True, eq=False)
class Awq(Calibrated):
    """AWQ: channels with large activations are scaled up before rounding. PTQ and QLoRA (Table 2)."""

    method = "awq"
    reads = ("awq",)

    def refuse_settings(self, job: Job, path: str) -> None:
        """Raises SwiftError for other than 4 bits, for groups of another size than rows, and for what gptq refuses."""
        super().refuse_settings(job, path)
        if self.quant_bits != 4:
            raise SwiftError(f"AWQ packs 4 bits; --quant_bits {self.quant_bits} is for gptq.")
        config = job.hook.load_config(job=job, path=path)
        widths = [getattr(config, name, 0) for name in ("hidden_size", "intermediate_size")]
        size = math.gcd(self.quant_group_size, *widths)
        if 0 < size < self.quant_group_size:
            raise SwiftError(
                f"AWQ cuts a layer's inputs into groups of --quant_group_size {self.quant_group_size}, and this "
                f"model's have {' and '.join(map(str, widths))}; say --quant_group_size {size}, which divides them."
            )
