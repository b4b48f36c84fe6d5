"""llm-compressor: FP8 (arXiv 2209.05433), INT8 and INT4 checkpoints as vLLM serves them, made offline.

llm-compressor works in an environment of its own. What it writes, and what others published in the same format
(compressed-tensors), is loaded here in plain torch (`compressed`): on any device, with gradients that are right.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from swift_core import Supported, SwiftError, Unsupported, hookimpl, option
from swift_core.contract.components import Quantizer, Requirements
from swift_core.contract.job import Job

CALIBRATED = ("FP8", "W4A16", "W8A8")
"""Schemes that look at rows: FP8 for the size of activations, the others for GPTQ's rounding."""

GROUPED = ("W8A16", "W4A16")
"""Schemes whose weights share scales by groups."""

USUAL_GROUP = 128
"""Weights in a group if nothing else is said."""


@dataclass(kw_only=True, eq=False)
class LlmCompressor(Quantizer):
    """FP8, W8A16, W4A16 and W8A8 checkpoints for serving (PTQ), and adapters trained on them (QLoRA)."""

    swift_api = 1
    reads = ("compressed-tensors",)
    environment = Requirements(("llmcompressor==0.14.0.1", "transformers==5.17.0", "torch==2.13.0"))
    stages = {"QAT": Unsupported("its codes are not trained."), "QLoRA": Supported(), "PTQ": Supported()}
    capabilities = {
        "fsdp": Unsupported("its stored weights cannot be split among processes."),
        "deepspeed": Unsupported("its stored weights cannot be split among processes."),
    }

    quant_scheme: Literal["FP8_DYNAMIC", "FP8", "W8A16", "W4A16", "W8A8"] = option(
        "FP8_DYNAMIC",
        "Bits of weights (W) and of activations (A) when served; FP8: E4M3 for both (arXiv 2209.05433), DYNAMIC: "
        "activations scaled token by token; W4A16 and W8A8 are rounded by GPTQ (arXiv 2210.17323).",
    )
    quant_group_size: int | None = option(
        None, "g of W8A16 and W4A16, left out 128: weights that share a scale; the other schemes have none.",
        ge=1, symbol="g",
    )  # fmt: skip
    quant_samples: int = option(
        256, "Rows of --dataset on which it calibrates, through the job's template.", ge=1, symbol=""
    )
    quant_skip_modules: list[str] = option(["lm_head"], "Layers kept as they are: names, or regexes after `re:`.")

    def group(self) -> int | None:
        """Weights that share a scale; None: the scheme has no groups. SwiftError where some were asked for."""
        if self.quant_scheme in GROUPED:
            return self.quant_group_size or USUAL_GROUP
        if self.quant_group_size is not None:
            schemes = " and ".join(GROUPED)
            raise SwiftError(f"--quant_group_size is for {schemes}; {self.quant_scheme} has no groups. Leave it out.")
        return None

    @property
    def needs_rows(self) -> bool:  # type: ignore[override]  # it depends on the options
        """Whether `swift export` must be given rows."""
        return self.quant_scheme in CALIBRATED

    @hookimpl
    def quantization_config(self, config: Any) -> Any:
        """Loads a checkpoint that is compressed already; how stands in its config."""
        from swift_plugin_llm_compressor.compressed import settings_of

        config.quantization_config = settings_of(config)

    @hookimpl
    def quantize_model(self, job: Job, path: str, rows: Iterable[Any], folder: str) -> str:
        from swift_plugin_runtime.quantizing.offline import quantize_apart, refuse_group, refuse_media

        refuse_media(job, "llm_compressor")
        group = self.group()
        if group:
            refuse_group(job, path, group, self.quant_skip_modules)
        worker, drawn = Path(__file__).with_name("worker.py"), list(rows)[: self.quant_samples]
        told = {"scheme": self.quant_scheme, "group": group, "skip": self.quant_skip_modules}
        return quantize_apart(job, path, drawn if self.needs_rows else [], folder, worker, "llm_compressor", **told)
