"""PEFT's adapters set aside, so that work on one adapter does not walk through all others.

PEFT, torch and the kernel go through every module of a model for each adapter that is added, switched or tried. With
the others out of the layers meanwhile, that is as much work for the last adapter as for the second.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any

SPECIAL = (
    "use_dora modules_to_save trainable_token_indices target_parameters layer_replication lora_bias use_qalora "
    "alora_invocation_tokens arrow_config kasa_config eva_config corda_config lora_ga_config"
).split()
"""Fields of a LoraConfig that make more of an adapter than A, B and a dropout inside the layers that it adapts."""


def is_plain(config: Any) -> bool:
    """Whether an adapter is LoRA's A and B in the layers that it adapts, and nothing anywhere else."""
    if config.peft_type != "LORA" or config.bias != "none":
        return False
    return not any(getattr(config, field, None) for field in SPECIAL)


def adapted_layers(model: Any) -> Iterator[Any]:
    """The layers that PEFT has wrapped, found without a look at the adapters in them."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    waiting = [model]
    while waiting:
        module = waiting.pop()
        if isinstance(module, BaseTunerLayer):
            yield module
            waiting += [base] if (base := getattr(module, "base_layer", None)) is not None else []
        else:
            waiting += module.children()


@contextmanager
def set_aside(model: Any, keep: Collection[str] = ()) -> Iterator[list[str]]:
    """Inside, the plain adapters of the model are out of its layers, save those to `keep`; gives their names.

    What is added meanwhile is a plain adapter, and changes no name of theirs. Whether an adapter takes part, and
    whether it requires a gradient, stays as it is.
    """
    known = getattr(model, "peft_config", {})
    gone = [name for name, config in known.items() if name not in keep and is_plain(config)]
    stay = known.keys() - gone
    held = [(layer, *place) for layer in adapted_layers(model) for place in _emptied(layer, stay)] if gone else []
    try:
        yield gone
    finally:
        for layer, key, whole in held:
            whole.update(getattr(layer, key))
            setattr(layer, key, whole)


def _emptied(layer: Any, stay: Collection[str]) -> list[tuple[str, Any]]:
    """Put dicts with nothing but the adapters that stay in the place of a layer's; gives (key, what was there)."""
    from torch.nn import ModuleDict, ParameterDict

    places = [(key, child) for key, child in layer.named_children() if isinstance(child, ModuleDict | ParameterDict)]
    places = [(key, child) for key, child in places if key != "base_layer"]
    for key, whole in places:
        setattr(layer, key, type(whole)({name: whole.pop(name) for name in stay if name in whole}))
    return places


@contextmanager
def without_adapters(model: Any) -> Iterator[None]:
    """Inside, the model answers without any of PEFT's adapters."""
    off = model.disable_adapter()
    with set_aside(model):
        off.__enter__()
    try:
        yield
    finally:
        with set_aside(model):
            off.__exit__(None, None, None)
