"""EVA: LoRA whose A starts as the principal directions of each layer's inputs (Paischer et al., arXiv 2410.07170)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from swift_plugin_runtime.tuning import adapters
from swift_plugin_runtime.tuning.peft_tuner import LowRankTuner

from swift_core import hookimpl, option
from swift_core.contract.job import Job


@dataclass(kw_only=True, eq=False)
class Eva(LowRankTuner):
    """LoRA whose A spans most variance of the layer's inputs, ranks going where they explain more (EVA)."""

    eva_rho: float = option(
        2.0, "ρ: a layer may get up to ρ·r of the ranks shared out (section 3.2).", ge=1, symbol="ρ"
    )
    eva_tau: float = option(
        0.99, "τ: singular vectors count as found when two batches agree by this cosine.", ge=0, le=1, symbol="τ"
    )
    eva_rows: int = option(
        64, "Rows of --dataset, through the job's template, from which the activations come.", ge=1, symbol=""
    )

    def variant(self) -> dict[str, Any]:
        import peft

        return {"init_lora_weights": "eva", "eva_config": peft.EvaConfig(rho=self.eva_rho, tau=self.eva_tau)}

    @hookimpl
    def attach_tuner(self, job: Job, model: Any, name: str) -> Any:
        import peft
        from swift_plugin_runtime.quantizing.calibration import draw_batches

        adapters.refuse_adapted(model, "eva")
        training = model.training
        tuned = adapters.attach(model, self.peft_config(job, model), name)
        # PEFT passes over a batch of fewer tokens than directions, and would wait for a larger one for ever
        batches = draw_batches(job, model, self.eva_rows, least=round(self.eva_rho * self.lora_rank))
        peft.initialize_lora_eva_weights(tuned.eval(), batches, adapter_name=name, show_progress_bar=False)
        return tuned.train(training)
