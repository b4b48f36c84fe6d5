"""A job's model without its weights: every tensor has a shape and a type, and no memory behind it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from swift_core import SwiftError
from swift_core.contract.job import Job
from swift_core.jobs.steps import attach_tuners
from swift_plugin_runtime.batching.attention import Segments, segment_attention
from swift_plugin_runtime.loading import heads
from swift_plugin_runtime.loading.layers import base_of
from swift_plugin_runtime.loading.loader import dtype_of, model_class

PLANNED = "swift_plan"
"""Name of the attention of flat batches while they are planned."""


def config_folder(job: Job) -> str:
    """The folder with the config.json of the job's model; of a hub's model, that file alone is fetched.

    Raises SwiftError where there is none.
    """
    o = job.options
    if o.model and Path(o.model, "config.json").is_file():
        return str(o.model)
    fetch = getattr(job.one("loader"), "fetch_config", None)
    point = job.card.find(o.model) if o.model else None
    folder = fetch(point.id_on(o.use_hf) if point else o.model, o.model_revision, o.use_hf) if fetch else None
    if folder is None:
        raise SwiftError(f"swift plan reads config.json, and {o.model!r} has none here; give a folder that holds it.")
    return str(folder)


def shape_of(job: Job, config: Any) -> Any:
    """The model on torch's meta device, with the job's new tuners attached.

    Raises SwiftError for a tuner that begins with numbers of the weights.
    """
    with torch.device("meta"):
        model = untuned(job, config)
        tuners = job.many("tuner") if hasattr(job.options, "tuner") else []
        try:
            return attach_tuners(job, model) if tuners else model
        except (NotImplementedError, RuntimeError, ValueError) as error:
            names = ", ".join(item.entry.name for item in tuners)
            reason = str(error).strip().splitlines()[0][:120]
            raise SwiftError(
                f"swift plan reads no weights, and --tuner {names} begins with their numbers ({reason}). Plan with "
                "--tuner lora of the same rank: it trains as many."
            ) from None


def untuned(job: Job, config: Any) -> Any:
    """The model of a config in the type that the job asks for, else the checkpoint's; built where torch builds."""
    asked = dtype_of(job.options.torch_dtype)
    dtype = (getattr(config, "dtype", None) or torch.float32) if asked == "auto" else asked
    kind = model_class(config, heads.task_of(job))
    build = kind.from_config if hasattr(kind, "from_config") else kind._from_config
    return build(config, dtype=dtype)


def kept_bytes(model: Any, rows: int, tokens: int, flat: bool = False) -> int:
    """Bytes that autograd keeps of a forward pass of [rows, tokens] ids up to the head, each storage once.

    Torch goes through the pass with tensors of shape and type alone. flat: the rows lie end to end, each attending to
    itself. The model is lost to anything else.
    """
    from torch._subclasses.fake_tensor import FakeTensorMode

    if flat and base_of(model).config.get_text_config()._attn_implementation == "sdpa":
        _attend_by_rows(base_of(model), rows, tokens)
    with FakeTensorMode():
        _without_memory(model)
        own = {p.untyped_storage()._cdata for p in model.parameters()}
        kept: dict[int, torch.Tensor] = {}

        def note(tensor: torch.Tensor) -> torch.Tensor:
            kept.setdefault(tensor.untyped_storage()._cdata, tensor)  # held, so that no address comes twice
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
            ids = torch.zeros((1, rows * tokens) if flat else (rows, tokens), dtype=torch.long)
            base_of(model).train().base_model(input_ids=ids, use_cache=False)
        return sum(t.untyped_storage().nbytes() for address, t in kept.items() if address not in own)


def _attend_by_rows(base: Any, rows: int, tokens: int) -> None:
    """Give a model the attention of flat batches, with the borders of the rows known beforehand."""
    from transformers import AttentionInterface

    segments = torch.empty(0, dtype=torch.bool).as_subclass(Segments)
    segments.parts = [(row * tokens, (row + 1) * tokens, None) for row in range(rows)]

    def attend(module: Any, query: Any, key: Any, value: Any, _: Any, **more: Any) -> Any:
        return segment_attention(module, query, key, value, segments, **more)

    AttentionInterface.register(PLANNED, attend)
    base.set_attn_implementation(PLANNED)


def _without_memory(model: Any) -> None:
    """Put fake tensors on the CPU in the place of all parameters and buffers; shared ones stay shared."""
    made: dict[int, torch.Tensor] = {}
    for module in model.modules():
        for store in (module._parameters, module._buffers):
            for key, value in store.items():
                if value is not None:
                    store[key] = made.setdefault(id(value), _fake(value))


def _fake(value: torch.Tensor) -> torch.Tensor:
    empty = torch.empty(value.shape, dtype=value.dtype, device="cpu")
    return torch.nn.Parameter(empty, value.requires_grad) if isinstance(value, torch.nn.Parameter) else empty
