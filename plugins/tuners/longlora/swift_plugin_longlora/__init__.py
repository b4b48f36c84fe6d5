"""LongLoRA: shifted sparse attention in training, with LoRA, embeddings and norms (Chen et al., arXiv 2309.12307)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from swift_plugin_runtime.loading.layers import decoder_layers
from swift_plugin_runtime.tuning import adapters
from swift_plugin_runtime.tuning.peft_tuner import LowRankTuner

from swift_core import Unsupported, hookimpl, option
from swift_core.contract.job import Job


@dataclass(kw_only=True, eq=False)
class LongLora(LowRankTuner):
    """LoRA for long rows: attention within groups in training, half of the heads shifted (arXiv 2309.12307)."""

    capabilities = {
        "packing": Unsupported("its groups would cut across the rows of a pack."),
        "padding_free": Unsupported("its groups would cut across the rows of a flat batch."),
    }

    longlora_group_ratio: float = option(
        0.25, "Size of a group G as a share of the row's length.", gt=0, le=1, symbol="G"
    )
    longlora_train_embeddings: bool = option(True, "Train embeddings as well (LoRA⁺ of section 3.3).")
    longlora_train_norms: bool = option(True, "Train normalisation weights as well (LoRA⁺ of section 3.3).")

    @hookimpl
    def attach_tuner(self, job: Job, model: Any, name: str) -> Any:
        from swift_plugin_longlora.attention import use_groups

        use_groups(model, self.longlora_group_ratio)
        return adapters.attach(model, self.peft_config(job, model), name)

    @hookimpl
    def load_tuner(self, job: Job, model: Any, folder: str, name: str, trainable: bool) -> Any:
        """Attention in groups is for training; what is trained answers with the whole row in view."""
        from swift_plugin_longlora.attention import use_groups

        if trainable:
            use_groups(model, self.longlora_group_ratio)
        return adapters.load(model, folder, name, trainable)

    @hookimpl
    def merge_tuner(self, job: Job, model: Any) -> Any:
        from swift_plugin_longlora.attention import use_whole_rows

        return use_whole_rows(adapters.merge(model, job.options.seed))

    def on_layers(self, job: Job, model: Any) -> dict[str, Any]:
        """Beside the adapted layers, embeddings and norms are trained whole, where no earlier tuner does so."""
        wanted = super().on_layers(job, model)
        whole = list(wanted["modules_to_save"] or [])
        if self.longlora_train_embeddings:
            embeddings = model.get_input_embeddings()
            whole += [name for name, module in adapters.untrained_modules(model) if module is embeddings]
        if self.longlora_train_norms:
            path = decoder_layers(job, model)[0].rpartition(".")[0]
            whole += [name for name in adapters.untrained_norms(model) if name.startswith(path)]
        return {**wanted, "modules_to_save": whole}
