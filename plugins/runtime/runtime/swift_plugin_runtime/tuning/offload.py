"""Tuners that take part or not, by name, and where the weights of those that do not are kept."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from swift_core import SwiftError
from swift_core.contract import tuning

PLACES = ("none", "cpu", "meta")


def switch_adapter(model: Any, name: str, active: bool, offload: str) -> bool:
    """Let PEFT's adapter `name` take part or not; the other adapters stay as they are."""
    belongs = _of_adapter(name)
    if active:
        bring_back(model, belongs)
    tuner = model.base_model
    before = [] if _all_off(model) else _names(tuner.active_adapter)
    there = {*before, name} if active else {*before} - {name}
    wanted = [n for n in model.peft_config if n in there]  # the order decides how rounding falls
    if wanted:
        tuner.enable_adapter_layers()
        tuner.set_adapter(wanted, inference_mode=all(model.peft_config[n].inference_mode for n in wanted))
    else:
        tuner.disable_adapter_layers()
    if not active:
        put_away(model, belongs, offload)
    return True


def _all_off(model: Any) -> bool:
    from peft.tuners.tuners_utils import BaseTunerLayer

    return any(isinstance(module, BaseTunerLayer) and module.disable_adapters for module in model.modules())


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
    away = _away(model)
    for path, module, key in _parameters(model, belongs):
        old = module._parameters[key]
        if place == "meta":
            save_file({"value": old.detach().cpu().contiguous()}, away.file(path))
        away.homes.setdefault(path, old.device)
        _replace(module, key, old.detach().to(place), old.requires_grad)
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def bring_back(model: Any, belongs: Callable[[str], bool]) -> None:
    """Undo `put_away`."""
    from safetensors.torch import load_file

    away = _away(model)
    for path, module, key in _parameters(model, belongs):
        old = module._parameters[key]
        home = away.homes.pop(path, None)
        if home is not None:
            value = load_file(away.file(path))["value"] if old.is_meta else old.detach()
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


class Away:
    """Parameters of a model that were put away: the device of each, and a folder that lives as long as the model."""

    def __init__(self) -> None:
        self.homes: dict[str, Any] = {}
        self.folder = tempfile.TemporaryDirectory(prefix="swift-tuners-")

    def file(self, path: str) -> Path:
        """Where a parameter lies while it is on `meta`."""
        return Path(self.folder.name, f"{path}.safetensors")

    def __deepcopy__(self, memo: dict[int, Any]) -> Away:
        copied = Away()
        shutil.copytree(self.folder.name, copied.folder.name, dirs_exist_ok=True)
        copied.homes = dict(self.homes)
        return copied


def _away(model: Any) -> Away:
    return tuning.notes(model, "").setdefault("away", Away())
