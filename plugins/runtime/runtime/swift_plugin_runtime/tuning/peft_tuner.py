"""What every tuner built on PEFT inherits: hooks that add, load, save, merge and switch one adapter.

A tuner is then its options and one method, `peft_config`. Modules that import this one stay light: torch and
PEFT are imported by the functions that use them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from swift_core import SwiftError, Unsupported, hookimpl, option
from swift_core.contract import tuning
from swift_core.contract.components import Tuner
from swift_core.contract.job import Job
from swift_core.job.options import describe_options
from swift_plugin_runtime.loading import new_tokens
from swift_plugin_runtime.tuning import adapters
from swift_plugin_runtime.tuning.aside import is_plain, set_aside
from swift_plugin_runtime.tuning.offload import switch_adapter

TRAINING_FILE = "training.safetensors"
"""What a run that goes on needs beside the plain adapter: A and B as they train and as they began, or a network."""


@dataclass(kw_only=True, eq=False)
class PeftTuner(Tuner):
    """One adapter of PEFT. Subclasses give `peft_config`."""

    swift_api = 1

    def peft_config(self, job: Job, model: Any) -> Any:
        """The `peft.PeftConfig` of a new adapter."""
        raise NotImplementedError

    @hookimpl
    def attach_tuner(self, job: Job, model: Any, name: str) -> Any:
        return adapters.attach(model, self.peft_config(job, model), name)

    @hookimpl
    def load_tuner(self, job: Job, model: Any, folder: str, name: str, trainable: bool) -> Any:
        return adapters.load(model, folder, name, trainable)

    @hookimpl
    def set_tuners_aside(self, model: Any, folder: str) -> AbstractContextManager[Collection[str]] | None:
        import peft

        return set_aside(model) if is_plain(peft.PeftConfig.from_pretrained(folder)) else None

    @hookimpl
    def save_tuner(self, job: Job, model: Any, folder: str, name: str) -> bool:
        return adapters.save(model, folder, name, job.options.model)

    @hookimpl
    def merge_tuner(self, job: Job, model: Any) -> Any:
        return adapters.merge(model, job.options.seed)

    @hookimpl
    def switch_tuner(self, model: Any, name: str, active: bool, offload: str) -> bool:
        return switch_adapter(model, name, active, offload)


@dataclass(kw_only=True, eq=False)
class LayerTuner(PeftTuner):
    """An adapter on chosen layers of the model."""

    target_modules: list[str] = option(
        ["all-linear"], "Layers to adapt: names, one regex, or all-linear (or all).", aliases=("lora_target_modules",)
    )
    modules_to_save: list[str] = option([], "Modules trained whole and saved beside the adapter.")

    def __post_init__(self) -> None:
        if [word.lower().replace("_", "-") for word in self.target_modules] in (["all"], ["all-linear"]):
            self.target_modules = ["all-linear"]  # as LLaMA-Factory and older ms-swift write it
        if "all-linear" in self.target_modules[1:] or not all(self.target_modules):
            raise SwiftError("--target_modules takes names of modules, or all-linear alone.")

    def on_layers(self, job: Job, model: Any) -> dict[str, Any]:
        """The arguments of a `PeftConfig` that say where the adapter goes."""
        (target,) = (i for i in describe_options(type(self)) if i.name == "target_modules")
        usual = target.default == self.target_modules
        adapters.check_saved(model, self.modules_to_save)
        return {
            "target_modules": adapters.linear_targets(job, model, self.target_modules, some=usual),
            "modules_to_save": adapters.whole_modules(job, model, self.modules_to_save),
            "task_type": "CAUSAL_LM",
        }


class VirtualTokens(Tuner):
    """What tuners that put trained vectors before a row share: one row of text a sequence, and nothing to merge."""

    capabilities = {
        "packing": Unsupported("its virtual tokens stand before the first row of a pack alone."),
        "padding_free": Unsupported("its virtual tokens stand before the first row of a flat batch alone."),
        "tuner": Unsupported("PEFT runs virtual tokens outside the model, where no second tuner fits."),
    }

    @hookimpl
    def attach_tuner(self, job: Job, model: Any, name: str) -> Any:
        return for_text_alone(adapters.attach(model, self.peft_config(job, model), name))  # type: ignore[attr-defined]

    @hookimpl
    def save_tuner(self, job: Job, model: Any, folder: str, name: str) -> bool:
        """PEFT's adapter holds the vectors; a run that goes on needs the network that makes them, too."""
        from safetensors.torch import save_file

        adapters.save(model, folder, name, job.options.model)
        state = {k: v.detach().cpu().contiguous().clone() for k, v in model.prompt_encoder[name].state_dict().items()}
        save_file(state, Path(folder, TRAINING_FILE), metadata={"format": "pt"})
        return True

    @hookimpl
    def load_tuner(self, job: Job, model: Any, folder: str, name: str, trainable: bool) -> Any:
        from safetensors.torch import load_file

        model = for_text_alone(adapters.load(model, folder, name, trainable))
        if trainable and Path(folder, TRAINING_FILE).is_file():
            model.prompt_encoder[name].load_state_dict(load_file(Path(folder, TRAINING_FILE)))
        return model

    @hookimpl
    def merge_tuner(self, job: Job, model: Any) -> Any:
        raise SwiftError("Virtual tokens are inputs, not weights: there is nothing to merge. Serve the adapter.")

    @hookimpl
    def switch_tuner(self, model: Any, name: str, active: bool, offload: str) -> bool:
        raise SwiftError("Virtual tokens cannot be left out by name; load the model without the adapter.")


