"""Full fine-tuning: every weight trains, save the parts that the freeze flags keep."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from swift_plugin_runtime.adapters import frozen_by

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
        frozen = frozen_by(job)
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(frozen is None or not frozen(name))
        return model
