"""A model with its first layers alone, for what one layer of each kind can prove."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

from swift_core import SwiftError
from swift_plugin_runtime.loading.layers import decoder_layers

PLAIN = (bool, int, float, str, type(None))
NUMBERS = {"layer_idx"}
"""Attributes that only say which layer it is."""


@contextmanager
def shallow(model: Any) -> Iterator[list[int] | None]:
    """Inside, the model goes through no layer behind the first of the last kind.

    Layers are of one kind where their modules have the same classes, words and numbers (windows, flags), functions and
    hooks, so that they are the same code. Yields for each layer the place of the first of its kind; None where the
    model keeps all layers: the last may be of a kind of its own, weights may be split among processes, or there is no
    list of layers.
    """
    found = _layers(model)
    first = firsts(found[1]) if found else []
    if found is None or max(first) + 1 == len(first):
        yield None
        return
    path, layers = found
    parent, _, name = path.rpartition(".")
    setattr(model.get_submodule(parent), name, layers[: max(first) + 1])
    try:
        yield first
    finally:
        setattr(model.get_submodule(parent), name, layers)


def tried(model: Any, trial: Callable[[], str | None]) -> str | None:
    """What `trial` finds wrong with the model, in words: on few layers, and where it finds a fault there, on all."""
    with shallow(model) as few:
        reason = trial()
    return trial() if reason and few else reason


def firsts(layers: Any) -> list[int]:
    """For each layer the place of the first of its kind."""
    kinds = [_kind(layer) for layer in layers]
    return [kinds.index(kind) for kind in kinds]


def _layers(model: Any) -> tuple[str, Any] | None:
    if any(hasattr(p, "ds_id") or hasattr(p, "device_mesh") for p in model.parameters()):
        return None
    try:
        return decoder_layers(None, model)
    except SwiftError:
        return None


def _kind(layer: torch.nn.Module) -> list[Any]:
    return [
        (path, type(module), {name: _told(value) for name, value in vars(module).items() if name not in NUMBERS})
        for path, module in layer.named_modules()
    ]


def _told(value: Any) -> Any:
    """What an attribute tells of the code: words, numbers and functions, also in lists; of a dict, functions alone.

    PEFT keeps the names of its layers in dicts, and torch the hooks of a module.
    """
    if isinstance(value, PLAIN):
        return value
    if isinstance(value, list | tuple):
        return [_told(one) for one in value]
    if isinstance(value, dict):
        return [one.__code__ for one in value.values() if hasattr(one, "__code__")]
    return getattr(value, "__code__", type(value))