def for_text_alone(model: Any) -> Any:
    """The model, refusing media: PEFT hides a row's ids behind vectors, and pictures' positions are counted on ids.

    Its forward pass raises SwiftError for a batch with media.
    """
    from swift_plugin_runtime.encoding.media_check import media_in

    def check(_: Any, __: Any, inputs: dict[str, Any]) -> None:
        if media_in(inputs):
            raise SwiftError("Virtual tokens go before rows of text, and this one has media: say --tuner lora.")

    model.register_forward_pre_hook(check, with_kwargs=True)
    return model


@dataclass(kw_only=True, eq=False)
class LowRankTuner(LayerTuner):
    """LoRA and its relatives: W + s·B·A with s = α/r (Hu et al., arXiv 2106.09685)."""

    lora_rank: int = option(8, "Rank r of the update B·A.", ge=1, aliases=("r",), symbol="r")
    lora_alpha: int = option(32, "α: the update is scaled by α/r.", ge=1, symbol="α")
    lora_dropout: float = option(0.0, "Dropout on the adapter's input.", ge=0, lt=1, symbol="")
    lora_bias: str = option("none", "Which biases train: none, all or lora_only.", pattern="none|all|lora_only")

    def variant(self) -> dict[str, Any]:
        """The arguments of `peft.LoraConfig` by which a relative differs from LoRA."""
        return {}

    def peft_config(self, job: Job, model: Any) -> Any:
        import peft

        return peft.LoraConfig(
            r=self.lora_rank,
            lora_alpha=self.lora_alpha,
            lora_dropout=self.lora_dropout,
            bias=self.lora_bias,
            trainable_token_indices=new_tokens.rows_to_train(model),
            **self.on_layers(job, model),
            **self.variant(),
        )


@dataclass(kw_only=True, eq=False)
class RewritingTuner(LowRankTuner):
    """A relative of LoRA whose start B₀·A₀ is not zero: it is taken out of the frozen weights.

    Other programs know only W + s·B·A. So what is saved is W's own adapter, B·A − B₀·A₀ at rank 2r, which
    every one of them can load; training goes on from A, B, A₀ and B₀, which lie beside it.
    """

    capabilities = {
        "quantizer": Unsupported("it takes its start out of the frozen weights, and those are quantized."),
    }

    @hookimpl
    def attach_tuner(self, job: Job, model: Any, name: str) -> Any:
        return self.remember_start(adapters.attach(model, self.peft_config(job, model), name), name)

    def remember_start(self, model: Any, name: str) -> Any:
        """The model with A₀ and B₀ kept for saving."""
        tuning.notes(model, name)["start"] = {k: v.clone() for k, v in adapters.state(model, name).items()}
        return model

    @hookimpl
    def save_tuner(self, job: Job, model: Any, folder: str, name: str) -> bool:
        from safetensors.torch import save_file

        now, start = adapters.state(model, name), tuning.notes(model, name)["start"]
        config = plain_config(model.peft_config[name])
        adapters.write(folder, from_original(now, start), config, job.options.model)
        both = {f"{part}:{k}": v for part, held in (("now", now), ("start", start)) for k, v in held.items()}
        save_file(both, Path(folder, TRAINING_FILE), metadata={"format": "pt"})
        return True

    @hookimpl
    def load_tuner(self, job: Job, model: Any, folder: str, name: str, trainable: bool) -> Any:
        file = Path(folder, TRAINING_FILE)
        if not (trainable and file.is_file()):
            return adapters.load(model, folder, name, trainable)
        return self.go_on(job, model, file, name)

    def go_on(self, job: Job, model: Any, file: Path, name: str) -> Any:
        """The model as it trained: the start taken out of its weights, A and B as they were."""
        import peft
        from safetensors.torch import load_file

        both = load_file(file)
        parts = {part: adapters.below(both, f"{part}:") for part in ("now", "start")}
        config = self.peft_config(job, model)
        config.init_lora_weights = True
        model = adapters.attach(model, config, name)
        peft.set_peft_model_state_dict(model, parts["start"], adapter_name=name)
        adapters.take_out(model, name)
        peft.set_peft_model_state_dict(model, parts["now"], adapter_name=name)
        tuning.notes(model, name)["start"] = parts["start"]
        return model


def from_original(now: dict[str, Any], start: dict[str, Any]) -> dict[str, Any]:
    """B·A − B₀·A₀ as one adapter: A and A₀ stacked, B beside −B₀."""
    import torch

    made = dict(now)
    for key, value in now.items():
        if ".lora_A." in key:
            made[key] = torch.cat([value, start[key]], dim=0)
        elif ".lora_B." in key:
            made[key] = torch.cat([value, -start[key]], dim=1)
    return made


def plain_config(config: Any) -> Any:
    """The config of the adapter at twice the rank with the same scale s, to be loaded onto the original weights."""
    scale = config.lora_alpha / (config.r**0.5 if config.use_rslora else config.r)
    changes = {"r": 2 * config.r, "lora_alpha": 2 * config.r * scale, "use_rslora": False, "init_lora_weights": True}
    plain = dataclasses.replace(config, **changes)
    for name in ("lora_ga_config", "eva_config", "corda_config"):
        setattr(plain, name, None)
    return plain
