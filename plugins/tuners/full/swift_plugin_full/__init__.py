"""Full fine-tuning: every weight trains, save the parts that the freeze flags keep."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from swift_plugin_runtime.tuning.adapters import train_unfrozen

from swift_core import Supported, Unsupported, hookimpl
from swift_core.contract.components import Tuner
from swift_core.contract.job import Job


@dataclass(kw_only=True, eq=False)
class Full(Tuner):
    """Every weight trains; --freeze_llm, --freeze_vit and --freeze_aligner keep parts as they are."""

    swift_api = 1
    trains_whole_weights = True
    takes_parts = True
    capabilities = {
        "tuner": Unsupported("every weight trains already; there is nothing that an adapter could add."),
        "neftune": Supported("noise on the embeddings changes no weight."),
        "quantizer": Unsupported("quantized weights have no gradient; train an adapter on them: --tuner lora."),
    }

    @hookimpl
    def attach_tuner(self, job: Job, model: Any) -> Any:
        train_unfrozen(job, model)
        return model
