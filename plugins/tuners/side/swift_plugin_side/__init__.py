"""Side-tuning: a small network beside the frozen one, blended with it (Zhang et al., arXiv 1912.13503)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from swift_plugin_runtime.loading.layers import decoder_layers, width_of
from swift_plugin_runtime.tuning.adapter_modules import AddedTuner

from swift_core import option
from swift_core.contract.job import Job


@dataclass(kw_only=True, eq=False)
class Side(AddedTuner):
    """α·B(x) + (1 − α)·S(x): the frozen model B blended with a small trained network S (arXiv 1912.13503)."""

    tag = "side"

    side_size: int = option(256, "Width of the side network's layers.", ge=1, symbol="")
    side_layers: int = option(2, "Depth of the side network.", ge=1, symbol="")

    def places(self, job: Job, model: Any) -> dict[str, Any]:
        from swift_plugin_side.modules import SideNetwork, listen

        path, blocks = decoder_layers(job, model)
        side = SideNetwork(width_of(model, blocks), self.side_size, self.side_layers, blocks[-1])
        listen(blocks[0], side)
        return {f"{path}.{len(blocks) - 1}": side}
