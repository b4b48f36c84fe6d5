"""LLaMA-Pro: new decoder blocks that start as the identity, and only they train (Wu et al., arXiv 2401.02415).

A pre-norm block adds what its attention and its MLP put out to the residual stream. A copy of a block whose two
output projections are zero adds nothing, so the deeper model answers exactly as before until it learns.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from swift_plugin_runtime.loading import layers
from swift_plugin_runtime.tuning import additions
from swift_plugin_runtime.tuning.additions import Addition

from swift_core import SwiftError, Unsupported, hookimpl, option
from swift_core.contract import tuning
from swift_core.contract.components import Tuner
from swift_core.contract.job import Job

WEIGHTS = "llamapro.safetensors"
SETTINGS = "llamapro.json"

OUTPUTS = (
    *("o_proj", "out_proj", "c_proj", "dense", "wo"),
    *("down_proj", "dense_4h_to_h", "output_linear", "fc2", "fc_out", "w2"),
)
"""Names of the projections that write to the residual stream; of several in one module the first counts."""


@dataclass(kw_only=True, eq=False)
class LlamaPro(Tuner):
    """Adds copies of decoder blocks that start as the identity, spread evenly; only they train."""

    swift_api = 1
    reshapes = True
    capabilities = {
        "quantizer": Unsupported("its new blocks are copies of the model's own, and those must train."),
        "peft-format": Unsupported("it adds whole blocks, which PEFT has no adapter for: --merge_lora true."),
    }

    num_new_blocks: int = option(
        4,
        "N: groups of layers of equal size; behind each of them one block is added (P = 1).",
        ge=1,
        aliases=("llamapro_new_blocks",),
        symbol="N",
    )
    output_modules: list[str] = option([], "Projections that end attention and MLP, where they have unusual names.")

    @hookimpl
    def attach_tuner(self, job: Job, model: Any, name: str) -> Any:
        count = len(decoder_layers(job, model)[1])
        if self.num_new_blocks > count:
            raise SwiftError(
                f"--num_new_blocks {self.num_new_blocks}: the model has {count} layers to put them behind."
            )
        behind = [round((i + 1) * count / self.num_new_blocks) - 1 for i in range(self.num_new_blocks)]
        return self.expand(job, model, behind, name, trainable=True)

    def expand(self, job: Job, model: Any, behind: list[int], name: str, trainable: bool) -> Any:
        """The model with an identity block behind each of the layers `behind`."""
        path, layers = decoder_layers(job, model)
        model.set_submodule(path, type(layers)(self.interleaved(layers, behind, name, trainable)))
        _renumber(model.get_submodule(path))
        _deepen(model.config.get_text_config(), len(layers), behind)
        return model

    def interleaved(self, layers: Any, behind: list[int], name: str, trainable: bool) -> Iterator[Any]:
        """The old layers in order, each of `behind` followed by its copy."""
        for number, layer in enumerate(layers):
            yield layer
            if number in behind:
                block = copy.deepcopy(layer, configs_of(layer))
                for output in output_parameters(block, tuple(self.output_modules) or OUTPUTS):
                    output.data.zero_()
                additions.mark(block, Addition(f"llamapro_{name}", closed=False))
                block.register_forward_hook(_passing_by, with_kwargs=True)
                yield block.requires_grad_(trainable)

    @hookimpl
    def save_tuner(self, model: Any, folder: str, name: str) -> bool:
        from safetensors.torch import save_file

        layers, blocks = new_blocks(model, name)
        state: dict[str, Any] = {}
        own = tuning.own_state(model, name)
        for number, path, _ in blocks:
            state |= {f"{number}.{key}": value for key, value in _below(own, path.removeprefix("base_model.model."))}
        Path(folder).mkdir(parents=True, exist_ok=True)
        save_file(state, Path(folder, WEIGHTS), metadata={"format": "pt"})
        behind = [number - 1 - place for place, (number, _, _) in enumerate(blocks)]
        settings = {"layers": layers - len(blocks), "behind": behind}
        Path(folder, SETTINGS).write_text(json.dumps(settings) + "\n", encoding="utf-8")
        return True

    @hookimpl
    def load_tuner(self, job: Job, model: Any, folder: str, name: str, trainable: bool) -> Any:
        from safetensors.torch import load_file

        settings = json.loads(Path(folder, SETTINGS).read_text(encoding="utf-8"))
        count = len(decoder_layers(job, model)[1])
        if count != settings["layers"]:
            raise SwiftError(f"{folder} was trained on a model of {settings['layers']} layers; this one has {count}.")
        model = self.expand(job, model, settings["behind"], name, trainable)
        state = load_file(Path(folder, WEIGHTS))
        for number, _, block in new_blocks(model, name)[1]:
            saved = dict(_below(state, str(number)))
            lacking = [key for key, _ in block.named_parameters() if key not in saved]
            try:
                strange = [*lacking, *block.load_state_dict(saved, strict=False).unexpected_keys]
            except RuntimeError as error:
                strange = [str(error)]
            if strange:
                raise SwiftError(f"The blocks in {folder} do not fit this model: {strange[0]}")
        return model

    @hookimpl
    def merge_tuner(self, model: Any) -> Any:
        return model  # the deeper model is a plain one

    @hookimpl
    def switch_tuner(self, model: Any, name: str, active: bool, offload: str) -> bool:
        """A block that does not take part passes on what it was given."""
        if not active and offload != "none":
            raise SwiftError("LLaMA-Pro's blocks still fill their place in the cache, so they stay where they are.")
        for _, _, block in new_blocks(model, name)[1]:
            additions.mark(block, Addition(f"llamapro_{name}", active, closed=False))
        return True


def configs_of(block: Any) -> dict[int, Any]:
    """For `deepcopy`: a new block shares the model's configuration, where its attention is chosen and changed."""
    held = [module.config for module in block.modules() if hasattr(module, "config")]
    return {id(config): config for config in held}


