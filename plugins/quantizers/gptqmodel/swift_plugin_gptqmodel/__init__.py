"""GPTQ (Frantar et al., arXiv 2210.17323) and AWQ (Lin et al., arXiv 2306.00978), made offline by GPTQModel.

GPTQModel works in an environment of its own. What it writes, and what AutoGPTQ and AutoAWQ wrote, is loaded here
in plain torch (`packed`): on any device, with gradients that are right.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from swift_core import Supported, SwiftError, Unsupported, hookimpl, option
from swift_core.catalogue import Catalogue
from swift_core.environments import Requirements, of_entry

BASE = ("torch==2.13.0", "transformers==5.23.0", "accelerate==1.15.0")


@dataclass(kw_only=True, eq=False)
class Calibrated:
    """What both share: rows in, a packed checkpoint out; and how such a checkpoint is loaded."""

    swift_api = 1
    method = ""
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
    def quantize_model(self, job: Any, path: str, rows: Iterable[Any], folder: str) -> str:
        from swift_plugin_runtime.processor import tokenizer_of

        self.refuse_settings(job)
        config = job.hook.load_config(job=job, path=path)
        processor = job.hook.load_processor(job=job, path=path, config=config)
        encoded = job.hook.encode(job=job, rows=list(rows)[: self.quant_samples], processor=processor, generation=False)
        work = {
            "model": str(Path(path).resolve()),
            "out": str(Path(folder).resolve()),
            "method": self.method,
            "settings": self.settings(),
            "rows": [{"input_ids": e["input_ids"], "attention_mask": [1] * len(e["input_ids"])} for e in encoded],
        }
        self.run(work)
        tokenizer_of(processor).save_pretrained(folder)
        return folder

    def settings(self) -> dict[str, Any]:
        """The arguments of GPTQModel's QuantizeConfig."""
        return {"bits": self.quant_bits, "group_size": self.quant_group_size}

    def refuse_settings(self, job: Any) -> None:
        """SwiftError for what the method cannot do, before its environment is made."""
        if set(job.card.modality) != {"text"}:
            raise SwiftError(f"{job.card.name} reads more than text; {self.method} calibrates on text models alone.")

    def run(self, work: dict[str, Any]) -> None:
        """Run the worker in its environment; SwiftError with its last words where it fails."""
        environment = of_entry(Catalogue.installed().find("quantizer", "gptq"))  # one for both
        assert environment is not None
        if not shutil.which("nvcc"):
            os.environ.setdefault("BUILD_CUDA_EXT", "0")  # GPTQModel would compile kernels that nothing can run
        python = environment.create()
        with tempfile.TemporaryDirectory() as place:
            file = Path(place, "work.json")
            file.write_text(json.dumps(work), encoding="utf-8")
            command = [str(python), str(Path(__file__).with_name("worker.py")), str(file)]
            # it leaves a folder of logs where it runs
            done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=place)
        if done.returncode:
            raise SwiftError(f"{self.method} failed in its environment: {done.stderr.strip()[-800:]}")


@dataclass(kw_only=True, eq=False)
class Gptq(Calibrated):
    """GPTQ: weights rounded one column after the other, each error spread over those to come. PTQ and QLoRA."""

    method = "gptq"

    gptq_desc_act: bool = option(False, "Columns in the order of their activations' size (act-order).")
    gptq_sym: bool = option(True, "Symmetric levels, without a zero point of their own.")

    def settings(self) -> dict[str, Any]:
        return {**super().settings(), "desc_act": self.gptq_desc_act, "sym": self.gptq_sym, "pack_impl": "original"}


@dataclass(kw_only=True, eq=False)
class Awq(Calibrated):
    """AWQ: channels with large activations are scaled up before rounding. PTQ and QLoRA (Table 2)."""

    method = "awq"

    def refuse_settings(self, job: Any) -> None:
        super().refuse_settings(job)
        if self.quant_bits != 4:
            raise SwiftError(f"AWQ packs 4 bits; --quant_bits {self.quant_bits} is for gptq.")
