"""Whether media that a batch brings reach the model: some forwards take any argument and silently drop it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from swift_core import SwiftError
from swift_core.contract.job import Job
from swift_plugin_runtime.encoding.multimodal import MEDIA_KEYS

KEYS = tuple(dict.fromkeys(key for keys in MEDIA_KEYS.values() for key in keys))


def media_in(inputs: Any) -> list[str]:
    """The media tensors of a batch, or of the batches in it."""
    if not isinstance(inputs, dict):
        return []
    present = [key for key in KEYS if inputs.get(key) is not None]
    return present or [key for value in inputs.values() for key in media_in(value)]


@contextmanager
def reaching(job: Job, model: Any, keys: list[str]) -> Iterator[None]:
    """A context in which one of the family's towers must run; SwiftError at its end where none did.

    keys: the media tensors of the batch. Families whose card names no tower are taken at their word.
    """
    modules = job.card.modules
    prefixes = modules.vision_tower + modules.audio_tower
    towers = [m for name, m in model.named_modules() if any(_names(name, prefix) for prefix in prefixes)]
    ran: list[Any] = []
    hooks = [tower.register_forward_pre_hook(lambda module, _: ran.append(module)) for tower in towers]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
    if towers and not ran:
        raise SwiftError(
            f"{job.options.model!r} was given {', '.join(keys)} and never looked at them: {' or '.join(prefixes)} did "
            "not run. The model's forward drops them, so training would learn to answer without them."
        )


def _names(name: str, prefix: str) -> bool:
    """Whether a module is the one called `prefix`, also inside a wrapper."""
    return name == prefix or name.endswith(f".{prefix}")
