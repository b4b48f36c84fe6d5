"""What each tuner of a model trains: noted while tuners are attached, for those who train, save and merge it.

A model with tuners carries one `Tuning`. It knows parameters by name, and finds them by identity whenever a tuner
has wrapped what it found. Nothing here needs torch: `named_parameters`, `named_modules`, `state_dict` and
`requires_grad` are all that is asked of a model.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from swift_core.contract.errors import SwiftError
from swift_core.contract.job import Job

MARK = "swift_tuning"
"""The attribute of a model that holds its `Tuning`."""

Names = dict[str, str]
"""Name in the model as it is now → plain name: the name that it has, or would have, where no other tuner is."""


@dataclass
class Tuning:
    """What is known of the tuners of one model. A copy of the model has a copy of it, and shares the job.

    parameters, modules: the model's own, those that take part. owned: a tuner's label → its parameters. Buffers
    count as parameters. notes: a tuner's label → what it remembers. claimed, replaced: what the tuner that is being
    attached has said.
    """

    job: Job | None = None
    parameters: Names = field(default_factory=dict)
    modules: Names = field(default_factory=dict)
    owned: dict[str, Names] = field(default_factory=dict)
    notes: dict[str, dict[str, Any]] = field(default_factory=dict)
    claimed: list[Any] = field(default_factory=list)
    replaced: list[Any] = field(default_factory=list)

    def __deepcopy__(self, memo: dict[int, Any]) -> Tuning:
        owned = {label: dict(names) for label, names in self.owned.items()}
        return Tuning(self.job, dict(self.parameters), dict(self.modules), owned, copy.deepcopy(self.notes, memo))


def tuning_of(model: Any) -> Tuning:
    """The `Tuning` that the model carries; an empty one where it has no tuners."""
    tuning = getattr(model, MARK, None)
    return tuning if isinstance(tuning, Tuning) else Tuning()


def base_parameters(model: Any) -> dict[str, Any]:
    """Plain name → parameter, of the model's own parameters, whatever tuners are around them.

    A parameter for which an earlier tuner trains a copy takes no part, and is left out.
    """
    return _plainly(model.named_parameters(), tuning_of(model).parameters)


def base_modules(model: Any) -> dict[str, Any]:
    """Plain name → module, of the model's own modules, whatever tuners are around them. "" is the model."""
    return _plainly(model.named_modules(), tuning_of(model).modules)


def _plainly(named: Iterable[tuple[str, Any]], names: Names) -> dict[str, Any]:
    return {names[now]: value for now, value in named if now in names} if names else dict(named)


def own_state(model: Any, name: str) -> dict[str, Any]:
    """Plain name → tensor on the CPU, of what the tuner `name` trains, added or claimed; its buffers are among it.

    SwiftError where no tuner of that name was attached.
    """
    owned = tuning_of(model).owned
    if name not in owned:
        raise SwiftError(f"No tuner {name!r} was attached to this model, so nothing of it can be saved.")
    state = model.state_dict()
    there = {now: plain for now, plain in owned[name].items() if now in state}  # buffers may say not to be saved
    return {plain: state[now].detach().cpu().contiguous() for now, plain in there.items()}


def owned_by_others(model: Any, name: str) -> set[str]:
    """Names in the model as it is now of the parameters that belong to other tuners than `name`."""
    return {now for label, names in tuning_of(model).owned.items() if label != name for now in names}


def claim(model: Any, parameters: Iterable[Any]) -> None:
    """Say, while a tuner is attached, that these parameters of the model's own are the tuner's, trained or not.

    Needed by a tuner that loads values into the model's own weights: where they are not to be trained, nothing
    else shows whose they are when the model is saved again.
    """
    tuning_of(model).claimed.extend(parameters)


def replace(model: Any, parameters: Iterable[Any]) -> None:
    """Say, while a tuner is attached, that copies stand in for these parameters, which take part no longer.

    Later tuners do not see them. Where an earlier tuner trains one of them, attaching ends in a SwiftError.
    """
    tuning_of(model).replaced.extend(parameters)


def notes(model: Any, name: str) -> dict[str, Any]:
    """What the tuner `name` remembers of this model: its own dict, which is copied with the model."""
    if not hasattr(model, MARK):
        setattr(model, MARK, Tuning())
    return tuning_of(model).notes.setdefault(name, {})
