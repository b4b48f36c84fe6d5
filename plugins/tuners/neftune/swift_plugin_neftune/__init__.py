"""NEFTune: uniform noise on the input embeddings while training (Jain et al., arXiv 2310.05914)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from swift_plugin_runtime.tuning.adapter_modules import AddedTuner
from swift_plugin_runtime.tuning.adapters import train_unfrozen

from swift_core import Unsupported, hookimpl, option
from swift_core.contract.job import Job


@dataclass(kw_only=True, eq=False)
class Neftune(AddedTuner):
    """Noise of size α/√(L·d) on the embeddings of L tokens in training; beside another tuner, or all weights train."""

    tag = "neftune"
    capabilities = {
        "packing": Unsupported("its noise shrinks with the length of a row, and a pack is longer."),
        "padding_free": Unsupported("its noise shrinks with the length of a row, and a flat batch is longer."),
    }
    trains_whole_weights = True  # alone; beside an adapter, say --learning_rate
    trains_nothing = True  # beside another tuner

    neftune_noise_alpha: float = option(5.0, "α: size of the noise; the paper tries 5, 10 and 15.", gt=0, symbol="α")

    def places(self, job: Job, model: Any) -> dict[str, Any]:
        from swift_plugin_neftune.modules import Noise

        embeddings = model.get_input_embeddings()
        path = next(name for name, module in model.named_modules() if module is embeddings)
        return {path: Noise(self.neftune_noise_alpha)}

    @hookimpl
    def attach_tuner(self, job: Job, model: Any, name: str) -> Any:
        if alone(job):
            train_unfrozen(job, model)
        return self.add(job, model, name, trainable=True)

    @hookimpl
    def load_tuner(self, job: Job, model: Any, folder: str, name: str, trainable: bool) -> Any:
        """Nothing is saved: the noise goes on where training does."""
        if trainable:
            return self.attach_tuner(job, model, name)
        return self.add(job, model, name, trainable=True)

    @hookimpl
    def save_tuner(self, job: Job, model: Any, folder: str, name: str) -> bool | None:
        return None if alone(job) else True

    @hookimpl
    def merge_tuner(self, model: Any, name: str) -> Any:
        self.switch_tuner(model, name, active=False, offload="none")
        return model


def alone(job: Job) -> bool:
    """Whether no tuner of the job has parameters of its own, so that the whole model trains."""
    return all(isinstance(item.component, Neftune) for item in job.many("tuner"))
