"""FourierFT: a weight's change as the inverse Fourier transform of few frequencies (Gao et al., arXiv 2405.03003)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from swift_plugin_runtime.tuning.peft_tuner import LayerTuner

from swift_core import option
from swift_core.contract.job import Job


@dataclass(kw_only=True, eq=False)
class FourierFt(LayerTuner):
    """Trains n coefficients of the spectrum of each weight's change (FourierFT, arXiv 2405.03003)."""

    fourier_n_frequency: int = option(1000, "n: trained frequencies per matrix.", ge=1, symbol="n")
    fourier_scaling: float = option(
        150.0, "α: factor of the change; models of 7 B parameters like about 300.", gt=0, symbol="α"
    )
    fourier_seed: int = option(777, "Seed of the choice of frequencies, the same for all layers.", symbol="")
    fourier_start_at_zero: bool = option(
        True, "Coefficients start at 0, so that training starts from the base model; false: normal, as in the paper."
    )

    def peft_config(self, job: Job, model: Any) -> Any:
        import peft

        return peft.FourierFTConfig(
            n_frequency=self.fourier_n_frequency,
            scaling=self.fourier_scaling,
            random_loc_seed=self.fourier_seed,
            init_weights=self.fourier_start_at_zero,
            **self.on_layers(job, model),
        )
