"""BAdam: Adam on one block of layers at a time, its moments dropped with the block (Luo et al., arXiv 2404.02827)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from swift_plugin_runtime.options import training_options

from swift_core import SwiftError, Unsupported, hookimpl, option
from swift_core.contract.components import Optimizer
from swift_core.contract.job import Job


@dataclass(kw_only=True, eq=False)
class BAdam(Optimizer):
    """Every K steps another decoder block trains, and only it holds gradients and moments (BAdam)."""

    swift_api = 1
    capabilities = {
        "fsdp": Unsupported("a block that thaws later has no place in the optimizer's shards."),
        "deepspeed": Unsupported("ZeRO keeps its own list of what trains, made once."),
    }

    badam_switch_interval: int = option(100, "K: steps until the next block.", ge=1, symbol="K")
    badam_order: Literal["random", "ascending", "descending"] = option("random", "Order of the blocks in a round.")
    badam_train_rest: bool = option(
        False, "Embeddings, last norm and head are a block of their own, the last of a round."
    )

    @hookimpl
    def create_optimizer(self, job: Job, model: Any) -> Any:
        from swift_plugin_runtime.loading.layers import decoder_layers
        from swift_plugin_runtime.optimizing import layerwise

        from swift_plugin_badam.optimizer import BlockAdamW

        blocks = [[p for p in block.parameters() if p.requires_grad] for block in decoder_layers(job, model)[1]]
        if not all(blocks):
            raise SwiftError("BAdam trains whole decoder blocks in turn, and here some are frozen: say --tuner full.")
        inside = {id(p) for block in blocks for p in block}
        rest = [p for p in model.parameters() if p.requires_grad and id(p) not in inside]
        if self.badam_train_rest:
            blocks.append(rest)
        else:
            for parameter in rest:
                parameter.requires_grad_(False)
        settings = layerwise.adam_settings(job)
        decay = training_options(job).weight_decay
        return BlockAdamW(
            blocks,
            self.badam_switch_interval,
            self.badam_order,
            job.options.seed,
            decay,
            settings,
        )
