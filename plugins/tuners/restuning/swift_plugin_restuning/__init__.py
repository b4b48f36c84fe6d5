"""Res-Tuning: a trained bypass beside the frozen model, no gradients through it (Jiang et al., arXiv 2310.19859)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from swift_plugin_runtime.loading.layers import decoder_layers, width_of
from swift_plugin_runtime.tuning.adapter_modules import AddedTuner

from swift_core import option
from swift_core.contract.job import Job


@dataclass(kw_only=True, eq=False)
class ResTuning(AddedTuner):
    """Res-Tuning-Bypass: horizontal and vertical tuners beside the blocks; no gradient enters the model itself."""

    tag = "restuning"

    restuning_size: int = option(64, "Width of each Res-Tuner's bottleneck.", ge=1, symbol="")

    def places(self, job: Job, model: Any) -> dict[str, Any]:
        from swift_plugin_restuning.modules import Bypass, listen

        path, blocks = decoder_layers(job, model)
        bypass = Bypass(width_of(model, blocks), self.restuning_size, len(blocks), blocks[-1])
        for number, block in enumerate(blocks):
            listen(block, number, bypass)
        return {f"{path}.{len(blocks) - 1}": bypass}
