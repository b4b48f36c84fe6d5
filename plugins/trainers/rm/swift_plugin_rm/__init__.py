"""Reward modelling (Ouyang et al., arXiv 2203.02155): a head that scores better answers above worse ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from swift_plugin_runtime.options import TrainingOptions

from swift_core import Unsupported, hookimpl, option
from swift_core.contract.job import Job


@dataclass(kw_only=True, eq=False)
class Rm(TrainingOptions):
    """Reward model (arXiv 2203.02155): a score per conversation, learnt from pairs of a better and a worse answer.

    Rows are those of DPO; a column `margin` says by how much the better score should be ahead (Llama 2).
    """

    swift_api = 1
    ignores = ("label",)
    task: ClassVar[str] = "reward"
    num_labels: ClassVar[int] = 1
    texts = 2
    capabilities = {
        "packing": Unsupported("each text is scored by itself, at its last token."),
        "sequence": Unsupported("one token of a text is read, which one process alone would hold."),
    }

    center_rewards_coefficient: float = option(
        0.0, "Weight of (r₁ + r₂)², which holds scores around zero (arXiv 2312.09244).", ge=0
    )

    @hookimpl
    def build_trainer(self, job: Job, model: Any, processor: Any, rows: Any, eval_rows: Any) -> Any:
        from swift_plugin_runtime.alignment.preference import pairs_in, sides_of
        from swift_plugin_runtime.encoding.row_filter import usable
        from swift_plugin_runtime.scoring.trainer import build_scoring_trainer

        train = usable(job, pairs_in(job, rows), margin_fault, "a margin")
        held = usable(job, pairs_in(job, eval_rows), margin_fault, "a margin") if eval_rows else None
        return build_scoring_trainer(job, model, processor, train, held, self, lambda row: list(sides_of(row)))

    def items(self, batch: Any) -> int:
        """Pairs in a batch."""
        return len(batch["sizes"])

    def losses(self, trainer: Any, model: Any, batch: Any) -> Any:
        """One loss per pair; notes the scores, their margin and how often the better answer wins."""
        import torch

        chosen, rejected = trainer.scores(model, batch).view(-1, 2).T
        margin = torch.tensor([float(row.extra.get("margin") or 0) for row in batch["rows"]], device=chosen.device)
        trainer.log_metric("rewards/chosen", chosen)
        trainer.log_metric("rewards/rejected", rejected)
        trainer.log_metric("rewards/margins", chosen - rejected)
        trainer.log_metric("rewards/accuracies", (chosen > rejected).float())
        return pair_losses(chosen, rejected, margin, self.center_rewards_coefficient)


def pair_losses(chosen: Any, rejected: Any, margin: Any, centre: float = 0.0) -> Any:
    """-log σ(r₁ - r₂ - margin) + centre·(r₁ + r₂)², shape [pairs]: Bradley-Terry's likelihood, eq. 1 of the paper."""
    from torch.nn.functional import logsigmoid

    return -logsigmoid(chosen - rejected - margin) + centre * (chosen + rejected) ** 2


def margin_fault(row: Any) -> str | None:
    """What is wrong with a row's `margin`."""
    from swift_core.data.values import number_of

    margin = row.extra.get("margin")
    if margin is None or number_of(margin) is not None:
        return None
    return f"margin must be a finite number, found {margin!r}."
