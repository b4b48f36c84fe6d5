"""The adapters of a served model by name, and which of them may answer in one batch."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from swift_core import SwiftError
from swift_core.contract.engine import Request
from swift_core.contract.job import Job
from swift_core.jobs.steps import adapters_by_name

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
        self.mixes = bool(self.labels) and not self.fixed and all(map(_mixes, map(known.get, self._all())))
        if self.fixed and len(self.labels) > 1:
            raise SwiftError("One of the adapters changes the model's layers for good; serve one at a time, or merge.")

    def _all(self) -> list[str]:
        return [label for labels in self.labels.values() for label in labels]

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
            with self.model.disable_adapter():
                yield {}
        else:
            labels = self.labels[names[0]]
            self.model.base_model.set_adapter(labels, inference_mode=True)
            yield {}


def _mixes(config: Any) -> bool:
    """Whether PEFT can apply this adapter to single rows of a batch: plain LoRA, and nothing else."""
    return config.peft_type == "LORA" and not (
        config.use_dora or config.modules_to_save or config.trainable_token_indices
    )
