"""What a job holds on each device, by part, from the shapes of its model.

What trains takes as much as `masters.BYTES` says, the rule by which the trainer itself decides. A backward pass
frees activations as gradients come: it holds at most what `passes` has counted on the way, or all gradients.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import torch

from swift_core import SwiftError
from swift_core.contract.components import Trainer, Tuner, declared
from swift_core.contract.job import Job
from swift_plugin_runtime.loading.layers import base_of
from swift_plugin_runtime.options import deepspeed_settings, splits_weights, training_options
from swift_plugin_runtime.planning.layout import SPLIT, Layout
from swift_plugin_runtime.planning.passes import Passes, passes
from swift_plugin_runtime.planning.shape import shape_of
from swift_plugin_runtime.rounding import HALF
from swift_plugin_runtime.training.fused_loss import tokens_together
from swift_plugin_runtime.training.masters import choose
from swift_plugin_runtime.training.memory import training_parts

SCALES = {4: 0.5, 8: 0.0}
"""Bits of a quantized weight → bits that its scales take more (a float32 for each 64, QLoRA's first level)."""

WHOLE, QUICK, ADAPTERS = "whole weights", "LoRA as one function", "other adapters"
"""What trains, as far as a process's memory tells it apart."""

PROCESS = {WHOLE: 25 << 20, QUICK: 85 << 20, ADAPTERS: 85 << 20}
"""What trains → bytes that a process on a CPU holds beside all tensors and the gaps between them."""

GAPS = {WHOLE: {4: 0.0, 2: 0.17}, QUICK: {4: 0.2, 2: 0.2}, ADAPTERS: {4: 0.45, 2: 0.28}}
"""What trains → bytes of a number → what the gaps take, as a share of activations and logits. Measured with glibc 2.36
(`benchmarks.plan`), whose malloc keeps what a backward pass frees and often cannot fit the same size into it again."""


@dataclass
class Batch:
    """What goes through the model at once: `rows` of `length` tokens.

    logits: tokens whose logits are held; None where head and loss are one, and a part of them is held at a time.
    drawn: tokens that have keys and values in the cache while answers are drawn. flat: the rows lie end to end.
    """

    rows: int
    length: int
    logits: int | None = None
    drawn: int = 0
    flat: bool = False

    @property
    def tokens(self) -> int:
        """Tokens in all."""
        return self.rows * self.length


@dataclass
class Memory:
    """parts: bytes on each device by name. total: bytes held at most at one time. checkpoint: bytes of one on disk.

    parameters, trained: how many there are. said: what was chosen on the way, a line each. sizes: bytes of `weights`
    and `gradients` of the whole model. item: bytes of a number that it computes with. trains: a key of `GAPS`.
    """

    parts: dict[str, int]
    total: int
    parameters: int
    trained: int = 0
    checkpoint: int = 0
    said: list[str] = field(default_factory=list)
    sizes: dict[str, int] = field(default_factory=dict)
    item: int = 4
    trains: str = WHOLE


def training_memory(job: Job, config: Any, batch: Batch, layout: Layout, device: torch.device, free: float) -> Memory:
    """What a training job holds on each device. free: bytes there. Raises SwiftError for a model without a shape."""
    model, o = shape_of(job, config), training_options(job)
    weights = weight_bytes(job, model)
    where, said = masters_of(job, model, free - weights, device)
    parts = {"weights": weights, **training_parts(model, where)}
    kept = checkpoint_bytes(job, model, where, parts)
    parts["masters"] += lifted_more(model, where)
    if needs_copy(job):
        parts["reference"] = weights + (parts["masters"] if where == "model" else 0)
    if "offload_optimizer" in (deepspeed_settings(job) or {}).get("zero_optimization", {}):
        parts["optimizer"] = parts["masters"] = 0
    sizes = {"weights": weights, "gradients": parts["gradients"]}
    parts = shared_out(parts, layout, 2 * largest_block(model) * item_of(model))
    count = sum(p.numel() for p in model.parameters())
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    parts["logits"] = head_bytes(model, batch, item_of(model, where))
    parts["KV cache"] = cache_bytes(config, batch.drawn, item_of(model, where))
    found = activations(job, model, batch, where)
    parts["activations"] = found.kept
    parts = layout.of_model({name: size for name, size in parts.items() if size})
    most = 0 if layout.devices > 1 else found.most  # it has the gradients of all weights
    total = held(parts, o.gradient_accumulation_steps > 1, most)
    return Memory(
        parts,
        total,
        count,
        trained,
        kept,
        [said] if said else [],
        sizes,
        item_of(model, where),
        what_trains(job, model),
    )


def what_trains(job: Job, model: Any) -> str:
    """A key of `GAPS` for a job and its model with tuners."""
    if trains_whole(job):
        return WHOLE
    from swift_plugin_runtime.tuning.low_rank import QuickLinear

    layers = (module for module in model.modules() if isinstance(module, QuickLinear))
    quick = any(layer.plain_adapter(torch.empty(0, dtype=layer.base_layer.weight.dtype)) for layer in layers)
    return QUICK if quick else ADAPTERS


def in_a_process(memory: Memory) -> Memory:
    """The same for a process on a CPU: it never gives back what it held, and holds `PROCESS` and `GAPS` beside it."""
    passing = memory.parts.get("activations", 0) + memory.parts.get("logits", 0)
    gaps = int(GAPS[memory.trains][memory.item] * passing)
    parts = {**memory.parts, "process": PROCESS[memory.trains] + gaps}
    return replace(memory, parts=parts, total=sum(parts.values()))


def shared_out(parts: dict[str, int], layout: Layout, gathered: int) -> dict[str, int]:
    """What each of several replicas holds. gathered: bytes of weights that are whole for a moment under a split."""
    count, shared = layout.replicas, SPLIT[layout.split]
    own = {name: -(-size // count) if name in shared else size for name, size in parts.items()}
    return own | ({"gathered weights": gathered} if count > 1 and "weights" in shared else {})


def checkpoint_bytes(job: Job, model: Any, where: str, parts: dict[str, int]) -> int:
    """Bytes of a checkpoint: the model or what tuners train, and what a resumed run needs."""
    trained = [p for p in model.parameters() if p.requires_grad]
    file = parts["weights"] if trains_whole(job) else sum(p.numel() * p.element_size() for p in trained)
    if training_options(job).save_only_model:
        return file
    masters = 4 * sum(p.numel() for p in trained if p.dtype in HALF) if where in ("model", "optimizer") else 0
    return file + masters + parts["optimizer"]


def trains_whole(job: Job) -> bool:
    """Whether a tuner of the job trains the model's own weights."""
    return any(declared(c.component, Tuner, "trains_whole_weights") for c in job.many("tuner"))


def held(parts: dict[str, int], accumulates: bool, most: int = 0) -> int:
    """Bytes held at most at one time. accumulates: gradients of earlier batches lie there in both passes.

    most: what the backward pass holds at most, with the gradients that are there by then.
    """
    passing = ("gradients", "activations", "logits", "KV cache")
    gradients, activation, logits, cache = (parts.get(name, 0) for name in passing)
    always = sum(size for name, size in parts.items() if name not in passing)
    passing_most = max(activation + logits, most)
    return always + max(cache, gradients + passing_most if accumulates else max(gradients, passing_most))


def masters_of(job: Job, model: Any, free: float, device: torch.device) -> tuple[str, str]:
    """Where the masters are, as the trainer chooses, and the line that says so; DeepSpeed's are in its optimizer."""
    where, said = choose(job, model, max(free, 0), device)
    if where or deepspeed_settings(job) is None:
        return where, said
    return "optimizer", said


def lifted_more(model: Any, where: str) -> int:
    """What frozen 16-bit weights take more where the whole model is float32 while it trains."""
    frozen = (p for p in model.parameters() if not p.requires_grad and p.dtype in HALF)
    return 2 * sum(p.numel() for p in frozen) if where == "model" else 0


def needs_copy(job: Job) -> bool:
    """Whether a frozen copy of the model is the reference: where whole weights train."""
    method = job.one("trainer")
    asked = getattr(method, "needs_reference", False) or bool(
        declared(method, Trainer, "draws") and getattr(method, "beta", 0)
    )
    return bool(asked) and trains_whole(job)


def weight_bytes(job: Job, model: Any) -> int:
    """Bytes of the weights as they are loaded, shared ones once; linear layers in few bits under --quantizer."""
    return sum(p.numel() * p.element_size() for p in model.parameters()) - quantized_away(job, model)


def quantized_away(job: Job, model: Any) -> int:
    """Bytes that --quantizer takes from the linear layers, the head left out.

    Raises SwiftError for one whose bits are not known.
    """
    chosen = job.many("quantizer")
    if not chosen:
        return 0
    bits = getattr(chosen[0].component, "quant_bits", None)
    if bits not in SCALES:
        raise SwiftError(f"swift plan does not know how many bits --quantizer {chosen[0].entry.name} leaves a weight.")
    head = base_of(model).get_output_embeddings()
    linear = [m.weight for m in model.modules() if isinstance(m, torch.nn.Linear) and m is not head]
    frozen = [w for w in linear if not w.requires_grad]
    return int(sum(w.numel() * (w.element_size() - (bits + SCALES[bits]) / 8) for w in frozen))


def split_of(job: Job, devices: int) -> str:
    """How several devices share the work: a key of `SPLIT`."""
    settings = deepspeed_settings(job)
    stage = None if settings is None else f"zero{settings.get('zero_optimization', {}).get('stage', 0)}"
    return "ddp" if devices == 1 else "fsdp" if splits_weights(job) else stage or "ddp"


def largest_block(model: Any) -> int:
    """Parameters of the largest of the model's repeated blocks."""
    names = getattr(base_of(model), "_no_split_modules", None) or ()
    blocks = [m for m in model.modules() if type(m).__name__ in names]
    return max((sum(p.numel() for p in block.parameters()) for block in blocks), default=0)


def item_of(model: Any, where: str = "") -> int:
    """Bytes of a number that the model computes with."""
    return 4 if where == "model" else next(p for p in model.parameters() if p.is_floating_point()).element_size()


def activations(job: Job, model: Any, batch: Batch, where: str) -> Passes:
    """What the forward pass up to the head keeps for the backward pass, and what that holds at most."""
    again = training_options(job).gradient_checkpointing
    if where == "model":
        for parameter in model.parameters():
            parameter.data = parameter.data.float() if parameter.dtype in HALF else parameter.data
    found = passes(model, batch.rows, batch.length, batch.flat)
    if not again:
        return found
    text = base_of(model).config.get_text_config()
    layers, item = text.num_hidden_layers, item_of(model)
    kept = layers * batch.tokens * text.hidden_size * item + found.kept // layers
    return Passes(kept, kept)


def head_bytes(model: Any, batch: Batch, item: int) -> int:
    """Bytes of logits and their derivatives, and of the head's gradient where head and loss are one."""
    head = base_of(model).get_output_embeddings()
    if head is None:
        return 0
    entries, wide = head.weight.numel(), len(head.weight)
    if batch.logits is not None:
        return batch.logits * wide * (item + 12 if item < 4 else 12)
    most = tokens_together(wide, head.weight.requires_grad)
    together = min(batch.tokens, most) * wide * (8 if item == 4 else 10)
    gradient = entries * (item if batch.tokens <= most else 4 + item)  # several parts are added up in float32
    return together + (gradient if head.weight.requires_grad else 0)


def serving_memory(job: Job, config: Any, rows: int, length: int) -> Memory:
    """What a job that only answers holds. rows: answered together; length: tokens of prompt and answer."""
    model = shape_of(job, config)
    parts = {"weights": weight_bytes(job, model), "KV cache": cache_bytes(config, rows * length, item_of(model))}
    return Memory(parts, sum(parts.values()), sum(p.numel() for p in model.parameters()))


def cache_bytes(config: Any, tokens: int, item: int) -> int:
    """Bytes of the keys and values of `tokens` tokens in all layers, `item` bytes each number."""
    text = config.get_text_config()
    heads = text.num_attention_heads
    head = getattr(text, "head_dim", None) or text.hidden_size // heads
    keys = getattr(text, "num_key_value_heads", None) or heads
    return int(2 * text.num_hidden_layers * keys * head * tokens * item)
