"""SCEdit: the skip connections of a network are edited by small modules (Jiang et al., arXiv 2312.11392)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from swift_plugin_runtime.loading.layers import width_of
from swift_plugin_runtime.tuning.adapter_modules import AddedTuner, hosts, whole_block

from swift_core import option
from swift_core.contract.job import Job


@dataclass(kw_only=True, eq=False)
class ScEdit(AddedTuner):
    """SC-Tuners x ↦ x + T(x) on skip connections: around each decoder block, or on those named (arXiv 2312.11392)."""

    tag = "scedit"

    scedit_size: int = option(64, "Width of the SC-Tuner T; the paper has a tenth of the model's.", ge=1, symbol="")
    scedit_modules: str | None = option(
        None,
        "Regex of modules whose outputs are skip connections (a U-Net's encoder); left out: the shortcut "
        "past each decoder block, whose start is the block's input.",
    )

    def places(self, job: Job, model: Any) -> dict[str, Any]:
        from swift_plugin_scedit.modules import ScTuner

        modules = hosts(job, model, self.scedit_modules, whole_block)
        on_output = self.scedit_modules is not None
        return {
            path: ScTuner(width_of(model, host), self.scedit_size, host, on_output) for path, host in modules.items()
        }
