"""How many devices share a model and a batch, what they send each other in a step, and how long a pipeline stands idle.

Volumes are those of ring collectives (Thakur et al. 2005), of ZeRO (arXiv 1910.02054), and of Megatron-LM's tensor and
pipeline parallelism (arXiv 1909.08053, 2104.04473). Nothing of what is sent is taken to overlap with computing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from swift_core import SwiftError

SPLIT = {
    "ddp": (),
    "zero0": (),
    "zero1": ("masters", "optimizer"),
    "zero2": ("masters", "optimizer", "gradients"),
    "zero3": ("masters", "optimizer", "gradients", "weights"),
    "fsdp": ("masters", "optimizer", "gradients", "weights"),
}
"""How replicas share the work → the parts of which each holds a share alone."""

EACH_LAYER = 4
"""All-reduces of a layer's activations under tensor parallelism: after attention and MLP, forward and backward."""

BY_TENSOR = ("logits", "activations")
"""Parts of the memory that a pipeline does not make smaller: its first stage has a micro-batch under way for each."""

BY_BOTH = ("weights", "masters", "gradients", "optimizer", "reference", "KV cache", "gathered weights")
"""Parts that both splits of the model make smaller."""


@dataclass(frozen=True)
class Layout:
    """devices: all. tensor: those that share each layer. pipeline: those that share the layers, one after the other.

    interleave: parts of the layers that each device of a pipeline holds. split: how replicas share what they hold, a
    key of `SPLIT`. Raises SwiftError for numbers that do not fit together.
    """

    devices: int = 1
    tensor: int = 1
    pipeline: int = 1
    interleave: int = 1
    split: str = "ddp"

    def __post_init__(self) -> None:
        if self.devices % (self.tensor * self.pipeline):
            raise SwiftError(
                f"--devices {self.devices} cannot be shared by --tensor {self.tensor} × --pipeline {self.pipeline}."
            )

    @property
    def replicas(self) -> int:
        """Devices that hold the same part of the model, each with rows of its own."""
        return self.devices // (self.tensor * self.pipeline)

    def bubble(self, batches: int) -> float:
        """Share of a step that a device waits for its neighbours, with so many micro-batches a step."""
        idle = (self.pipeline - 1) / (self.interleave * batches)
        return idle / (1 + idle)

    def of_model(self, parts: dict[str, int]) -> dict[str, int]:
        """Parts of the memory as one device of a split model holds them."""
        both = self.tensor * self.pipeline
        factors = dict.fromkeys(BY_BOTH, both) | dict.fromkeys(BY_TENSOR, self.tensor)
        return {name: -(-size // factors.get(name, 1)) for name, size in parts.items()}


@dataclass(frozen=True)
class Traffic:
    """Bytes that a device sends in a step: for replicas, for layers split among devices, between stages."""

    replicas: int
    tensor: int
    pipeline: int

    @property
    def total(self) -> int:
        """All of them."""
        return self.replicas + self.tensor + self.pipeline


def traffic(layout: Layout, sizes: dict[str, int], text: Any, tokens: int, item: int, batches: int) -> Traffic:
    """What a device sends in a step of `batches` micro-batches of `tokens` tokens.

    sizes: bytes of `weights` and `gradients` of the whole model. text: its config. item: bytes of an activation.
    """
    states = tokens * text.hidden_size * item
    around = 2 * _ring(layout.tensor)
    layers = EACH_LAYER * text.num_hidden_layers / layout.pipeline
    between = 2 * layout.interleave * states if layout.pipeline > 1 else 0
    return Traffic(
        int(_of_replicas(layout, sizes, batches)),
        int(batches * layers * around * states),
        batches * between // layout.tensor,
    )


def _of_replicas(layout: Layout, sizes: dict[str, int], batches: int) -> float:
    """Gradients are summed once a step; weights that are split are gathered for each pass of each micro-batch."""
    part = layout.tensor * layout.pipeline
    weights, gradients = sizes["weights"] / part, sizes["gradients"] / part
    if "weights" in SPLIT[layout.split]:
        return _ring(layout.replicas) * batches * (2 * weights + gradients)
    return 2 * _ring(layout.replicas) * gradients


def _ring(count: int) -> float:
    """Share of a tensor that each of `count` devices sends to gather it, or to sum it in parts."""
    return (count - 1) / count
