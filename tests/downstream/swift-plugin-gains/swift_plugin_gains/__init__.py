"""A gain for each output channel of the chosen layers: y = (1 + g) · (W·x), with g = 0 at the start."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from swift_core import SwiftError, Unsupported, hookimpl, option
from swift_core.contract import components

WEIGHTS = "gains.safetensors"


@dataclass(kw_only=True, eq=False)
class Gains(components.Tuner):
    """Gains on the channels of chosen layers."""

    swift_api = 1
    capabilities = {"tuner": Unsupported("it replaces layers that others look for.")}

    gains_layers: str = option(r"(down_proj|o_proj)$", "Regex of the names of layers.")

    @hookimpl
    def attach_tuner(self, model: Any, name: str) -> Any:
        from swift_plugin_gains.layers import wrap

        if not wrap(model, self.gains_layers, name):
            raise SwiftError(f"No layer fits --gains_layers {self.gains_layers!r}.")
        return model

    @hookimpl
    def save_tuner(self, model: Any, folder: str, name: str) -> bool:
        from safetensors.torch import save_file

        from swift_plugin_gains.layers import gains

        Path(folder).mkdir(parents=True, exist_ok=True)
        save_file({n: m.gains[name].detach().cpu() for n, m in gains(model).items()}, Path(folder, WEIGHTS))
        return True

    @hookimpl
    def load_tuner(self, model: Any, folder: str, name: str, trainable: bool) -> Any:
        from safetensors.torch import load_file

        self.attach_tuner(model, name)
        for where, value in load_file(Path(folder, WEIGHTS)).items():
            gain = model.get_submodule(where).gains[name]
            gain.data.copy_(value)
            gain.requires_grad_(trainable)
        return model

    @hookimpl
    def merge_tuner(self, model: Any) -> Any:
        from swift_plugin_gains.layers import gains, place

        for where, module in gains(model).items():
            for gain in module.gains.values():
                module.layer.weight.data.mul_(1 + gain.data[:, None].to(module.layer.weight.dtype))
            place(model, where, module.layer)
        return model
