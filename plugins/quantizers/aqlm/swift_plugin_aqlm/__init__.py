"""AQLM: weights as sums of entries of learned codebooks, about 2 bits each (Egiazarian et al., arXiv 2401.06118)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from swift_core import Supported, SwiftError, Unsupported, hookimpl
from swift_core.contract.components import Quantizer
from swift_core.contract.job import Job


@dataclass(kw_only=True, eq=False)
class Aqlm(Quantizer):
    """Loads published AQLM checkpoints, to serve or for QLoRA (Table 2). None was at hand: loading is not proven."""

    swift_api = 1
    reads = ("aqlm",)
    stages = {
        "QAT": Unsupported("codes are not trained."),
        "QLoRA": Supported("not run here"),
        "PTQ": Unsupported("AQLM takes days of GPU time; use published checkpoints."),
    }

    @hookimpl
    def quantization_config(self, job: Job, config: Any) -> Any:
        import transformers

        made = getattr(config, "quantization_config", None)
        check_aqlm(made if isinstance(made, dict) or made is None else made.to_dict())
        return transformers.AqlmConfig.from_dict(made) if isinstance(made, dict) else made


def check_aqlm(settings: dict[str, Any] | None) -> None:
    """SwiftError where the checkpoint is not AQLM's, or its library is not there."""
    import importlib.util

    if settings is None or "aqlm" not in str(settings.get("quant_method")).lower():
        raise SwiftError(
            "AQLM only loads checkpoints that AQLM made (their names end in -AQLM-2Bit-1x16 and the like). To "
            "quantize this one say --quantizer hqq, or export it with gptq."
        )
    if not importlib.util.find_spec("aqlm"):
        raise SwiftError("AQLM checkpoints need its kernels: pip install aqlm[gpu] (or aqlm[cpu]).")
