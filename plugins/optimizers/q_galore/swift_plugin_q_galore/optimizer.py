"""Q-GaLore for stored weights, AdamW for the rest; every update inside the backward pass."""

from __future__ import annotations

import functools
from itertools import chain
from typing import Any

import torch
from swift_plugin_runtime.optimizing.layerwise import Stepwise, decay

from swift_plugin_q_galore.int4 import pack, unpack
from swift_plugin_q_galore.moments import adam_direction_in_8_bits
from swift_plugin_q_galore.weights import Stored


class QGaLoreAdamW(Stepwise):
    """Matrix groups hold INT8 values, and carry `rank`, `gap` T, `scale` α, `threshold`, `queue` and `gamma`."""

    def __init__(self, groups: list[dict[str, Any]], stored: list[Stored], **defaults: Any):
        super().__init__(groups, layerwise=True, **defaults)
        for number, weight in enumerate(stored):
            weight.consume = functools.partial(self.take, weight, number)

    @torch.no_grad()
    def update(self, parameter: Any) -> None:
        """AdamW with moments in 8 bits on a weight that is not stored."""
        group, state = self.param_groups[self.place[id(parameter)]], self.state[parameter]
        state["step"] = state.get("step", 0) + 1
        decay(parameter, group)
        parameter.add_(adam_direction_in_8_bits(parameter.grad, group, state), alpha=-group["lr"])

    def load_state_dict(self, state_dict: Any) -> None:
        """torch turns all state into the type of its weight; codes and their sizes stay what they were."""
        super().load_state_dict(state_dict)
        names = chain.from_iterable(group["params"] for group in state_dict["param_groups"])
        parameters = chain.from_iterable(group["params"] for group in self.param_groups)
        for name, parameter in zip(names, parameters, strict=True):
            for key, value in state_dict["state"].get(name, {}).items():
                if key.endswith(("_codes", "_sizes")):
                    self.state[parameter][key] = value.to(parameter.device, copy=True)

    @torch.no_grad()
    def take(self, stored: Stored, number: int, gradient: torch.Tensor) -> None:
        """Change a stored weight by its gradient. number: makes the rounding of each weight another.

        gradient: [out, in], the weight's shape.
        """
        group, state = self.param_groups[self.place[id(stored.values)]], self.state[stored.values]
        state["step"] = state.get("step", 0) + 1
        tall = gradient.shape[0] >= gradient.shape[1]
        flat = gradient if tall else gradient.T  # the shorter side is projected
        if state["step"] > state.get("until", 0):
            self.renew(flat, group, state)
        basis = unpack(state["packed"], state["scales"], state["shape"])
        update = adam_direction_in_8_bits(flat @ basis, group, state) @ basis.T * group["scale"]
        weight = stored.whole() * (1 - group["lr"] * group["weight_decay"])
        weight -= group["lr"] * (update if tall else update.T)
        stored.put(weight, torch.Generator().manual_seed(state["step"] * 100_003 + number))

    def renew(self, flat: torch.Tensor, group: dict[str, Any], state: dict[str, Any]) -> None:
        """The subspace of the present gradient [long, short], in INT4; it is kept longer where it has settled."""
        rank = min(group["rank"], flat.shape[1])
        basis = torch.linalg.svd(flat, full_matrices=False)[2][:rank].T  # [short, rank]
        gap = state.get("gap", group["gap"])
        if "packed" in state:
            before = unpack(state["packed"], state["scales"], state["shape"])
            near = torch.nn.functional.cosine_similarity(before, basis, dim=0).abs().mean()
            state["cosines"] = [*state.get("cosines", []), float(near)][-group["queue"] :]
            gap = next_gap(gap, state["cosines"], group)
        state["packed"], state["scales"], state["shape"] = pack(basis)
        state["gap"], state["until"] = gap, state["step"] - 1 + gap


def next_gap(gap: int, cosines: list[float], group: dict[str, Any]) -> int:
    """Steps until the next decomposition: γ times more once the last k cosines are above the threshold on average."""
    last = cosines[-group["queue"] :]
    settled = len(last) == group["queue"] and sum(last) / len(last) >= group["threshold"]
    return int(gap * group["gamma"]) if settled else gap