def _passing_by(block: Any, args: Any, kwargs: Any, output: Any) -> Any:
    """The hook of a new block: what it was given, where it is switched off."""
    if additions.is_active(block):
        return output
    given = args[0] if args else kwargs["hidden_states"]
    return (given, *output[1:]) if isinstance(output, tuple) else given


def decoder_layers(job: Job, model: Any) -> tuple[str, Any]:
    """(dotted path, list) of the decoder blocks of the language model.

    Raises SwiftError where the model has adapters of PEFT.
    """
    if hasattr(model, "base_model") and hasattr(model.base_model, "tuner_layer_cls"):
        raise SwiftError("LLaMA-Pro changes the depth of a model, so it cannot follow adapters: merge them first.")
    return layers.decoder_layers(job, model)


def output_parameters(block: Any, names: tuple[str, ...]) -> list[Any]:
    """Weights and biases of the projections that end the block's attention and its MLP.

    Raises SwiftError where a part of the block holds matrices but none of the names.
    """
    parts: dict[str, list[tuple[list[str], Any]]] = {}
    for path, parameter in block.named_parameters():
        words = path.split(".")
        parts.setdefault(words[0] if len(words) > 2 else "", []).append((words, parameter))
    return [
        p for part, held in parts.items() if any(p.dim() > 1 for _, p in held) for p in _ends(block, part, held, names)
    ]


def _ends(block: Any, part: str, held: list[tuple[list[str], Any]], names: tuple[str, ...]) -> list[Any]:
    for name in names:
        parameters = [parameter for words, parameter in held if name in words]
        if parameters:
            return parameters
    raise SwiftError(
        f"{type(block).__name__}{'.' + part if part else ''}: which projection writes its output? None is called "
        f"{', '.join(names)}. Name it: --output_modules."
    )


def _renumber(layers: Any) -> None:
    """Attention finds its place in the key-value cache by its layer's index."""
    for number, layer in enumerate(layers):
        for module in layer.modules():
            if hasattr(module, "layer_idx"):
                module.layer_idx = number


def _deepen(config: Any, count: int, behind: list[int]) -> None:
    """Layers counted anew in the config; lists with one value per layer (layer_types …) grow with them."""
    order = [i for i in range(count) for _ in range(1 + (i in behind))]
    for key, value in list(vars(config).items()):
        if isinstance(value, list) and len(value) == count:
            setattr(config, key, [value[i] for i in order])
    config.num_hidden_layers = len(order)


def new_blocks(model: Any, name: str) -> tuple[int, list[tuple[int, str, Any]]]:
    """(number of all layers, (index, dotted path, block) of each block that was added under `name`)."""
    key = f"llamapro_{name}"
    blocks = [(path, m) for path, m in model.named_modules() if (a := additions.addition_of(m)) and a.key == key]
    parent = model.get_submodule(blocks[0][0].rpartition(".")[0])
    return len(parent), [(int(path.rpartition(".")[2]), path, block) for path, block in blocks]


def _below(state: dict[str, Any], path: str) -> Iterator[tuple[str, Any]]:
    for key, value in state.items():
        if key.startswith(f"{path}."):
            yield key[len(path) + 1 :], value
