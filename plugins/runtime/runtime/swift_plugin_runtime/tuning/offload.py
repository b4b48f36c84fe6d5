"""Tuners that take part or not, by name, and where the weights of those that do not are kept."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from swift_core import SwiftError
from swift_plugin_runtime.loading.layers import base_of

PLACES = ("none", "cpu", "meta")


def switch_adapter(model: Any, name: str, active: bool, offload: str) -> bool:
    """Let PEFT's adapter `name` take part or not; the other adapters stay as they are."""
    belongs = _of_adapter(name)
    if active:
        bring_back(model, belongs)
    tuner = model.base_model
    before = [] if getattr(tuner, "swift_all_off", False) else _names(tuner.active_adapter)
    there = {*before, name} if active else {*before} - {name}
    wanted = [n for n in model.peft_config if n in there]  # the order decides how rounding falls
    tuner.swift_all_off = not wanted
    if wanted:
        tuner.enable_adapter_layers()
        tuner.set_adapter(wanted, inference_mode=all(model.peft_config[n].inference_mode for n in wanted))
    else:
        tuner.disable_adapter_layers()
    if not active:
        put_away(model, belongs, offload)
    return True


def _names(active: Any) -> list[str]:
    return list(active) if isinstance(active, list | tuple) else [active]


def _of_adapter(name: str) -> Callable[[str], bool]:
    """Whether a parameter's dotted name is a weight of PEFT's adapter `name`."""
    return lambda path: f".{name}." in path or path.endswith(f".{name}")


def put_away(model: Any, belongs: Callable[[str], bool], place: str) -> None:
    """Move the parameters whose name `belongs` to the CPU, or to a file that leaves them on `meta`.

    The parameters are replaced: an optimizer that holds the old ones must be made anew.
    Raises SwiftError for a place that is not none, cpu or meta.
    """
    import torch
    from safetensors.torch import save_file

    if place not in PLACES:
        raise SwiftError(f"offload={place!r}: inactive tuners stay where they are (none), or go to cpu or meta.")
    if place == "none":
        return
    for path, module, key in _parameters(model, belongs):
        old = module._parameters[key]
        if place == "meta":
            save_file({"value": old.detach().cpu().contiguous()}, _file(model, path))
        _replace(module, key, old.detach().to(place), old.requires_grad)
        module._parameters[key].swift_home = getattr(old, "swift_home", old.device)
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def bring_back(model: Any, belongs: Callable[[str], bool]) -> None:
    """Undo `put_away`."""
    from safetensors.torch import load_file

    for path, module, key in _parameters(model, belongs):
        old = module._parameters[key]
        home = getattr(old, "swift_home", None)
        if home is not None:
            value = load_file(_file(model, path))["value"] if old.is_meta else old.detach()
            _replace(module, key, value.to(home), old.requires_grad)


def _replace(module: Any, key: str, value: Any, trains: bool) -> None:
    import torch

    module._parameters[key] = torch.nn.Parameter(value, requires_grad=trains)


def _parameters(model: Any, belongs: Callable[[str], bool]) -> Iterator[tuple[str, Any, str]]:
    """(dotted name, module, key) of each parameter that belongs."""
    for path, module in model.named_modules():
        for key in list(module._parameters):
            if module._parameters[key] is not None and belongs(f"{path}.{key}"):
                yield f"{path}.{key}", module, key


def _file(model: Any, path: str) -> Path:
    """Where a parameter lies while it is on `meta`: a temporary folder that lives as long as the model."""
    inner = base_of(model)
    if not hasattr(inner, "swift_put_away"):
        object.__setattr__(inner, "swift_put_away", tempfile.TemporaryDirectory(prefix="swift-tuners-"))
    words = path.removeprefix("base_model.model.")
    return Path(inner.swift_put_away.name, f"{words}.safetensors")
