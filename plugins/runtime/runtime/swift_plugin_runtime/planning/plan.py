"""A plan: the job prepared, its model's shape taken, its rows counted, and what to try where it does not fit."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import torch

from swift_core import SwiftError, option
from swift_core.contract.components import Trainer, declared
from swift_core.contract.job import Job
from swift_core.job.options import Given, build
from swift_core.job.prepare import prepare
from swift_plugin_runtime.loading.loader import device_of
from swift_plugin_runtime.options import training_options
from swift_plugin_runtime.planning.layout import Layout, Traffic, traffic
from swift_plugin_runtime.planning.memory import (
    Batch,
    Memory,
    in_a_process,
    serving_memory,
    split_of,
    training_memory,
)
from swift_plugin_runtime.planning.shape import config_folder
from swift_plugin_runtime.planning.work import SAMPLE, Work, checkpoints_kept, lengths_of, work_of
from swift_plugin_runtime.training.masters import free_bytes

GIB = 2**30

SHOWN = 3
"""Options that fit, as many as are told."""

COUNTED = "process: what libraries and malloc hold beside the tensors, as it was measured on a CPU with glibc"
LEFT_OUT = "what libraries hold, and an allocator between its blocks, is not counted: leave room"

NEXT_TOKEN = ("sft", "pt")
"""Trainers whose head and loss are one, and whose rows lie end to end."""

TRAINING_TRIES: tuple[dict[str, Any], ...] = (
    {"gradient_checkpointing": True},
    {"gradient_checkpointing": True, "per_device_train_batch_size": 1},
    {"gradient_checkpointing": True, "per_device_train_batch_size": 1, "master_weights": "none"},
    {"gradient_checkpointing": True, "per_device_train_batch_size": 1, "tuner": ["lora"]},
    {"gradient_checkpointing": True, "per_device_train_batch_size": 1, "tuner": ["lora"], "quantizer": "bnb"},
)
SERVING_TRIES: tuple[dict[str, Any], ...] = ({"max_batch_size": 1}, {"max_batch_size": 1, "quantizer": "bnb"})
MORE_DEVICES = (2, 4, 8, 16, 32, 64)


@dataclass(kw_only=True)
class PlanOptions:
    """What `swift plan` is asked beside the job."""

    devices: int = option(1, "Devices that share the work.", ge=1)
    memory_gib: float | None = option(None, "Memory of each device in GiB; left out, what this machine's has free.")
    tokens_per_second: float | None = option(None, "Speed of one device, measured before.", gt=0)
    interconnect: float | None = option(None, "GB a second that a device sends to others.", gt=0)
    tensor: int = option(1, "Devices that share each layer, on paper (tensor parallelism).", ge=1)
    pipeline: int = option(1, "Devices that share the layers one after the other, on paper.", ge=1)
    interleave: int = option(1, "Parts of the layers on each device of a pipeline.", ge=1)
    json: bool = option(False, "Print the plan as JSON, sizes in bytes.")


@dataclass
class Plan:
    """What a job takes. free: bytes of each device; tries: (options that fit, their bytes).

    sent: what a device sends in a step. bubble: share of a step that it waits in a pipeline. sending: seconds of a step
    that sending takes where nothing overlaps. seconds: of the whole run.
    """

    job: str
    memory: Memory
    work: Work
    layout: Layout
    free: float
    said: list[str] = field(default_factory=list)
    checkpoints: int = 0
    seconds: float | None = None
    tries: list[tuple[str, int]] = field(default_factory=list)
    sent: Traffic | None = None
    bubble: float = 0.0
    sending: float | None = None

    @property
    def disk(self) -> int:
        """Bytes of all checkpoints that are kept."""
        return self.checkpoints * self.memory.checkpoint


def separate(given: list[Given]) -> tuple[PlanOptions, list[Given]]:
    """(the plan's own options, what is left for the job)."""
    names = {f.name for f in dataclasses.fields(PlanOptions)}
    own = {g.key: g.value for g in given if g.key in names}
    return build(PlanOptions, own, "swift plan"), [g for g in given if g.key not in names]


def planned(name: str, given: list[Given], own: PlanOptions) -> Plan:
    """The plan of a job. Raises SwiftError for what the job refuses before it loads anything."""
    found, tried = _one(name, given, own), []
    if found.memory.total > found.free:
        for change, devices in _changes(found, own):
            words = " ".join(_word(key, value) for key, value in change.items())
            other = _attempt(name, given, change, dataclasses.replace(own, devices=devices))
            if other is not None and other.memory.total <= found.free:
                tried.append((words + (f" on {devices} devices" if devices != own.devices else ""), other.memory.total))
            if len(tried) == SHOWN:
                break
    return dataclasses.replace(found, tries=tried)


def _changes(found: Plan, own: PlanOptions) -> Iterator[tuple[dict[str, Any], int]]:
    """(options to try, devices)."""
    trains = bool(found.memory.trained)
    yield from ((change, own.devices) for change in (TRAINING_TRIES if trains else SERVING_TRIES))
    if trains:
        yield from (({"fsdp": True, "gradient_checkpointing": True}, n) for n in MORE_DEVICES if n > own.devices)


def _word(key: str, value: Any) -> str:
    return f"--{key} {' '.join(value) if isinstance(value, list) else str(value).lower()}"


def _attempt(name: str, given: list[Given], change: dict[str, Any], own: PlanOptions) -> Plan | None:
    """The plan of the job with other options; None where these do not go together."""
    kept = [g for g in given if g.key not in change and not (g.key == "train_type" and "tuner" in change)]
    try:
        return _one(name, [*kept, *(Given(key, value, "swift plan") for key, value in change.items())], own)
    except SwiftError:
        return None


def _one(name: str, given: list[Given], own: PlanOptions) -> Plan:
    job = prepare(name, given)
    folder = config_folder(job)
    config = job.hook.load_config(job=job, path=folder)
    device = device_of(job.options.device)
    free = _free(device, own.memory_gib)
    rows, lengths = lengths_of(job, folder, config)
    if not job.many("trainer"):
        return _serving(job, name, config, lengths, own, free)
    layout = Layout(own.devices, own.tensor, own.pipeline, own.interleave, split_of(job, own.devices))
    work = work_of(job, rows, lengths, layout.replicas)
    batch, said = batch_of(job, work, config)
    here = device.type == "cpu" and layout.devices == 1 and own.memory_gib is None  # else a device of another machine
    said += [COUNTED if here else LEFT_OUT, *granted(job, rows, config, layout)]
    memory = training_memory(job, config, batch, layout, device, free)
    if here:
        memory = in_a_process(memory)
    kept = checkpoints_kept(job, work.steps)
    return _timed(Plan(name, memory, work, layout, free, said, kept), job, config, batch, own)


def _timed(plan: Plan, job: Job, config: Any, batch: Batch, own: PlanOptions) -> Plan:
    """The plan with what is sent and the time that is known."""
    layout, batches = plan.layout, training_options(job).gradient_accumulation_steps
    text, item = config.get_text_config(), 4 if job.options.torch_dtype == "float32" else 2
    sent = traffic(layout, plan.memory.sizes, text, batch.tokens, item, batches) if layout.devices > 1 else None
    sending = sent.total / own.interconnect / 1e9 if sent and own.interconnect else None
    bubble, seconds = layout.bubble(batches), None
    if plan.work.tokens and own.tokens_per_second:
        seconds = plan.work.tokens / own.tokens_per_second / layout.devices / (1 - bubble)
        seconds += (sending or 0) * (plan.work.steps or 0)
    return dataclasses.replace(plan, sent=sent, bubble=bubble, sending=sending, seconds=seconds)


def _serving(job: Job, name: str, config: Any, lengths: list[int], own: PlanOptions, free: float) -> Plan:
    """The plan of a job that only answers. Raises SwiftError for one without a model to plan."""
    o = job.options
    if not hasattr(o, "max_new_tokens"):
        raise SwiftError(f"swift plan knows jobs that train or answer, and swift {name} does neither.")
    prompt, said = _length(job, max(lengths, default=None), config)
    if lengths:
        prompt += o.max_new_tokens
    memory = serving_memory(job, config, o.max_batch_size, prompt)
    return Plan(name, memory, Work(len(lengths) or None, max(lengths, default=None)), Layout(), free, said)


def _free(device: torch.device, asked: float | None) -> float:
    """Bytes that may be planned with. Raises SwiftError for a device that is not here and has no size given."""
    if asked is not None:
        return asked * GIB
    if device.type == "cuda" and not torch.cuda.is_available():
        raise SwiftError("No GPU is here to be asked for its memory; say --memory_gib.")
    return free_bytes(device)


def batch_of(job: Job, work: Work, config: Any) -> tuple[Batch, list[str]]:
    """(what goes through the model at once, what was taken for granted)."""
    training, method = training_options(job), job.one("trainer")
    length, said = _length(job, work.longest, config)
    rows = training.per_device_train_batch_size * declared(method, Trainer, "texts")
    if declared(method, Trainer, "draws"):
        answer, group = getattr(method, "max_completion_length", 512), getattr(method, "num_generations", 1)
        rows = getattr(method, "micro_batch_size", None) or group
        return Batch(rows, length + answer, rows * answer, rows * (length + answer)), said
    if hasattr(method, "pair_losses"):
        return Batch(2 * rows, length, 2 * rows * length), said
    if training.packing:
        length = job.options.max_length or length
    tokens = job.many("trainer")[0].entry.name in NEXT_TOKEN
    fused, flat = tokens and training.fused_loss != "off", tokens and training.padding_free is not False
    return Batch(rows, length, None if fused else rows * length, flat=flat), said


def granted(job: Job, rows: int | None, config: Any, layout: Layout) -> list[str]:
    """What a plan of training takes for granted and the job may do otherwise, a line each."""
    lines = []
    if rows and rows > SAMPLE:
        lines.append(f"the lengths of the first {SAMPLE:,} rows stand for all {rows:,}")
    if optimizers := job.many("optimizer"):
        lines.append(f"--optimizer {optimizers[0].entry.name} is counted as AdamW, with two moments")
    if layout.tensor * layout.pipeline > 1:
        lines.append("--tensor and --pipeline are on paper: no trainer here splits a model so")
    if any(hasattr(config, tower) for tower in ("vision_config", "audio_config")):
        lines.append("activations of towers for pictures, videos and sounds are not counted")
    return lines


def _length(job: Job, longest: int | None, config: Any) -> tuple[int, list[str]]:
    """(tokens of the longest row, the line that says what stands for it where no data tell)."""
    if longest:
        return longest, []
    if job.options.max_length:
        return job.options.max_length, [f"rows are taken to have {job.options.max_length} tokens (--max_length)"]
    limit = getattr(config.get_text_config(), "max_position_embeddings", None) or 2048
    return limit, [f"rows are taken to have {limit} tokens, the model's limit; --max_length or --dataset say better"]


def as_data(found: Plan) -> dict[str, Any]:
    """The plan as plain data, sizes in bytes, for JSON."""
    return {**dataclasses.asdict(found), "disk": found.disk, "fits": found.memory.total <= found.free}
