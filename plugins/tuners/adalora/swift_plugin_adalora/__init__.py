"""AdaLoRA: adapters P·Λ·Q whose singular values are pruned to a budget (Zhang et al., arXiv 2303.10512)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from swift_plugin_runtime.tuning import adapters
from swift_plugin_runtime.tuning.peft_tuner import LayerTuner

from swift_core import SwiftError, hookimpl, option
from swift_core.contract.job import Job


@dataclass(kw_only=True, eq=False)
class AdaLora(LayerTuner):
    """Adapters P·Λ·Q whose ranks are shared out among layers while training goes on (arXiv 2303.10512)."""

    adalora_target_r: int = option(8, "Average rank at the end, the budget b⁽ᵀ⁾ per matrix.", ge=1, symbol="b⁽ᵀ⁾")
    adalora_init_r: int = option(
        12, "Rank of every matrix at the start, the budget b⁽⁰⁾ per matrix.", ge=1, symbol="b⁽⁰⁾"
    )
    lora_alpha: int = option(32, "α: the update is scaled by α/r.", ge=1, symbol="α")
    lora_dropout: float = option(0.0, "Dropout on the adapter's input.", ge=0, lt=1, symbol="")
    adalora_tinit: int = option(0, "tᵢ: steps before the first pruning.", ge=0, symbol="tᵢ")
    adalora_tfinal: int = option(0, "t_f: last steps, with the ranks as they then are.", ge=0, symbol="t_f")
    adalora_delta_t: int = option(
        1, "Δ_T: steps between two prunings.", ge=1, aliases=("adalora_deltaT",), symbol="Δ_T"
    )
    adalora_beta1: float = option(0.85, "β₁: smoothing of the sensitivity.", gt=0, lt=1, symbol="β₁")
    adalora_beta2: float = option(0.85, "β₂: smoothing of its uncertainty.", gt=0, lt=1, symbol="β₂")
    adalora_orth_reg_weight: float = option(
        0.5, "γ: weight of the penalty that keeps P and Q orthogonal.", gt=0, symbol="γ"
    )

    def peft_config(self, job: Job, model: Any) -> Any:
        import peft

        return peft.AdaLoraConfig(
            target_r=self.adalora_target_r,
            init_r=self.adalora_init_r,
            lora_alpha=self.lora_alpha,
            lora_dropout=self.lora_dropout,
            tinit=self.adalora_tinit,
            tfinal=self.adalora_tfinal,
            deltaT=self.adalora_delta_t,
            beta1=self.adalora_beta1,
            beta2=self.adalora_beta2,
            orth_reg_weight=self.adalora_orth_reg_weight,
            total_step=UNKNOWN,
            **self.on_layers(job, model),
        )

    @hookimpl
    def before_step(self, model: Any, step: int, total: int) -> None:
        """The length of the run is known when it begins."""
        for name, config in model.peft_config.items():
            if config.total_step != total:
                if self.adalora_tinit + self.adalora_tfinal >= total:
                    raise SwiftError(
                        f"AdaLoRA prunes between --adalora_tinit {self.adalora_tinit} and --adalora_tfinal "
                        f"{self.adalora_tfinal} steps before the end; a run of {total} steps leaves none between."
                    )
                config.total_step = total
                if name == model.trainable_adapter_name:
                    model.rankallocator.set_total_step(total)

    @hookimpl
    def after_step(self, model: Any, step: int) -> None:
        """Measure how much each singular value matters, and prune to the budget of this step."""
        model.base_model.update_and_allocate(step)

    @hookimpl
    def extra_loss(self, model: Any) -> Any:
        """γ·(‖PᵀP − I‖ + ‖Q·Qᵀ − I‖), averaged over matrices (equation 4)."""
        import torch

        terms = []
        for name, parameter in model.named_parameters():
            if parameter.requires_grad and (".lora_A." in name or ".lora_B." in name):
                square = parameter @ parameter.T if ".lora_A." in name else parameter.T @ parameter
                terms.append(torch.norm(square - torch.eye(len(square), device=square.device)))
        return self.adalora_orth_reg_weight * sum(terms) / len(terms)

    @hookimpl
    def save_tuner(self, job: Job, model: Any, folder: str, name: str) -> bool:
        """Every matrix at its first rank, the pruned values 0; beside it what the pruning goes by."""
        from safetensors.torch import save_file

        config = model.peft_config[name]
        pattern, config.rank_pattern = config.rank_pattern, None  # with it PEFT writes what it cannot read back
        adapters.save(model, folder, name, job.options.model)
        config.rank_pattern = pattern
        Path(folder, PATTERN).write_text(json.dumps(pattern), encoding="utf-8")
        allocator = model.base_model.rankallocator
        state = {f"{part}:{k}": v.detach().cpu() for part in PARTS for k, v in getattr(allocator, part).items()}
        save_file(state, Path(folder, SENSITIVITY))
        return True

    @hookimpl
    def load_tuner(self, job: Job, model: Any, folder: str, name: str, trainable: bool) -> Any:
        from safetensors.torch import load_file

        model = adapters.load(model, folder, name, trainable)
        if trainable and Path(folder, SENSITIVITY).is_file():
            model.peft_config[name].rank_pattern = json.loads(Path(folder, PATTERN).read_text(encoding="utf-8"))
            state = {k: v.to(model.device) for k, v in load_file(Path(folder, SENSITIVITY)).items()}
            for part in PARTS:
                setattr(model.base_model.rankallocator, part, adapters.below(state, f"{part}:"))
        return model


PATTERN, SENSITIVITY = "adalora.json", "adalora.safetensors"
PARTS = ("ipt", "exp_avg_ipt", "exp_avg_unc")
"""Sensitivity of each value, its moving average, and the average of its deviation (section 3.2)."""

UNKNOWN = 10**9
"""Steps of a run that has not begun."""
