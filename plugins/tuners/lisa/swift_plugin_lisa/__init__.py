"""LISA: embeddings and head train always, of the layers a few drawn at random (Pan et al., arXiv 2403.17919)."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

from swift_plugin_runtime.loading.layers import decoder_layers
from swift_plugin_runtime.tuning.adapters import train_unfrozen

from swift_core import Supported, SwiftError, Unsupported, hookimpl, option
from swift_core.contract.components import Tuner
from swift_core.contract.job import Job


@dataclass(kw_only=True, eq=False)
class Lisa(Tuner):
    """Every K steps γ layers are drawn; only they, the embeddings and the head train (LISA, arXiv 2403.17919)."""

    swift_api = 1
    trains_whole_weights = True
    capabilities = {
        "quantizer": Unsupported("quantized weights have no gradient; train an adapter on them: --tuner lora."),
        "tuner": Unsupported("it freezes and thaws whole layers as it goes, and other tuners' with them."),
        "neftune": Supported("noise on the embeddings changes no weight."),
        "deepspeed": Unsupported("ZeRO keeps its own list of what trains, made once."),
        "fsdp": Unsupported("a layer that thaws later has no place in the optimizer's shards."),
    }

    lisa_activated_layers: int = option(2, "γ: layers that train at a time.", ge=1, symbol="γ")
    lisa_step_interval: int = option(20, "K: optimizer steps until layers are drawn again.", ge=1, symbol="K")

    @hookimpl
    def attach_tuner(self, job: Job, model: Any) -> Any:
        """All weights train until the first step, so that the optimizer knows them all."""
        train_unfrozen(job, model)
        count = len(decoder_layers(job, model)[1])
        if self.lisa_activated_layers > count:
            raise SwiftError(f"--lisa_activated_layers {self.lisa_activated_layers}: the model has {count} layers.")
        return model

    @hookimpl
    def before_step(self, job: Job, model: Any, optimizer: Any, step: int) -> None:
        """The layers of this period train; what is frozen keeps neither gradient nor moments."""
        layers = decoder_layers(job, model)[1]
        chosen = self.drawn(len(layers), step // self.lisa_step_interval, job.options.seed)
        for number, layer in enumerate(layers):
            for parameter in layer.parameters():
                parameter.requires_grad_(number in chosen)
                if number not in chosen:
                    parameter.grad = None
                    optimizer.state.pop(parameter, None)

    def drawn(self, count: int, period: int, seed: int) -> list[int]:
        """γ of `count` layers, each set as likely as any other; the same after resuming."""
        return random.Random(f"{seed}:{period}").sample(range(count), self.lisa_activated_layers)
