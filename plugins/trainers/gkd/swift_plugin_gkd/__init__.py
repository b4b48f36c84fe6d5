"""Generalised knowledge distillation (Agarwal et al., arXiv 2306.13649): learn a teacher's distribution over tokens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from swift_plugin_runtime.options import TrainingOptions

from swift_core import SwiftError, Unsupported, hookimpl, option
from swift_core.contract.job import Job


@dataclass(kw_only=True, eq=False)
class Gkd(TrainingOptions):
    """Generalised knowledge distillation (arXiv 2306.13649): a teacher's distributions, on given or own answers."""

    swift_api = 1
    ignores = ("rejected", "label")
    capabilities = {
        "packing": Unsupported("answers that the student draws cannot be packed beforehand."),
        "fsdp": Unsupported(
            "a process draws answers by as many calls of the model as they are long, and each call of a split model "
            "waits for all processes."
        ),
        "sequence": Unsupported("the teacher's and the student's distributions are compared on whole rows."),
    }

    teacher_model: str | None = option(None, "Hub id or local folder of the teacher; its tokens must be the student's.")
    beta: float = option(
        0.5, "β of the Jensen-Shannon divergence: 0 is KL(teacher ‖ student), 1 KL(student ‖ teacher).", ge=0, le=1
    )
    lmbda: float = option(
        0.5, "λ: share of the batches whose answers the student draws itself; 1: no answers needed.", ge=0, le=1,
        aliases=("lambda",),
    )  # fmt: skip
    distill_temperature: float = option(1.0, "Both sides' logits are divided by it before they are compared.", gt=0)
    temperature: float = option(0.9, "Softmax temperature of the student's own answers.", gt=0)
    top_p: float = option(1.0, "Nucleus of the student's own answers.", gt=0, le=1)
    top_k: int = option(0, "Only the k likeliest tokens in the student's own answers; 0: all.", ge=0)
    max_completion_length: int = option(512, "Longest answer that the student draws, in tokens.", ge=1)
    sft_alpha: float = option(0.0, "Weight of the given answers' own next-token loss, added.", ge=0)

    @property
    def needs_answer(self) -> bool:  # type: ignore[override]  # it depends on the options
        """Whether rows must bring answers."""
        return self.lmbda < 1

    @property
    def draws(self) -> bool:  # type: ignore[override]  # it depends on the options
        """Whether the student draws answers."""
        return self.lmbda > 0

    @hookimpl
    def build_trainer(self, job: Job, model: Any, processor: Any, rows: Any, eval_rows: Any) -> Any:
        from swift_plugin_gkd.trainer import build_distillation_trainer

        if not self.teacher_model:
            raise SwiftError("gkd learns from a teacher. Say --teacher_model with a hub id or a folder.")
        return build_distillation_trainer(job, model, processor, rows, eval_rows, self)
