"""bitsandbytes: linear layers in 4 bits (NF4 or FP4, QLoRA, arXiv 2305.14314) or 8 (LLM.int8(), arXiv 2208.07339)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from swift_core import Supported, SwiftError, Unsupported, hookimpl, option
from swift_core.contract.components import Quantizer
from swift_core.contract.job import Job
from swift_core.jobs.steps import load_processor


@dataclass(kw_only=True, eq=False)
class Bnb(Quantizer):
    """Quantizes linear layers to 4 or 8 bits while the model loads, so that adapters train on a small base."""

    swift_api = 1
    reads = ("bitsandbytes",)
    needs_rows = False
    stages = {"QAT": Supported(), "QLoRA": Supported(), "PTQ": Supported()}
    capabilities = {
        "tensor": Unsupported("a part of a matrix product needs rows of the weight, and 4-bit weights are one column."),
    }

    quant_bits: int = option(4, "k: bits per weight, 4 or 8.", ge=4, le=8, multiple_of=4, symbol="k")
    bnb_4bit_quant_type: Literal["nf4", "fp4"] = option(
        "nf4", "Levels of 4 bits: nf4 fits normally distributed weights (QLoRA, section 3), fp4 is a small float."
    )
    bnb_4bit_use_double_quant: bool = option(True, "Quantize the scales too: 0.37 bits a weight less (QLoRA).")
    bnb_4bit_compute_dtype: Literal["auto", "float32", "bfloat16", "float16"] = option(
        "auto", "Precision of the products of 4-bit layers; auto: bfloat16 where a GPU has it, else float32."
    )
    llm_int8_threshold: float = option(
        6.0,
        "α, of 8 bits: columns with an activation above this are computed in full precision (LLM.int8()).",
        ge=0,
        symbol="α",
    )
    llm_int8_skip_modules: list[str] = option([], "Modules kept as they are; left out: the output head alone.")

    @property
    def takes_parts(self) -> bool:  # type: ignore[override]  # it depends on the bits
        """Layers of 4 bits know by themselves how to read their weight; of 8 bits, the weight object knows."""
        return self.quant_bits == 4

    @hookimpl
    def quantization_config(self, config: Any) -> Any:
        import transformers

        made = getattr(config, "quantization_config", None)
        if made is not None:
            return transformers.BitsAndBytesConfig.from_dict(_of_ours(made))
        return transformers.BitsAndBytesConfig(
            load_in_4bit=self.quant_bits == 4,
            load_in_8bit=self.quant_bits == 8,
            bnb_4bit_quant_type=self.bnb_4bit_quant_type,
            bnb_4bit_use_double_quant=self.bnb_4bit_use_double_quant,
            bnb_4bit_compute_dtype=_compute_dtype(self.bnb_4bit_compute_dtype),
            llm_int8_threshold=self.llm_int8_threshold,
            llm_int8_skip_modules=self.llm_int8_skip_modules or None,
        )

    @hookimpl
    def quantize_model(self, job: Job, path: str, folder: str) -> str:
        config = job.hook.load_config(job=job, path=path)
        wanted = self.quantization_config(config)
        model = job.hook.load_model(job=job, path=path, config=config, quantization=wanted)
        processor = load_processor(job, path, config)
        job.hook.save_model(job=job, model=model, processor=processor, folder=folder)
        return folder


def _of_ours(made: Any) -> dict[str, Any]:
    """The settings of a checkpoint that is quantized already; refused where another method made them."""
    settings = made if isinstance(made, dict) else made.to_dict()
    method = str(getattr(settings.get("quant_method"), "value", settings.get("quant_method")))
    if method != "bitsandbytes":
        raise SwiftError(f"The checkpoint is quantized with {method} already; leave --quantizer bnb out.")
    return dict(settings)


def _compute_dtype(name: str) -> Any:
    import torch

    if name != "auto":
        return getattr(torch, name)
    return torch.bfloat16 if torch.cuda.is_available() and torch.cuda.is_bf16_supported() else torch.float32
