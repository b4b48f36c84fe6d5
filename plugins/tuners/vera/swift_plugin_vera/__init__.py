"""VeRA: trained vectors d and b between random matrices shared by all layers (Kopiczko et al., arXiv 2310.11454)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from swift_plugin_runtime.tuning.peft_tuner import LayerTuner

from swift_core import option
from swift_core.contract.job import Job


@dataclass(kw_only=True, eq=False)
class Vera(LayerTuner):
    """Trains vectors d and b; A and B are random, frozen and the same for all layers (VeRA, arXiv 2310.11454)."""

    vera_rank: int = option(256, "r: rank of the shared random matrices.", ge=1, symbol="r")
    vera_d_initial: float = option(0.1, "Value with which d starts; b starts at 0.", symbol="d")
    vera_dropout: float = option(0.0, "Dropout on the adapter's input.", ge=0, lt=1, symbol="")
    vera_projection_seed: int = option(0, "Seed of A and B.", aliases=("vera_projection_prng_key",), symbol="")

    def peft_config(self, job: Job, model: Any) -> Any:
        import peft

        return peft.VeraConfig(
            r=self.vera_rank,
            d_initial=self.vera_d_initial,
            vera_dropout=self.vera_dropout,
            projection_prng_key=self.vera_projection_seed,
            save_projection=True,
            **self.on_layers(job, model),
        )
