"""Unsloth: models with hand-written kernels and LoRA on them (Han & Han, github.com/unslothai/unsloth).

Its code is written for one NVIDIA GPU, and its pins exclude the transformers that the rest uses, so it has an
environment of its own: `pip install 'swift-plugin-unsloth[unsloth]' swift-plugin-essentials`. It was not run on a
GPU yet; its arguments are those of unsloth 2026.10.7.
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from typing import Any

from swift_plugin_runtime.transformers_loader import Transformers
from swift_plugin_runtime.tuning import adapters
from swift_plugin_runtime.tuning.peft_tuner import LowRankTuner

from swift_core import SwiftError, Unsupported, hookimpl, option
from swift_core.contract.job import Job

WHERE = "pip install 'swift-plugin-unsloth[unsloth]' swift-plugin-essentials, in an environment of its own"
ROWS = "its attention was never tried on rows laid end to end."


@dataclass(kw_only=True, eq=False)
class UnslothLoader(Transformers):
    """Loads language models through Unsloth's kernels, for --tuner unsloth. CUDA only; not run here."""

    capabilities = {
        "launcher": Unsupported("Unsloth is written for one GPU."),
        "fsdp": Unsupported("Unsloth is written for one GPU."),
        "deepspeed": Unsupported("Unsloth is written for one GPU."),
    }

    unsloth_checkpointing: bool = option(True, "Recompute activations, kept on the CPU in between.")

    @hookimpl
    def resolve_checkpoint(self, job: Job, model: str, revision: str | None) -> str:
        """The first thing that a job asks: refused before anything is downloaded."""
        check_unsloth(job)
        return super().resolve_checkpoint(job, model, revision)

    @hookimpl
    def load_model(self, job: Job, path: str, config: Any, quantization: Any) -> Any:
        from unsloth import FastLanguageModel

        model, _ = FastLanguageModel.from_pretrained(
            model_name=path,
            max_seq_length=job.options.max_length or 2048,
            dtype=None if job.options.torch_dtype == "auto" else _dtype(job.options.torch_dtype),
            trust_remote_code=job.options.trust_remote_code,
            use_gradient_checkpointing="unsloth" if self.unsloth_checkpointing else False,
            use_exact_model_name=True,
            random_state=job.options.seed,
            **bits_of(quantization),
        )
        return model


@dataclass(kw_only=True, eq=False)
class Unsloth(LowRankTuner):
    """LoRA (arXiv 2106.09685) with Unsloth's fused forward and backward passes. CUDA only; not run here."""

    capabilities = {
        "packing": Unsupported(ROWS),
        "padding_free": Unsupported(ROWS),
        "tuner": Unsupported("Unsloth wraps the whole model for its own adapter."),
        "launcher": Unsupported("Unsloth is written for one GPU."),
    }

    use_rslora: bool = option(False, "Scale by α/√r (rsLoRA, arXiv 2312.03732).")

    @hookimpl
    def attach_tuner(self, job: Job, model: Any, name: str) -> Any:
        check_unsloth(job)
        from unsloth import FastLanguageModel

        targets = {} if self.target_modules == ["all-linear"] else {"target_modules": self.target_modules}
        return FastLanguageModel.get_peft_model(
            model,
            r=self.lora_rank,
            lora_alpha=self.lora_alpha,
            lora_dropout=self.lora_dropout,
            bias=self.lora_bias,
            modules_to_save=self.modules_to_save or None,
            use_rslora=self.use_rslora,
            random_state=job.options.seed,
            **targets,
        )

    @hookimpl
    def load_tuner(self, job: Job, model: Any, folder: str, name: str, trainable: bool) -> Any:
        """To go on training: a fresh adapter of Unsloth's with the saved weights in it."""
        if not trainable:
            return adapters.load(model, folder, name, trainable)
        import peft
        from safetensors.torch import load_file

        model = self.attach_tuner(job, model, name)
        peft.set_peft_model_state_dict(model, load_file(f"{folder}/{adapters.WEIGHTS}"), adapter_name=name)
        return model


def bits_of(quantization: Any) -> dict[str, bool]:
    """Unsloth's arguments for a bitsandbytes config; SwiftError for another quantizer's."""
    four, eight = (bool(getattr(quantization, f"load_in_{bits}bit", False)) for bits in (4, 8))
    if quantization is not None and not (four or eight):
        raise SwiftError("Unsloth trains on bitsandbytes' 4 or 8 bits alone: say --quantizer bnb, or leave it out.")
    return {"load_in_4bit": four, "load_in_8bit": eight}


def check_unsloth(job: Job) -> None:
    """SwiftError, before anything is loaded, where Unsloth cannot run or did not load the model."""
    import torch

    if job.options.device == "cpu" or not torch.cuda.is_available():
        raise SwiftError("Unsloth's kernels run on NVIDIA GPUs alone; elsewhere say --tuner lora alone.")
    if not importlib.util.find_spec("unsloth"):
        raise SwiftError(f"Unsloth is not installed here: {WHERE}.")
    if job.many("loader")[0].entry.name != "unsloth":
        raise SwiftError("--tuner unsloth changes models that Unsloth has loaded: say --loader unsloth as well.")


def _dtype(name: str) -> Any:
    import torch

    return getattr(torch, name)
