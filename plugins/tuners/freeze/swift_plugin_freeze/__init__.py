"""Freeze-tuning: chosen weights of the model train, the others stay as they are."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from swift_plugin_runtime.tuning.adapters import outside_frozen, train_unfrozen

from swift_core import Supported, SwiftError, Unsupported, hookimpl, option
from swift_core.contract.components import Tuner
from swift_core.contract.job import Job


@dataclass(kw_only=True, eq=False)
class Freeze(Tuner):
    """Trains part of the weights: by part of the model, by share from the bottom up, by prefix or by regex."""

    swift_api = 1
    trains_whole_weights = True
    capabilities = {
        "quantizer": Unsupported("quantized weights have no gradient; train an adapter on them: --tuner lora."),
        "tuner": Unsupported("it decides for every weight whether it trains; add modules: --tuner adapter."),
        "neftune": Supported("noise on the embeddings changes no weight."),
    }

    freeze_parameters_ratio: float = option(
        0.0, "Share of the parameters that is frozen, from the embeddings upwards.", ge=0, le=1, symbol=""
    )
    freeze_parameters: list[str] = option([], "Frozen: names that begin so, for instance model.layers.0.")
    freeze_parameters_regex: str | None = option(None, "Frozen: names in which this regex is found.")
    trainable_parameters: list[str] = option(
        [], "Trained all the same, save in parts that a freeze flag keeps: names that begin so."
    )
    trainable_parameters_regex: str | None = option(
        None, "Trained all the same, save in parts that a freeze flag keeps: names in which this regex is found."
    )

    @hookimpl
    def attach_tuner(self, job: Job, model: Any) -> Any:
        train_unfrozen(job, model)
        names = [name for name, _ in model.named_parameters()]
        self.refuse_typing_errors(names)
        again = [n for n in names if named(n, self.trainable_parameters, self.trainable_parameters_regex)]
        unfrozen = set(outside_frozen(job, again, "--trainable_parameters"))
        low = set(self.bottom(model))
        for name, parameter in model.named_parameters():
            if name in low or named(name, self.freeze_parameters, self.freeze_parameters_regex):
                parameter.requires_grad_(False)
            if name in unfrozen:
                parameter.requires_grad_(True)
        return model

    def bottom(self, model: Any) -> Iterator[str]:
        """Names of the first parameters, in the order of the model, until they make the share asked for."""
        total = sum(p.numel() for p in model.parameters())
        seen = 0
        for name, parameter in model.named_parameters():
            seen += parameter.numel()
            if seen <= self.freeze_parameters_ratio * total:
                yield name

    def refuse_typing_errors(self, names: list[str]) -> None:
        """SwiftError for a prefix or regex that fits no parameter."""
        prefixes = [*self.freeze_parameters, *self.trainable_parameters]
        regexes = [r for r in (self.freeze_parameters_regex, self.trainable_parameters_regex) if r]
        for word, wanted in [(p, ([p], None)) for p in prefixes] + [(r, ([], r)) for r in regexes]:
            if not any(named(name, *wanted) for name in names):
                raise SwiftError(f"{word!r} fits no parameter of the model; they are called like {names[-1]}.")


def named(name: str, prefixes: list[str], regex: str | None) -> bool:
    """Whether a parameter's name begins with one of `prefixes`, or holds `regex`."""
    return name.startswith(tuple(prefixes)) or bool(regex and re.search(regex, name))
