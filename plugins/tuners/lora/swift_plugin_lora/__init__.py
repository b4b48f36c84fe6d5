"""LoRA: W + (α/r)·B·A on frozen weights (Hu et al., arXiv 2106.09685), with its close relatives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from swift_plugin_runtime import adapters

from swift_core import hookimpl, option


@dataclass(kw_only=True, eq=False)
class Lora:
    """Low-rank adapters (arXiv 2106.09685); rsLoRA, DoRA and PiSSA by one flag each."""

    swift_api = 1

    lora_rank: int = option(8, "Rank r of the update B·A.", ge=1, aliases=("r",))
    lora_alpha: int = option(32, "α: the update is scaled by α/r.", ge=1)
    lora_dropout: float = option(0.0, "Dropout on the adapter's input.", ge=0, lt=1)
    target_modules: list[str] = option(
        ["all-linear"], "Layers to adapt: names, one regex, or all-linear.", aliases=("lora_target_modules",)
    )
    modules_to_save: list[str] = option([], "Modules trained whole and saved beside the adapter.")
    lora_bias: str = option("none", "Which biases train: none, all or lora_only.", pattern="none|all|lora_only")
    use_rslora: bool = option(False, "Scale by α/√r (rsLoRA, arXiv 2312.03732).")
    use_dora: bool = option(False, "Train magnitude and direction apart (DoRA, arXiv 2402.09353).")
    init_weights: str = option(
        "true", "How A and B start: true, gaussian, pissa, pissa_niter_N, olora …", aliases=("init_lora_weights",)
    )

    @hookimpl
    def attach_tuner(self, job: Any, model: Any, name: str) -> Any:
        import peft

        config = peft.LoraConfig(
            r=self.lora_rank,
            lora_alpha=self.lora_alpha,
            lora_dropout=self.lora_dropout,
            target_modules=adapters.linear_targets(job, model, self.target_modules),
            modules_to_save=self.modules_to_save or None,
            bias=self.lora_bias,
            use_rslora=self.use_rslora,
            use_dora=self.use_dora,
            init_lora_weights={"true": True, "false": False}.get(self.init_weights, self.init_weights),
            task_type="CAUSAL_LM",
        )
        return adapters.attach(model, config, name)

    @hookimpl
    def load_tuner(self, model: Any, folder: str, name: str, trainable: bool) -> Any:
        return adapters.load(model, folder, name, trainable)

    @hookimpl
    def save_tuner(self, job: Any, model: Any, folder: str, name: str) -> bool:
        return adapters.save(model, folder, name, job.options.model)

    @hookimpl
    def merge_tuner(self, model: Any, name: str) -> Any:
        return adapters.merge(model, name)
