"""The adapters of a served model by name, and which of them may answer in one batch."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.nn import ModuleDict

from swift_core import SwiftError
from swift_core.contract.engine import Request
from swift_core.contract.job import Job
from swift_core.jobs.steps import adapters_by_name
from swift_plugin_runtime.tuning.adapters import attach, fill
from swift_plugin_runtime.tuning.aside import adapted_layers, set_aside, without_adapters

NAME = re.compile(r"[\w-]{1,100}")
"""What an adapter may be called that is loaded while a server runs: PEFT makes it a name of modules."""

BASE = "__base__"
"""PEFT's name for "no adapter" in a batch of several."""


class Adapters:
    """The loaded adapters by name, and which of them may answer in one batch."""

    def __init__(self, job: Job, model: Any):
        adapters = {} if job.options.merge_lora else adapters_by_name(job)
        self.model = model
        self.labels = {name: [item.label for item in items] for name, items in adapters.items()}
        known = getattr(model, "peft_config", {})
        self.fixed = any(label not in known for labels in self.labels.values() for label in labels)
        self.mixes = self._mixing()
        self.mix_tokens = False
        """Whether tokens of one row may have different adapters: `mixes`, once it was tried."""
        if self.fixed and len(self.labels) > 1:
            raise SwiftError("One of the adapters changes the model's layers for good; serve one at a time, or merge.")

    def _mixing(self) -> bool:
        known = getattr(self.model, "peft_config", {})
        return bool(self.labels) and not self.fixed and all(map(_mixes, map(known.get, self._all())))

    def add(self, name: str, folder: str) -> None:
        """Load a plain LoRA adapter from a folder, while nobody calls the model; `model` may be another object then.

        Raises SwiftError for any other adapter, or one that does not fit; the model is as it was then.
        """
        import peft

        if self.fixed or not NAME.fullmatch(name):
            raise SwiftError(f"No adapter can be called {name!r} here." if not self.fixed else "The adapter that is "
                             "loaded changed the model's layers for good; no other fits beside it.")  # fmt: skip
        config = peft.PeftConfig.from_pretrained(folder)
        if not _mixes(config):
            raise SwiftError(f"The adapter {name!r} is no plain LoRA; only such are loaded while a server runs.")
        config.inference_mode = True
        with set_aside(self.model):
            wrapped = attach(self.model, config, name)
            try:
                fill(wrapped, folder, name)
            except Exception as error:
                self.model = self._without(wrapped, name)
                raise SwiftError(f"The adapter {name!r} does not fit this model: {str(error)[:300]}") from None
            self.model = wrapped.eval()
        self.labels[name] = [name]
        self.mixes = self._mixing()

    def remove(self, name: str) -> None:
        """Forget an adapter, while nobody calls the model."""
        for label in self.labels.pop(name):
            self.model = self._without(self.model, label)
        self.mixes = self._mixing()

    def _without(self, model: Any, label: str) -> Any:
        """The model without an adapter; without the last one, the plain model again."""
        if list(model.peft_config) == [label]:
            return model.unload()
        model.delete_adapter(label)
        return model

    def _all(self) -> list[str]:
        return [label for labels in self.labels.values() for label in labels]

    @property
    def take_turns(self) -> bool:
        """Whether requests for one adapter wait until those for another are answered."""
        return bool(self.labels) and not self.fixed and not self.mix_tokens

    def check(self, request: Request) -> None:
        """SwiftError where the request names an adapter that is not there, or a base model that is not whole."""
        if request.adapter is not None and request.adapter not in self.labels:
            known = f"Loaded are: {', '.join(self.labels)}." if self.labels else "None is loaded."
            raise SwiftError(f"{request.where}: there is no adapter {request.adapter!r}. {known}")
        if self.fixed and request.adapter is None:
            name = next(iter(self.labels))
            raise SwiftError(
                f"The adapter {name!r} changed the model's layers and cannot be left out; ask for {name!r}."
            )

    def groups(self, requests: list[Request]) -> list[list[int]]:
        """Places of the requests that may share a batch: all, or those of one adapter each."""
        groups: dict[str | None, list[int]] = {}
        for place, request in enumerate(requests):
            groups.setdefault(None if self.mixes else request.adapter, []).append(place)
        return list(groups.values())

    @contextmanager
    def active(self, names: list[str | None]) -> Iterator[dict[str, Any]]:
        """Extra arguments for `generate` with which row i is answered by the adapter `names[i]`."""
        if not self.labels or self.fixed:
            yield {}
        elif len(set(names)) > 1:
            yield {"adapter_names": [name or BASE for name in names]}
        elif names[0] is None:
            with without_adapters(self.model):
                yield {}
        else:
            labels = self.labels[names[0]]
            with set_aside(self.model, keep=labels):
                self.model.base_model.set_adapter(labels, inference_mode=True)
            yield {}


class TokenAdapters:
    """LoRA for each token of a row [1, tokens] by itself, at about the cost of one adapter.

    The layers of PEFT answer without an adapter; behind each of them the adapters add what they make of their tokens.
    """

    def __init__(self, model: Any, adapters: Adapters):
        self.model, self.labels = model, adapters.labels
        self.layers = [
            layer for layer in adapted_layers(model) if isinstance(getattr(layer, "lora_A", None), ModuleDict)
        ]
        self.places: dict[str, torch.Tensor | None] = {}

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Inside, calls of the model have the adapters that `of` says."""
        hooks = [layer.register_forward_hook(self._add) for layer in self.layers]
        try:
            with without_adapters(self.model):
                yield
        finally:
            for hook in hooks:
                hook.remove()

    @contextmanager
    def of(self, owners: list[tuple[str | None, int]]) -> Iterator[None]:
        """Inside, the tokens of the row have these adapters. owners: (name, how many tokens), along the row."""
        self.places = self._places(owners)
        yield

    def _places(self, owners: list[tuple[str | None, int]]) -> dict[str, torch.Tensor | None]:
        """Label → the places of its tokens in the row; None: all of them."""
        names = [name for name, count in owners for _ in range(count)]
        found: dict[str, torch.Tensor | None] = {}
        for name in filter(None, set(names)):
            own = [place for place, other in enumerate(names) if other == name]
            places = None if len(own) == len(names) else torch.tensor(own, device=self.model.device)
            found |= dict.fromkeys(self.labels[name], places)
        return found

    def _add(self, layer: Any, inputs: tuple[Any, ...], output: torch.Tensor) -> torch.Tensor:
        """The layer's output [1, tokens, out] with what each adapter adds to its tokens."""
        for label, places in self.places.items():
            if label in layer.lora_A:
                part = inputs[0] if places is None else inputs[0][:, places]
                low, high = layer.lora_A[label], layer.lora_B[label]
                added = (high(low(part.to(low.weight.dtype))) * layer.scaling[label]).to(output.dtype)
                output = output + added if places is None else output.index_add_(1, places, added)
        return output


def _mixes(config: Any) -> bool:
    """Whether PEFT can apply this adapter to single rows of a batch: plain LoRA, and nothing else."""
    return config.peft_type == "LORA" and not (
        config.use_dora or config.modules_to_save or config.trainable_token_indices
    )
