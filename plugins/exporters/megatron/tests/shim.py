"""Megatron-Core's device calls answered with the CPU. For tests alone: it proves map, schedules and losses, no speed.

Megatron-Core asks for CUDA by name. Here that name means the CPU, and its generators of random numbers, which dropout
alone would need, are left out. `import shim` comes before any other.
"""

from __future__ import annotations

import contextlib
import functools
from typing import Any

import torch


def _on_cpu(function: Any) -> Any:
    @functools.wraps(function)
    def call(*arguments: Any, **named: Any) -> Any:
        if str(named.get("device", "")).startswith("cuda"):
            named["device"] = "cpu"
        named.pop("pin_memory", None)  # for a copy to a GPU
        return function(*arguments, **named)

    return call


class Stream:
    """The one order in which a CPU works."""

    def wait_stream(self, *_: Any) -> None: ...

    def synchronize(self) -> None: ...

    def record_event(self, *_: Any) -> Stream:
        return self


STREAM = Stream()

for name in ("zeros", "ones", "empty", "tensor", "arange", "full", "empty_like", "zeros_like"):
    setattr(torch, name, _on_cpu(getattr(torch, name)))

torch.cuda.current_device = lambda: torch.device("cpu")
torch.cuda.synchronize = lambda *_: None
torch.cuda.manual_seed = lambda *_: None
torch.cuda.stream = lambda *_, **__: contextlib.nullcontext()
torch.cuda.current_stream = torch.cuda.default_stream = lambda *_, **__: STREAM
torch.cuda.Stream = lambda *_, **__: STREAM
torch.Tensor.cuda = lambda self, *_, **__: self

dealt = torch.distributed.all_to_all_single


def _dealt(*arguments: Any, **named: Any) -> Any:
    """The numbers of rows that go to each process are copied off the device first; here they are there already."""
    splits = {k: [int(n) for n in v] for k, v in named.items() if k.endswith("split_sizes") and v is not None}
    return dealt(*arguments, **{**named, **splits})


torch.distributed.all_to_all_single = _dealt

kind = torch.Tensor.type
torch.Tensor.type = lambda self, *arguments, **named: (
    kind(self, *arguments, **named) if arguments or named else kind(self).replace("torch.", "torch.cuda.")
)

import megatron.core.tensor_parallel.random as generators  # noqa: E402

generators.CudaRNGStatesTracker.fork = lambda *_, **__: contextlib.nullcontext()
generators.CudaRNGStatesTracker.add = lambda *_, **__: None
