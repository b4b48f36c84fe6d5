"""What a job says of itself before its long part: the model once it is loaded, and what a silence is spent on.

The template has a line of its own (`swift_core.templates.settle`); data, tuners and steps have theirs in the trainer,
which knows them.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from swift_core.contract.job import Job

SIZE = "parameters of the model"
"""In the memo of a job: how many parameters its model has as it was loaded, before any tuner."""

READ = "rows read"
"""In the memo of a job: how many rows its data sets gave to training."""

PATIENCE = 2.0
"""Seconds of silence after which a terminal is told what they are spent on."""


def line(name: str, text: str) -> str:
    """A fact of the job under its name; the texts stand below one another, and below the template's."""
    return f"{name + ':':<10}{text}"


def say_model(job: Job, model: Any = None) -> None:
    """Say which model the job works with, once: name and family; of a loaded one, also parameters, dtype and device.

    model: a torch model without tuners; None where another process holds it.
    """
    if SIZE in job.memo:  # loaded a second time, as a reference for instance
        return
    facts = [f"{job.options.model} (family {job.card.name})"]
    job.memo[SIZE] = None if model is None else parameters_of(model)
    if model is not None:
        facts.append(f"{amount(job.memo[SIZE])} parameters")
        facts += [
            str(value).removeprefix("torch.") for value in (_dtype(model), getattr(model, "device", None)) if value
        ]
    facts += [f"quantized by {item.label}" for item in job.many("quantizer")]
    job.say(line("Model", ", ".join(facts)))


def _dtype(model: Any) -> Any:
    """The type of most of the numbers that are neither integers nor packed ones."""
    counts: dict[Any, int] = {}
    for parameter in model.parameters():
        if parameter.is_floating_point():
            counts[parameter.dtype] = counts.get(parameter.dtype, 0) + parameter.numel()
    return max(counts, key=lambda dtype: counts[dtype], default=None)


def parameters_of(model: Any) -> int:
    """How many parameters a model without tuners has; shared ones count once, packed ones as what they stand for."""
    shared: set[int] = set()
    return sum(_own(module, shared) for module in model.modules())


def _own(module: Any, shared: set[int]) -> int:
    """Parameters of a module itself that are not in `shared`, to which they are added.

    A quantized layer packs several numbers into one, or holds them as buffers: its shape tells how many there are.
    """
    own = {name: p for name, p in module.named_parameters(recurse=False) if id(p) not in shared}
    shared.update(map(id, own.values()))
    wide, high = getattr(module, "in_features", None), getattr(module, "out_features", None)
    if isinstance(wide, int) and isinstance(high, int) and _is_packed(module, wide * high):
        bias = getattr(module, "bias", None)
        return wide * high + (0 if bias is None else size_of(bias))
    return sum(map(size_of, own.values()))


def _is_packed(module: Any, whole: int) -> bool:
    """Whether a layer with `whole` weights holds them otherwise than as a parameter of so many numbers.

    The `weight` of one that has none may be computed from buffers; that of one with layers inside is one of theirs.
    """
    weight = dict(module.named_parameters(recurse=False)).get("weight")
    return size_of(weight) != whole if weight is not None else not any(True for _ in module.children())


def size_of(parameter: Any) -> int:
    """How many numbers a parameter has, all of them where DeepSpeed keeps the parts in several processes."""
    return int(getattr(parameter, "ds_numel", parameter.numel()))


def amount(count: int) -> str:
    """A number of parameters as people write it: 960, 61.4 k, 134.5 M, 7.62 B."""
    for size, letter in ((10**9, "B"), (10**6, "M"), (10**3, "k")):
        if count >= size:
            value = count / size
            return f"{value:.{2 if value < 10 else 1}f} {letter}"
    return str(count)


@contextlib.contextmanager
def waiting(what: str) -> Iterator[None]:
    """Within the block, tell a terminal what is being done, if it takes longer than `PATIENCE`."""
    if not sys.stderr.isatty() or os.environ.get("RANK", "0") != "0":
        yield
        return
    timer = threading.Timer(PATIENCE, print, [f"{what} …"], {"file": sys.stderr, "flush": True})
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
