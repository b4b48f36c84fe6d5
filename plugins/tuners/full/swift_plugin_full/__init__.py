"""Full fine-tuning: every weight trains, save the parts that the freeze flags keep."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from swift_plugin_runtime.adapters import frozen_prefixes

from swift_core import Unsupported, hookimpl


@dataclass(kw_only=True, eq=False)
class Full:
    """Every weight trains; --freeze_llm, --freeze_vit and --freeze_aligner keep parts as they are."""

    swift_api = 1
    capabilities = {
        "quantizer": Unsupported("quantized weights have no gradient; train an adapter on them: --tuner lora.")
    }

    @hookimpl
    def attach_tuner(self, job: Any, model: Any) -> Any:
        frozen = frozen_prefixes(job)
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(not (frozen and name.startswith(frozen)))
        return model
