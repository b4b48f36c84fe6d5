"""The options of transformers' Trainer, which every training method of this runtime has. No torch here."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from swift_core import SwiftError, hookimpl, option
from swift_core.contract.components import Parallel, Trainer, Tuner, declared
from swift_core.contract.errors import SwiftErrors
from swift_core.contract.job import Job
from swift_plugin_runtime import RUNTIME_API
from swift_plugin_runtime.arguments import Schedule, faults


@dataclass(kw_only=True, eq=False)
class TrainingOptions(Trainer):
    """How a model is trained; a trainer that stands on this runtime inherits them."""

    runtime_api: ClassVar[int] = RUNTIME_API

    needs_reference: ClassVar[bool] = False
    """Whether the model as it was at the start is asked for its likelihoods; a property where options decide."""

    num_train_epochs: float = option(3.0, "Passes over the rows.", gt=0)
    per_device_train_batch_size: int = option(1, "Rows per step and device.", ge=1, aliases=("batch_size",))
    per_device_eval_batch_size: int = option(1, "Rows per evaluation step and device.", ge=1, on_resume="free")
    gradient_accumulation_steps: int = option(1, "Batches per optimizer step.", ge=1)
    learning_rate: float | None = option(
        None, "Peak learning rate; left out: 1e-4 for adapters, 1e-5 for full.", ge=0, on_resume="fixed"
    )
    lr_scheduler_type: Schedule = option("cosine", "Schedule of the learning rate, as transformers names it.")
    warmup_ratio: float | None = option(None, "Share of the steps spent warming up; left out: 0.03.", ge=0, le=1)
    warmup_steps: int | None = option(None, "Steps spent warming up, in place of a share of them.", ge=0)
    weight_decay: float = option(0.1, "AdamW's decay λ.", ge=0, on_resume="fixed")
    adam_beta1: float = option(0.9, "AdamW's β₁.", ge=0, lt=1, on_resume="fixed")
    adam_beta2: float = option(0.95, "AdamW's β₂.", ge=0, lt=1, on_resume="fixed")
    max_grad_norm: float = option(1.0, "Gradients are clipped to this norm.", ge=0)
    bf16: bool | None = option(
        None, "Compute in bfloat16; left out: where the device is a GPU that can, without --fp16."
    )
    fp16: bool = option(False, "Compute in float16 with loss scaling.")
    master_weights: Literal["auto", "model", "optimizer", "none"] = option(
        "auto",
        "Where float32 masters of 16-bit weights that train are: in the model, which is float32 then; in the "
        "optimizer, beside a stochastically rounded copy; or none, each update rounded stochastically. auto: in the "
        "optimizer, in the model on a CPU without products in bfloat16, none where memory is short.",
        on_resume="fixed",
    )
    gradient_checkpointing: bool | None = option(
        None,
        "Recompute activations: 30 % slower, far less memory; left out: in pt and sft where a batch would not fit "
        "into the GPU, and nowhere else.",
        on_resume="free",
    )
    packing: bool = option(False, "Join rows up to max_length tokens, each attending to itself alone.")
    padding_free: bool | None = option(
        None, "Lay the rows of a batch end to end, each attending to itself; left out: wherever that is exact."
    )
    fused_loss: Literal["auto", "chunked", "cce", "off"] = option(
        "auto",
        "Head and cross-entropy in one, so that the logits of a batch are never held; auto: chunked, where the model's "
        "logits are its head's; cce: Cut Cross-Entropy's kernel, which needs a GPU.",
    )
    truncation_strategy: Literal["raise", "delete", "left", "right"] = option(
        "delete", "What happens to rows longer than max_length: an error, dropped and counted, or cut."
    )
    lazy_tokenize: bool | None = option(
        None, "Encode a row when its turn comes, in every epoch anew; left out: where there are many rows with media."
    )
    cache_dataset: bool = option(
        True,
        "Keep encoded rows of text on disk, so that the next run on the same rows starts at once.",
        on_resume="free",
    )
    dataset_num_proc: int = option(1, "Processes that encode rows before training.", ge=1, on_resume="free")
    freeze_vit: bool = option(True, "Keep the vision tower as it is.")
    freeze_aligner: bool = option(True, "Keep the aligner between vision tower and language model as it is.")
    freeze_llm: bool = option(False, "Keep the language model as it is.")
    logging_steps: int = option(5, "Steps between two log lines.", ge=1, on_resume="free")
    save_steps: int = option(500, "Steps between two checkpoints.", ge=1, on_resume="free")
    eval_steps: int | None = option(
        None, "Steps between two evaluations; left out: as save_steps.", ge=1, on_resume="free"
    )
    save_strategy: Literal["steps", "epoch", "no"] = option("steps", "When checkpoints are written.", on_resume="free")
    save_total_limit: int | None = option(None, "Newest checkpoints to keep.", on_resume="free")
    save_only_model: bool = option(
        False, "Leave out optimizer state: smaller, cannot be resumed exactly.", on_resume="free"
    )
    async_save: bool = option(
        False,
        "Each process writes its own part of a checkpoint (torch.distributed.checkpoint) while training goes on; "
        "swift export --consolidate true joins them.",
        on_resume="free",
    )
    save_on_signal: bool = option(
        True, "Save a whole checkpoint before SIGTERM, SIGINT or SIGUSR1 ends the run.", on_resume="free"
    )
    eval_benchmarks: list[str] = option(
        [],
        "Measured while the model trains, as --eval_dataset of swift eval: files, or names of benchmarks.",
        on_resume="free",
    )
    eval_benchmark_steps: int | None = option(
        None, "Steps between two such measurements; left out: as eval_steps.", ge=1, on_resume="free"
    )
    eval_benchmark_limit: int | None = option(None, "Rows per benchmark.", ge=1, on_resume="free")
    eval_benchmark_args: dict[str, Any] = option(
        {}, "JSON of further options of swift eval: eval_backend, eval_data_dir, max_new_tokens …", on_resume="free"
    )
    load_best_model_at_end: bool = option(
        False, "End with the checkpoint of the best figure: of metric_for_best_model, or the lowest evaluation loss."
    )
    metric_for_best_model: str | None = option(
        None,
        "What the best checkpoint is told by: loss, or NAME or NAME/METRIC of eval_benchmarks; the run ends with "
        "the best.",
    )
    greater_is_better: bool = option(True, "Whether the greater figure of a benchmark is the better one.")
    early_stopping_patience: int | None = option(
        None, "Stop after so many evaluations without a better figure, and keep the best.", ge=1,
        aliases=("early_stop_interval",),
    )  # fmt: skip
    hub_private_repo: bool = option(False, "Make the repository private.", on_resume="free")
    report_to: list[str] = option([], "Extra loggers: tensorboard, wandb, swanlab.", on_resume="free")
    dataloader_num_workers: int | None = option(
        None,
        "Processes that collate batches; left out: one on a GPU where rows are encoded while training runs.",
        ge=0,
        on_resume="free",
    )
    ddp_backend: str | None = option(None, "Backend of torch.distributed; left out: nccl on GPUs, gloo on CPUs.")
    training_args: dict[str, Any] = option({}, "JSON of further transformers.TrainingArguments.")

    def __post_init__(self) -> None:
        if None not in (self.warmup_ratio, self.warmup_steps):
            raise SwiftError("--warmup_ratio and --warmup_steps both say how long to warm up; leave one of them out.")
        if self.warmup_ratio is None and self.warmup_steps is None:
            self.warmup_ratio = 0.03
        if self.metric_for_best_model == "loss":
            self.load_best_model_at_end = True

    @property
    def best_by_benchmark(self) -> bool:
        """Whether the best checkpoint is told by a benchmark."""
        return bool(self.eval_benchmarks) and self.metric_for_best_model not in (None, "loss")

    @hookimpl
    def check_job(self, job: Job) -> None:
        """Refuse what transformers would refuse. Raises SwiftErrors."""
        mistakes = faults(self, job)
        if mistakes:
            raise SwiftErrors(mistakes)
        if self.fp16:
            self.bf16 = False
        self._check_benchmarks(job)
        self._check_async_save(job)
        self._check_reference(job)

    def _check_reference(self, job: Job) -> None:
        tuners = [item.component for item in job.many("tuner")]
        whole = bool(tuners) and all(declared(tuner, Tuner, "trains_whole_weights") for tuner in tuners)
        if self.needs_reference and whole and zero_stage(job) == 3:
            raise SwiftError(
                "The reference of a model whose own weights train is a copy of it, and ZeRO 3 keeps none. Say "
                "--deepspeed zero2, --fsdp true, or train an adapter."
            )

    def _check_async_save(self, job: Job) -> None:
        if not self.async_save:
            return
        if deepspeed_settings(job) is not None:
            raise SwiftError("--async_save: DeepSpeed writes its own checkpoints, one part a process; leave it out.")
        for item in job.many("optimizer"):
            raise SwiftError(
                f"--async_save writes the state of torch's AdamW in shards, and {item.entry.name} keeps another; leave "
                "one of them out."
            )

    def _check_benchmarks(self, job: Job) -> None:
        metric = self.metric_for_best_model
        if metric not in (None, "loss") and not self.eval_benchmarks:
            raise SwiftError(f"--metric_for_best_model {metric} names a benchmark: say --eval_benchmarks {metric}.")
        if not self.eval_benchmarks:
            return
        for strategy in job.many("parallel"):
            raise SwiftError(
                f"--eval_benchmarks asks a whole model, and {strategy.entry.name} splits it among processes; leave one "
                "of them out."
            )
        from swift_plugin_runtime.measured import check_benchmarks

        check_benchmarks(job, self)


def training_options(job: Job) -> TrainingOptions:
    """The options of the job's trainer; the defaults where the job has none that stands on this runtime."""
    trainer = next((c.component for c in job.many("trainer")), None)
    return trainer if isinstance(trainer, TrainingOptions) else TrainingOptions()


def splits_weights(job: Job) -> bool:
    """Whether each process of the job holds a part of every weight."""
    return any(declared(c.component, Parallel, "splits_weights") for c in job.many("parallel"))


def deepspeed_settings(job: Job) -> dict[str, Any] | None:
    """DeepSpeed's settings where it makes the job's steps; else None."""
    engines = [c.component for c in job.many("parallel") if declared(c.component, Parallel, "engine") == "deepspeed"]
    return dict(engines[0].engine_settings()) if engines else None


def zero_stage(job: Job) -> int:
    """The stage of DeepSpeed's ZeRO: 3 where each process holds a part of every weight; 0 without DeepSpeed."""
    return int((deepspeed_settings(job) or {}).get("zero_optimization", {}).get("stage", 0))


def share_of(job: Job) -> tuple[int, int]:
    """(which share of the rows this process trains on, how many shares there are)."""
    own = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    share: tuple[int, int] = job.hook.data_share(job=job) or own
    return share
