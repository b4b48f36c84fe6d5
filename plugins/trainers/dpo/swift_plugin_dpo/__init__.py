"""Direct preference optimisation (Rafailov et al., arXiv 2305.18290) and the losses that grew from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from swift_plugin_runtime.options import TrainingOptions

from swift_core import SwiftError, Unsupported, hookimpl, option
from swift_core.contract.job import Job

Loss = Literal[
    "sigmoid",
    "hinge",
    "ipo",
    "robust",
    "exo_pair",
    "nca_pair",
    "bco_pair",
    "sppo_hard",
    "aot",
    "aot_unpaired",
    "apo_zero",
    "apo_down",
    "discopop",
    "sigmoid_norm",
    "sft",
]


@dataclass(kw_only=True, eq=False)
class Dpo(TrainingOptions):
    """Direct preference optimisation (arXiv 2305.18290): learns from pairs of a better and a worse answer."""

    swift_api = 1
    ignores = ("label",)
    capabilities = {
        "packing": Unsupported("a pair is compared as two separate rows."),
    }

    loss_type: list[Loss] = option(
        ["sigmoid"], "Loss over a pair; several are added up with --loss_weights (MPO, arXiv 2411.10442)."
    )
    loss_weights: list[float] = option([], "Weight of each loss; left out: 1 each.")
    beta: float = option(0.1, "β: how strongly the policy is held to the reference (τ in IPO).", gt=0)
    label_smoothing: float = option(0.0, "ε: share of pairs whose labels are taken to be flipped.", ge=0, lt=0.5)
    rpo_alpha: float = option(
        0.0,
        "α: weight of the chosen answer's loss per token, added to the pair's (RPO, arXiv 2404.19733).",
        ge=0,
        aliases=("sft_weight", "sft_alpha"),
    )
    discopop_tau: float = option(0.05, "Temperature of DiscoPOP's blend (arXiv 2406.08414).", gt=0)
    reference_free: bool = option(False, "Take a reference that finds every answer equally likely.")

    @hookimpl
    def build_trainer(self, job: Job, model: Any, processor: Any, rows: Any, eval_rows: Any) -> Any:
        from swift_plugin_runtime.alignment.preference import build_pair_trainer

        self.weighted_losses()
        return build_pair_trainer(job, model, processor, rows, eval_rows, method=self)

    @property
    def needs_reference(self) -> bool:  # type: ignore[override]  # it depends on the options
        """Whether the reference model is asked for its likelihoods."""
        return not self.reference_free

    def weighted_losses(self) -> list[tuple[str, float]]:
        """(loss, weight) pairs; SwiftError where their numbers differ or a loss lacks its ε."""
        weights = self.loss_weights or [1.0] * len(self.loss_type)
        if len(weights) != len(self.loss_type):
            raise SwiftError(f"--loss_weights has {len(weights)} values for {len(self.loss_type)} of --loss_type.")
        if "exo_pair" in self.loss_type and not self.label_smoothing:
            raise SwiftError("--loss_type exo_pair needs --label_smoothing above 0, say 0.001.")
        extra = [("sft", self.rpo_alpha)] * (self.rpo_alpha > 0)
        return [*zip(self.loss_type, weights, strict=True), *extra]

    def pair_losses(self, chosen: Any, rejected: Any) -> Any:
        """The weighted sum of the wanted losses, shape [pairs]."""
        from swift_plugin_dpo.losses import LOSSES

        return sum(weight * LOSSES[name](chosen, rejected, self) for name, weight in self.weighted_losses())

    def reward(self, answers: Any) -> Any:
        """β · log π/π_ref, the reward that the policy implies."""
        return self.beta * answers.ratio
