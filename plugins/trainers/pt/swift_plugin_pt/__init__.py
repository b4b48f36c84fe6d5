"""Pre-training: next-token loss on whole texts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from swift_plugin_runtime.options import TrainingOptions

from swift_core import hookimpl
from swift_core.contract.job import Job


@dataclass(kw_only=True, eq=False)
class Pretrain(TrainingOptions):
    """Pre-training: next-token loss on whole texts."""

    swift_api = 1
    ignores = ("rejected", "label")
    streams = True
    needs_question = False

    @hookimpl
    def build_trainer(self, job: Job, model: Any, processor: Any, rows: Any, eval_rows: Any) -> Any:
        from swift_plugin_runtime.training.trainer import build_token_trainer

        return build_token_trainer(job, model, processor, rows, eval_rows)
