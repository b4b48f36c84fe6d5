"""AdamW of bitsandbytes with moments in 8 bits (Dettmers et al., arXiv 2110.02861), paged to the CPU where asked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from swift_core import SwiftError, Unsupported, hookimpl, option
from swift_core.contract.components import Optimizer
from swift_core.contract.job import Job


@dataclass(kw_only=True, eq=False)
class Adam8bit(Optimizer):
    """AdamW whose moments take 8 bits an entry (arXiv 2110.02861); paged, they move to the CPU under pressure."""

    swift_api = 1
    capabilities = {"fsdp": Unsupported("its quantized state cannot be split among processes.")}

    adam8bit_paged: bool = option(False, "Keep moments in pages that CUDA moves to the CPU when memory is short.")
    adam8bit_min_size: int = option(4096, "Parameters with fewer entries keep moments of 32 bits.", ge=0, symbol="")

    @hookimpl
    def create_optimizer(self, job: Job, model: Any) -> Any:
        import bitsandbytes as bnb
        from swift_plugin_runtime.optimizing import layerwise

        if self.adam8bit_paged and next(model.parameters()).device.type != "cuda":
            raise SwiftError("Pages are CUDA's: --adam8bit_paged needs a GPU; leave it out here.")
        kind = bnb.optim.PagedAdamW8bit if self.adam8bit_paged else bnb.optim.AdamW8bit
        groups = [{k: v for k, v in g.items() if k != "matrix"} for g in layerwise.groups(job, model)]
        return kind(groups, min_8bit_size=self.adam8bit_min_size, **layerwise.adam_settings(job))
