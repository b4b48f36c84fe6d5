"""What tuners share that add small trained modules beside the model's own and change what those put out.

Each added module is a child of the module that it works on (its host), called `TAG_NAME`, and a forward hook of
the host calls it. So it moves, is saved and is copied with the model, and any `nn.Module` can be a host.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from swift_core import SwiftError, Unsupported, hookimpl
from swift_core.contract.components import Tuner
from swift_core.contract.job import Job
from swift_core.contract.tuning import base_modules
from swift_plugin_runtime.loading import layers
from swift_plugin_runtime.tuning import adapters, additions
from swift_plugin_runtime.tuning.additions import Addition
from swift_plugin_runtime.tuning.offload import bring_back, put_away


@dataclass(kw_only=True, eq=False)
class AddedTuner(Tuner):
    """A tuner of added modules. Subclasses give `tag` and `places`; the hooks are all here.

    It keeps beside other tuners, saves and loads its modules alone into TAG.safetensors, leaves them out of the
    forward pass on demand, and refuses to be merged. docs/beside-other-tuners.md has an example.
    """

    swift_api = 1
    capabilities = {"peft-format": Unsupported("its modules compute what no adapter of PEFT does.")}
    tag: ClassVar[str] = ""
    """A word of its own for names of modules and files."""

    def places(self, job: Job, model: Any) -> dict[str, Any]:
        """Dotted path of each host → its new module, called as `module(output, input)` and giving the new output.

        output: [batch, tokens, width], what the host put out. input: the host's first argument.
        """
        raise NotImplementedError

    @hookimpl
    def attach_tuner(self, job: Job, model: Any, name: str) -> Any:
        return self.add(job, model, name, trainable=True)

    def add(self, job: Job, model: Any, name: str, trainable: bool) -> Any:
        """The model with fresh modules at their places."""
        for path, made in self.places(job, model).items():
            add_module(model.get_submodule(path), f"{self.tag}_{name}", made, trainable)
        return model

    @hookimpl
    def save_tuner(self, job: Job, model: Any, folder: str, name: str) -> bool | None:
        from safetensors.torch import save_file

        state = {}
        for host, made in added(model, f"{self.tag}_{name}"):
            for key, value in made.state_dict().items():
                state[f"{host}.{key}"] = value.detach().cpu().contiguous().clone()
        Path(folder).mkdir(parents=True, exist_ok=True)
        save_file(state, Path(folder, f"{self.tag}.safetensors"), metadata={"format": "pt"})
        return True

    @hookimpl
    def load_tuner(self, job: Job, model: Any, folder: str, name: str, trainable: bool) -> Any:
        from safetensors.torch import load_file

        state = load_file(Path(folder, f"{self.tag}.safetensors"))
        model = self.add(job, model, name, trainable)
        for host, made in added(model, f"{self.tag}_{name}"):
            try:
                made.load_state_dict(adapters.below(state, f"{host}."))
            except RuntimeError as error:
                raise SwiftError(f"What {folder} holds for {host} does not fit this model: {error}") from None
        return model

    @hookimpl
    def merge_tuner(self, model: Any, name: str) -> Any:
        raise SwiftError(f"What --tuner {self.tag} adds is not linear, so no weight can take it in. Serve it as it is.")

    @hookimpl
    def switch_tuner(self, model: Any, name: str, active: bool, offload: str) -> bool:
        key = f"{self.tag}_{name}"
        for _, made in added(model, key):
            additions.mark(made, Addition(key, active))
        if active:
            bring_back(model, lambda path: f".{key}." in path)
        else:
            put_away(model, lambda path: f".{key}." in path, offload)
        return True


def add_module(host: Any, key: str, made: Any, trainable: bool) -> None:
    """Give `host` the child `made`, and let it change what the host puts out.

    Raises SwiftError for a host that is a list of modules.
    """
    import torch

    if isinstance(host, torch.nn.Sequential | torch.nn.ModuleList | torch.nn.ModuleDict):
        raise SwiftError(f"A {type(host).__name__} runs every child that it has; name one of the modules inside it.")
    additions.mark(made, Addition(key))
    host.add_module(key, made.requires_grad_(trainable))
    host.register_forward_hook(functools.partial(_changed, key), with_kwargs=True)


def _changed(key: str, host: Any, args: Any, kwargs: Any, output: Any) -> Any:
    """The hook. It finds the module by its key, so that a copy of the host uses its own."""
    made = getattr(host, key)
    if not additions.is_active(made):
        return output
    given = args[0] if args else next(v for k, v in kwargs.items() if k in ("hidden_states", "x", "input"))
    if isinstance(output, tuple):
        return (made(output[0], given), *output[1:])
    return made(output, given)


def added(model: Any, key: str) -> Iterator[tuple[str, Any]]:
    """(dotted path of the host in the base model, module) of each module that was added under `key`.

    Raises SwiftError where there is none.
    """
    seen = False
    for path, module in model.named_modules():
        if path.endswith(f".{key}") or path == key:
            seen = True
            yield _unwrapped(path.removesuffix(key).rstrip(".")), module
    if not seen:
        raise SwiftError(f"The model has nothing that was added as {key}.")


def hosts(
    job: Job, model: Any, pattern: str | None, inside: Callable[[Any], Iterator[tuple[str, Any]]]
) -> dict[str, Any]:
    """Path → module of those that get something: by a regex of names, else what `inside` finds in decoder blocks.

    pattern: must match a whole plain name, as the model has it where no other tuner is. SwiftError where none does.
    """
    if pattern:
        modules = {path: module for path, plain, module in _modules(model) if re.fullmatch(pattern, plain)}
        if not modules:
            raise SwiftError(
                f"{pattern!r} fits no module of {type(model).__name__}: it must match a whole dotted path."
            )
        left = adapters.outside_frozen(job, list(modules), f"The regex {pattern!r}")
        return {path: modules[path] for path in left}
    path, blocks = layers.decoder_layers(job, model)
    return {
        ".".join(filter(None, (path, str(number), below))): module
        for number, block in enumerate(blocks)
        for below, module in inside(block)
    }


def _modules(model: Any) -> Iterator[tuple[str, str, Any]]:
    """(dotted path, plain name, module) of the model's own modules, and of blocks that a tuner added as such."""
    own = {id(module): plain for plain, module in base_modules(model).items()}
    for path, module in model.named_modules():
        if (addition := additions.addition_of(module)) and not addition.closed:
            own |= {id(m): f"{_unwrapped(path)}.{name}".rstrip(".") for name, m in module.named_modules()}
    closed = additions.closed_modules(model)
    for path, module in model.named_modules():
        if id(module) in own and id(module) not in closed:
            yield path, own[id(module)], module


def _unwrapped(path: str) -> str:
    return path.removeprefix("base_model.model.").replace(".base_layer", "")


def whole_block(block: Any) -> Iterator[tuple[str, Any]]:
    """For `hosts`: the decoder block itself."""
    yield "", block


def sublayers(block: Any) -> Iterator[tuple[str, Any]]:
    """For `hosts`: the parts of a block that hold matrices, attention and MLP; none that another tuner added."""
    for name, module in block.named_children():
        if additions.addition_of(module) is None and any(
            adapters.is_linear(m) or p.dim() > 1 for m in module.modules() for p in m.parameters(recurse=False)
        ):
            yield name, module


def bottleneck(width: int, rank: int, **precision: Any) -> Any:
    """x ↦ up(GELU(down(x))), which is 0 until it learns: `up` starts at zero."""
    import torch

    made = torch.nn.Sequential(
        torch.nn.Linear(width, rank, **precision), torch.nn.GELU(), torch.nn.Linear(rank, width, **precision)
    )
    torch.nn.init.zeros_(made[2].weight)
    torch.nn.init.zeros_(made[2].bias)
    return made
