"""Muon: matrices move along their orthogonalised momentum (Jordan et al., 2024; scale of arXiv 2502.16982)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from swift_core import Unsupported, hookimpl, option
from swift_core.contract.components import Optimizer
from swift_core.contract.job import Job


@dataclass(kw_only=True, eq=False)
class Muon(Optimizer):
    """Momentum made orthogonal by Newton-Schulz for hidden matrices; AdamW for embeddings, head and vectors."""

    swift_api = 1
    capabilities = {
        "fsdp": Unsupported("it needs whole matrices, and each process holds a part."),
        "deepspeed": Unsupported("it needs whole matrices, and ZeRO keeps flat parts of them."),
    }

    muon_momentum: float = option(0.95, "μ: momentum.", ge=0, lt=1, symbol="μ")
    muon_steps: int = option(5, "N: Newton-Schulz iterations.", ge=1, symbol="N")
    muon_scale: float = option(
        0.2, "Size of an update's entries against Adam's: 0.2·√max(m, n) (2502.16982).", gt=0, symbol=""
    )

    @hookimpl
    def create_optimizer(self, job: Job, model: Any) -> Any:
        from swift_plugin_runtime.optimizing import layerwise

        from swift_plugin_muon.optimizer import MuonWithAdamW

        settings = {"momentum": self.muon_momentum, "steps": self.muon_steps, "scale": self.muon_scale}
        wanted = layerwise.groups(job, model, layerwise.hidden_matrices(model), **settings)
        return MuonWithAdamW(wanted, **layerwise.adam_settings(job))
