"""What a program does, in numbers that no machine changes.

Matrix products by shape, passes of a model and their tokens, values copied to Python, modules imported.
"""

from __future__ import annotations

import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

Counts = Counter[tuple[str, str]]
"""(kind, detail) → how often."""

STANDARD = "python"
"""The detail of modules of Python's own library."""


@contextmanager
def counting() -> Iterator[Counts]:
    """Inside, what torch does is counted, in this thread and in those that are started meanwhile."""
    counts: Counts = Counter()
    lock = threading.Lock()

    def count(kind: str, detail: str, number: int = 1) -> None:
        with lock:
            counts[kind, detail] += number

    plain_run = threading.Thread.run

    def run(thread: threading.Thread) -> None:
        with _modes(count):
            plain_run(thread)

    with ExitStack() as stack:
        stack.callback(setattr, threading.Thread, "run", plain_run)
        threading.Thread.run = run  # type: ignore[method-assign]
        stack.enter_context(_modes(count))
        stack.enter_context(_passes(count))
        yield counts


def modules(before: set[str]) -> Counts:
    """How many modules of each package were imported that are not in `before`."""
    counts: Counts = Counter()
    for name in sys.modules.keys() - before:
        package = name.partition(".")[0]
        counts["module", STANDARD if package in sys.stdlib_module_names else package] += 1
    return counts


@contextmanager
def _modes(count: Callable[..., None]) -> Iterator[None]:
    with _copies(count), _products(count):
        yield


def _products(count: Callable[..., None]) -> Any:
    """A mode of torch that counts multiply-adds by the shapes of what is multiplied."""
    import torch
    from torch.utils._python_dispatch import TorchDispatchMode
    from torch.utils.flop_counter import flop_registry, sdpa_backward_flop_count, sdpa_flop_count

    aten = torch.ops.aten
    cost = {
        **{op: lambda out, *a, _f=formula, **k: _f(*a, **k, out_val=out) for op, formula in flop_registry.items()},
        aten._scaled_dot_product_flash_attention_for_cpu: lambda out, q, k, v, *a, **b: sdpa_flop_count(
            q.shape, k.shape, v.shape
        ),
        aten._scaled_dot_product_flash_attention_for_cpu_backward: lambda out, g, q, k, v, *a, **b: (
            sdpa_backward_flop_count(g.shape, q.shape, k.shape, v.shape)
        ),
    }

    class Products(TorchDispatchMode):
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            kwargs = kwargs or {}
            packet = func._overloadpacket
            if packet not in cost and func is not torch.ops.prim.device.default:
                with self:  # products may stand inside of what has no kernel of its own
                    made = func.decompose(*args, **kwargs)
                if made is not NotImplemented:
                    return made
            out = func(*args, **kwargs)
            if packet in cost:
                tensors = [a for a in args if isinstance(a, torch.Tensor) and a.dim() > 1]
                shapes = " ".join("x".join(map(str, a.shape)) for a in tensors)
                count("product", f"{packet.__name__.removeprefix('_')} {shapes}")
                count("multiply-adds", "", cost[packet](out, *args, **kwargs) // 2)
            elif packet is aten._local_scalar_dense:
                count("host copy", f"item in {_caller()}")
            return out

    return Products()


def _copies(count: Callable[..., None]) -> Any:
    """A mode of torch that counts whole tensors that go to Python or to the CPU, by who asks for them."""
    import torch
    from torch.overrides import TorchFunctionMode

    Tensor = torch.Tensor
    ways = {Tensor.tolist: "tolist", Tensor.numpy: "numpy", Tensor.cpu: "cpu"}

    class Copies(TorchFunctionMode):
        def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            kwargs = kwargs or {}
            if func in ways:
                count("host copy", f"{ways[func]} in {_caller()}")
            elif func is Tensor.to and "cpu" in map(str, (*args[1:2], kwargs.get("device"))):
                count("host copy", f"to cpu in {_caller()}")
            return func(*args, **kwargs)

    return Copies()


OURSELVES = ("torch", "peft", "contextlib", "threading", __name__.partition(".")[0])
"""Packages whose frames say nothing of who wanted something."""


def _caller() -> str:
    """`module:function` of the code that asks torch for something."""
    frame = sys._getframe(1)
    while frame.f_back and frame.f_globals.get("__name__", "").partition(".")[0] in OURSELVES:
        frame = frame.f_back
    return f"{frame.f_globals.get('__name__')}:{frame.f_code.co_qualname.replace('.<locals>', '')}"


@contextmanager
def _passes(count: Callable[..., None]) -> Iterator[None]:
    """Inside, calls of whole models are counted with their tokens; what a model calls inside itself is not."""
    import torch

    plain_call, inside = torch.nn.Module.__call__, threading.local()

    def call(module: Any, *args: Any, **kwargs: Any) -> Any:
        if not hasattr(type(module), "base_model_prefix") or getattr(inside, "model", False):
            return plain_call(module, *args, **kwargs)
        count("pass", f"{type(module).__name__} in {_caller()}")
        count("token", type(module).__name__, _tokens(args, kwargs))
        inside.model = True
        try:
            return plain_call(module, *args, **kwargs)
        finally:
            inside.model = False

    torch.nn.Module.__call__ = call
    try:
        yield
    finally:
        torch.nn.Module.__call__ = plain_call


def _tokens(args: tuple[Any, ...], kwargs: dict[str, Any]) -> int:
    """How many tokens a model is given, padding counted."""
    ids = kwargs.get("input_ids", args[0] if args else None)
    return int(ids.numel()) if ids is not None else int(kwargs["inputs_embeds"].shape[:-1].numel())
