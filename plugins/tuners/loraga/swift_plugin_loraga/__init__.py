"""LoRA-GA: LoRA that starts along the first gradient of the whole weights (Wang et al., arXiv 2407.05000)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from swift_plugin_runtime.tuning import adapters
from swift_plugin_runtime.tuning.peft_tuner import RewritingTuner

from swift_core import hookimpl, option
from swift_core.contract.job import Job


@dataclass(kw_only=True, eq=False)
class LoraGa(RewritingTuner):
    """LoRA whose A and B start as singular vectors of the gradient of W on some training rows (LoRA-GA)."""

    lora_ga_direction: Literal["ArBr", "A2rBr", "ArB2r", "random"] = option(
        "ArB2r", "Which singular vectors go to A and which to B (section 3.2: ArB2r)."
    )
    lora_ga_scale: Literal["stable", "weight_svd", "gd_scale", "unit"] = option(
        "stable", "How long they are; stable: by γ, so that the size of the output does not depend on r."
    )
    lora_ga_gamma: int = option(16, "γ of the stable scale (section 3.3).", ge=1, symbol="γ")
    lora_ga_rows: int = option(
        32, "Rows of --dataset, through the job's template, whose gradient is taken.", ge=1, symbol=""
    )

    def variant(self) -> dict[str, Any]:
        import peft

        settings = {"direction": self.lora_ga_direction, "scale": self.lora_ga_scale}
        made = peft.LoraGAConfig(**settings, stable_gamma=self.lora_ga_gamma)
        return {"init_lora_weights": "lora_ga", "lora_ga_config": made}

    @hookimpl
    def attach_tuner(self, job: Job, model: Any, name: str) -> Any:
        from peft.tuners.lora import loraga
        from swift_plugin_runtime.quantizing.calibration import draw_batches

        adapters.refuse_adapted(model, "loraga")
        config = self.peft_config(job, model)
        if config.target_modules == "all-linear":  # the estimate of the gradient asks for names
            head = model.get_output_embeddings()
            named = [n for n, module in model.named_modules() if adapters.is_linear(module) and module is not head]
            config.target_modules = set(named)
        batches = draw_batches(job, model, self.lora_ga_rows)

        def backward() -> None:
            for batch in batches:
                model(**batch, use_cache=False).loss.backward()

        training = model.training
        loraga.preprocess_loraga(model, config, backward)
        model = self.remember_start(adapters.attach(model.train(training), config, name), name)
        for module in model.modules():
            vars(module).pop("_peft_loraga_grad", None)
        return model
