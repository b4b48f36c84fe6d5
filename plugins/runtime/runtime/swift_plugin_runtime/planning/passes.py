"""What a forward and a backward pass hold, without memory behind them.

Torch goes through both passes with tensors that have shapes and types alone. A storage counts from the operator that
makes it until nobody holds it any more, so that short-lived tensors count where they are alive.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from swift_plugin_runtime.batching.attention import Segments, segment_attention
from swift_plugin_runtime.loading.layers import base_of

PLANNED = "swift_plan"
"""Name of the attention of flat batches while they are planned."""


@dataclass(frozen=True)
class Passes:
    """Bytes beside the weights. kept: alive when the forward pass has come to the head.

    most: alive at most at one time of the backward pass, with the gradients that are there by then.
    """

    kept: int
    most: int


class Alive(TorchDispatchMode):
    """Counts the bytes of the storages that operators make, while they live. aside: storages that do not count."""

    def __init__(self, aside: Iterable[torch.Tensor]):
        super().__init__()
        self.now = self.most = 0
        self._known = {tensor.untyped_storage()._cdata for tensor in aside}

    def __torch_dispatch__(self, operator: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = operator(*args, **(kwargs or {}))
        for leaf in tree_leaves(made):
            if isinstance(leaf, torch.Tensor):
                self._count(leaf.untyped_storage())
        return made

    def _count(self, storage: Any) -> None:
        if storage._cdata in self._known:
            return
        self._known.add(storage._cdata)
        self.now += storage.nbytes()
        self.most = max(self.most, self.now)
        weakref.finalize(storage, self._freed, storage._cdata, storage.nbytes())

    def _freed(self, address: int, size: int) -> None:
        self._known.discard(address)
        self.now -= size


def passes(model: Any, rows: int, tokens: int, flat: bool = False) -> Passes:
    """What the passes of [rows, tokens] ids hold up to the head; beyond it, `most` has the head's gradient alone.

    flat: the rows lie end to end, each attending to itself. The model is lost to anything else.
    """
    from torch._subclasses.fake_tensor import FakeTensorMode

    base = base_of(model)
    if flat and base.config.get_text_config()._attn_implementation == "sdpa":
        _attend_by_rows(base, rows, tokens)
    with FakeTensorMode():
        _without_memory(model)
        ids = torch.zeros((1, rows * tokens) if flat else (rows, tokens), dtype=torch.long)
        with Alive([*model.parameters(), *model.buffers()]) as alive:
            told = base.train().base_model(input_ids=ids, use_cache=False)[0]
            kept = alive.most = alive.now
            if told.requires_grad:
                told.backward(torch.empty_like(told))
            return Passes(kept, alive.most + _gradient_of_head(base))


def _gradient_of_head(base: Any) -> int:
    head = base.get_output_embeddings()
    trains = head is not None and head.weight.requires_grad
    return int(head.weight.numel() * head.weight.element_size()) if trains else 0


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
