"""transformers.TrainingArguments from the options of a job."""

from __future__ import annotations

import dataclasses
import importlib.util
import math
import os
from typing import Any

import torch
import transformers

from swift_core import SwiftError
from swift_core.contract.components import Tuner, declared
from swift_core.contract.job import Job
from swift_plugin_runtime.options import TrainingOptions, deepspeed_settings, training_options

LOGGERS = {"tensorboard": "tensorboard", "wandb": "wandb", "swanlab": "swanlab"}
"""Loggers that are asked for by --report_to, and the packages they need."""


def _check_loggers(names: list[str]) -> None:
    for name in names:
        if name in LOGGERS and importlib.util.find_spec(LOGGERS[name]) is None:
            raise SwiftError(f"--report_to {name} needs the package {LOGGERS[name]}: pip install {LOGGERS[name]}")


def swanlab_callback() -> Any:
    """SwanLab's own callback: transformers' takes an answer that SwanLab no longer gives from 0.8 on."""
    from swanlab.integration.transformers import SwanLabCallback

    return SwanLabCallback(project=os.environ.get("SWANLAB_PROJECT"))


def _watched(job: Job, changes: dict[str, Any]) -> dict[str, Any]:
    """What early stopping needs: evaluations, saved as often, the best of which is kept."""
    if training_options(job).best_by_benchmark:
        return {"load_best_model_at_end": False}  # transformers knows evaluation rows only
    if not training_options(job).early_stopping_patience:
        return {}
    if changes.get("eval_strategy", "no") == "no":
        raise SwiftError(
            "--early_stopping_patience watches evaluations: say --val_dataset or --split_dataset_ratio, and a "
            "--save_strategy other than no."
        )
    return {"load_best_model_at_end": True, "metric_for_best_model": "loss"}


def build_arguments(job: Job, recompute: bool = False, **changes: Any) -> transformers.TrainingArguments:
    """transformers.TrainingArguments from the job's options; `changes` and --training_args win.

    recompute: whether activations are computed again where --gradient_checkpointing does not say.
    """
    o, wider = training_options(job), job.options
    recompute = recompute if o.gradient_checkpointing is None else o.gradient_checkpointing
    _check_loggers(o.report_to)
    shared = {
        name: getattr(o, name)
        for name in (
            "num_train_epochs per_device_train_batch_size per_device_eval_batch_size "
            "gradient_accumulation_steps lr_scheduler_type weight_decay adam_beta1 adam_beta2 "
            "max_grad_norm fp16 logging_steps save_steps save_strategy save_total_limit "
            "save_only_model load_best_model_at_end ddp_backend"
        ).split()
    }
    shared |= {name: getattr(wider, name) for name in ("output_dir", "max_steps", "seed", "data_seed")}
    on_gpu = torch.cuda.is_available() and wider.device != "cpu"
    known = {f.name for f in dataclasses.fields(transformers.TrainingArguments)}
    recomputing = (
        "activation_checkpointing" if "activation_checkpointing" in known else "gradient_checkpointing"
    )  # 5.16
    wanted: dict[str, Any] = {
        **shared,
        "learning_rate": learning_rate(job),
        "warmup_steps": warmup(o),
        "bf16": (on_gpu and torch.cuda.is_bf16_supported()) if o.bf16 is None else o.bf16,
        "use_cpu": not on_gpu,
        "report_to": [name for name in o.report_to if name != "swanlab"],
        "eval_steps": o.eval_steps or o.save_steps,
        recomputing: recompute,
        f"{recomputing}_kwargs": {"use_reentrant": False} if recompute else None,
        "remove_unused_columns": False,
        "logging_nan_inf_filter": False,
        "disable_tqdm": True,
        "dataloader_num_workers": o.dataloader_num_workers or 0,
        "train_sampling_strategy": "random" if wider.dataset_shuffle else "sequential",
        "deepspeed": deepspeed_settings(job),
        "ddp_find_unused_parameters": True if {*job.card.modality} - {"text"} else None,  # text runs no tower
    }
    return transformers.TrainingArguments(**{**wanted, **_watched(job, changes), **changes, **o.training_args})


def warmup(o: TrainingOptions) -> float:
    """--warmup_steps, else --warmup_ratio, as transformers tells them apart: numbers below 1 are shares."""
    if o.warmup_steps is not None:
        return float(o.warmup_steps)
    return min(o.warmup_ratio or 0.0, math.nextafter(1.0, 0.0))  # 1.0 would be one step


def learning_rate(job: Job) -> float:
    """--learning_rate, else 1e-5 where whole weights train and 1e-4 for adapters."""
    said = training_options(job).learning_rate
    if said is not None:
        return float(said)
    whole = any(declared(c.component, Tuner, "trains_whole_weights") for c in job.many("tuner"))
    return 1e-5 if whole else 1e-4
