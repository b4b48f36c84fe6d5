"""NEFTune: uniform noise on the input embeddings while training (Jain et al., arXiv 2310.05914)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from swift_plugin_runtime.tuning.adapters import train_unfrozen

from swift_core import Unsupported, hookimpl, option
from swift_core.contract.job import Job


@dataclass(kw_only=True, eq=False)
class Neftune:
    """Noise of size α/√(L·d) on the embeddings of L tokens in training; beside another tuner, or all weights train."""

    swift_api = 1
    capabilities = {
        "packing": Unsupported("its noise shrinks with the length of a row, and a pack is longer."),
        "padding_free": Unsupported("its noise shrinks with the length of a row, and a flat batch is longer."),
    }
    trains_whole_weights = True  # alone; beside an adapter, say --learning_rate

    neftune_noise_alpha: float = option(5.0, "α: size of the noise; the paper tries 5, 10 and 15.", gt=0, symbol="α")

    @hookimpl
    def attach_tuner(self, job: Job, model: Any) -> Any:
        if len(job.many("tuner")) == 1:
            train_unfrozen(job, model)
        return self.load_tuner(model)

    @hookimpl
    def load_tuner(self, model: Any) -> Any:
        """Nothing is saved: the noise goes on where training does."""
        embeddings = model.get_input_embeddings()
        embeddings.neftune_alpha = self.neftune_noise_alpha
        embeddings.neftune_hook = embeddings.register_forward_hook(add_noise)
        return model

    @hookimpl
    def save_tuner(self, job: Job) -> bool | None:
        return None if len(job.many("tuner")) == 1 else True

    @hookimpl
    def merge_tuner(self, model: Any) -> Any:
        model.get_input_embeddings().neftune_hook.remove()
        return model

    @hookimpl
    def switch_tuner(self, model: Any, active: bool) -> bool:
        model.get_input_embeddings().neftune_alpha = self.neftune_noise_alpha if active else 0.0
        return True


def add_noise(embeddings: Any, _: Any, output: Any) -> Any:
    """The hook: `output` [batch, L, d] plus noise drawn uniformly from ±α/√(L·d), in training alone."""
    import torch

    if not (embeddings.training and embeddings.neftune_alpha):
        return output
    size = embeddings.neftune_alpha / (output.shape[-2] * output.shape[-1]) ** 0.5
    return output + torch.zeros_like(output).uniform_(-size, size)
