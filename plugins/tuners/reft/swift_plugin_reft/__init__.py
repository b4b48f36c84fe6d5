"""ReFT: interventions on hidden states in a low-rank subspace, LoReFT (Wu et al., arXiv 2404.03592)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from swift_plugin_runtime.loading.layers import width_of
from swift_plugin_runtime.tuning.adapter_modules import AddedTuner, hosts, whole_block

from swift_core import SwiftError, option
from swift_core.contract.job import Job


@dataclass(kw_only=True, eq=False)
class Reft(AddedTuner):
    """LoReFT: h + Rᵀ(W·h + b − R·h) on what decoder blocks put out, R with orthonormal rows (arXiv 2404.03592)."""

    tag = "reft"

    reft_rank: int = option(4, "r: dimensions of the subspace.", ge=1, symbol="r")
    reft_layers: list[int] = option([], "Numbers of the blocks, from 0; left out: all.")
    reft_modules: str | None = option(None, "Regex of modules instead of blocks.")

    def places(self, job: Job, model: Any) -> dict[str, Any]:
        """Path → new module of each block. Raises SwiftError where --reft_layers names a block that is not there."""
        from swift_plugin_reft.modules import LoReft

        blocks = list(hosts(job, model, self.reft_modules, whole_block).items())
        wrong = [n for n in self.reft_layers if not -len(blocks) <= n < len(blocks)]
        if wrong:
            raise SwiftError(f"--reft_layers {wrong[0]}: the model has {len(blocks)} blocks, 0 to {len(blocks) - 1}.")
        chosen = [blocks[n] for n in self.reft_layers] or blocks
        return {path: LoReft(width_of(model, host), self.reft_rank, host) for path, host in chosen}
