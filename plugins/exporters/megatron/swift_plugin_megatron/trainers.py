"""Training by Megatron-Core: rows are encoded here, and its own processes train on them in its environment."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from swift_core import SwiftError, Unsupported, hookimpl, option
from swift_core.contract.components import Trainer
from swift_core.contract.job import Job

BY_ITSELF = "Megatron-Core makes the training step itself."


@dataclass(kw_only=True, eq=False)
class MegatronTrainer(Trainer):
    """How Megatron-Core trains, whatever the rows are."""

    swift_api = 1
    capabilities = {
        "quantizer": Unsupported("Megatron-Core trains whole weights in the checkpoint's precision."),
        "optimizer": Unsupported(BY_ITSELF + " Its optimizer is AdamW."),
        "parallel": Unsupported(BY_ITSELF + " Say --tensor_parallel_size, --pipeline_parallel_size …"),
        "launcher": Unsupported("it starts the processes of this machine itself: --megatron_processes."),
        "patcher": Unsupported("its model is Megatron-Core's, which no patcher knows."),
    }

    tensor_parallel_size: int = option(1, "Processes that share each matrix product.", ge=1)
    pipeline_parallel_size: int = option(1, "Processes that share the layers, one after the other.", ge=1)
    expert_parallel_size: int = option(1, "Processes that share the experts of each layer.", ge=1)
    context_parallel_size: int = option(1, "Processes that share the tokens of a row.", ge=1)
    megatron_processes: int | None = option(
        None, "Processes on this machine; left out: one for each GPU.", ge=1, on_resume="free"
    )
    num_train_epochs: int = option(3, "Passes over the rows.", ge=1)
    per_device_train_batch_size: int = option(1, "Rows per step and device.", ge=1, aliases=("batch_size",))
    gradient_accumulation_steps: int = option(1, "Micro-batches of a step, of each copy of the model.", ge=1)
    learning_rate: float = option(1e-5, "Peak learning rate.", ge=0, on_resume="fixed")
    lr_scheduler_type: Literal["cosine", "linear", "constant"] = option(
        "cosine", "Schedule of the learning rate, as transformers names it."
    )
    warmup_ratio: float = option(0.03, "Share of the steps spent warming up.", ge=0, le=1)
    weight_decay: float = option(0.1, "AdamW's decay λ.", ge=0, on_resume="fixed")
    adam_beta1: float = option(0.9, "AdamW's β₁.", ge=0, lt=1, on_resume="fixed")
    adam_beta2: float = option(0.95, "AdamW's β₂.", ge=0, lt=1, on_resume="fixed")
    max_grad_norm: float = option(1.0, "Gradients are clipped to this norm.", ge=0)
    logging_steps: int = option(5, "Steps between two log lines.", ge=1, on_resume="free")
    save_steps: int = option(500, "Steps between two checkpoints.", ge=1, on_resume="free")
    save_total_limit: int | None = option(None, "Newest checkpoints to keep.", on_resume="free")

    beta: ClassVar[float | None] = None
    """DPO's β; None: the loss is that of tokens."""

    def encoded(self, job: Job, processor: Any, rows: Any) -> list[tuple[Any, ...]]:
        """Encoded rows, each as its conversations: one, or the better and the worse of a pair."""
        from swift_plugin_runtime.encoding.datasets import encode_rows

        return [(row,) for row in encode_rows(job, rows, processor)]

    def sizes(self) -> dict[str, int]:
        """How many processes share a model, by way."""
        return {
            "tensor": self.tensor_parallel_size,
            "pipeline": self.pipeline_parallel_size,
            "expert": self.expert_parallel_size,
            "context": self.context_parallel_size,
        }

    @hookimpl
    def check_job(self, job: Job) -> None:
        """Refuse what Megatron-Core cannot do here, before anything is loaded."""
        from swift_plugin_megatron.training import check

        check(job, self)

    @hookimpl
    def load_model(self, job: Job, path: str, config: Any) -> Any:
        """The model's shape without its weights, which Megatron-Core reads itself."""
        from swift_plugin_megatron.training import check_shape, shape_of

        check_shape(config, self.sizes())
        return shape_of(config)

    @hookimpl
    def build_trainer(self, job: Job, model: Any, processor: Any, rows: Any, eval_rows: Any) -> Any:
        from swift_plugin_megatron.training import Run

        if eval_rows:
            raise SwiftError(
                "Megatron-Core's trainers hold no rows out: leave --val_dataset and --split_dataset_ratio out."
            )
        return Run(job, self, model.config, processor, rows)


@dataclass(kw_only=True, eq=False)
class MegatronSft(MegatronTrainer):
    """Supervised fine-tuning by Megatron-Core: next-token loss on what the assistant says, of whole weights."""

    ignores = ("rejected", "label")


@dataclass(kw_only=True, eq=False)
class MegatronPretrain(MegatronTrainer):
    """Pre-training by Megatron-Core: next-token loss on whole texts, of whole weights."""

    ignores = ("rejected", "label")
    needs_question = False


@dataclass(kw_only=True, eq=False)
class MegatronDpo(MegatronTrainer):
    """Direct preference optimisation (arXiv 2305.18290) by Megatron-Core: whole weights, the sigmoid loss."""

    ignores = ("label",)

    beta: float = option(0.1, "β: how strongly the policy is held to the reference.", gt=0)  # type: ignore[misc]

    def encoded(self, job: Job, processor: Any, rows: Any) -> list[tuple[Any, ...]]:
        """Encoded pairs: the better conversation, then the worse."""
        from swift_plugin_runtime.alignment.preference import encode_pairs

        return list(encode_pairs(job, rows, processor, "training pairs"))
