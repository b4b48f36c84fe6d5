"""Attach, load, save and merge the tuners of a job, so that each trains, and is saved, beside the others."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

from swift_core.contract.components import Tuner, declared
from swift_core.contract.errors import SwiftError
from swift_core.contract.tuning import MARK, Names, Tuning, owned_by_others, tuning_of

if TYPE_CHECKING:
    from swift_core.contract.job import Job, Selected


def attach_tuner(job: Job, model: Any, item: Selected) -> Any:
    """The model with a new tuner, which trains. SwiftError where it would keep an earlier one from training."""
    return _add(job, model, item, "attach_tuner", trains=True)


def load_tuner(job: Job, model: Any, item: Selected, folder: str, trainable: bool) -> Any:
    """The model with the tuner that was saved in `folder`; None where this tuner saves nothing of its own."""
    given = {"folder": folder, "trainable": trainable}
    with _others_aside(job, model, item, None if trainable else folder) as aside:
        return _add(job, model, item, "load_tuner", trains=trainable, aside=aside, **given)


def _others_aside(job: Job, model: Any, item: Selected, folder: str | None) -> AbstractContextManager[Collection[str]]:
    """A context that gives the labels of tuners that are out of the model inside it."""
    context = job.call(item, "set_tuners_aside", model=model, folder=folder) if folder else None
    return nullcontext(()) if context is None else context


def save_tuner(job: Job, model: Any, item: Selected, folder: str) -> bool:
    """Let one tuner write what it trained; False where it leaves that to the whole model.

    Meanwhile the parameters of other tuners require no gradient: a tuner that saves whatever requires one saves
    its own alone.
    """
    with _frozen(model, owned_by_others(model, item.label)):
        return bool(job.call(item, "save_tuner", model=model, folder=folder, name=item.label))


def merge_tuners(job: Job, model: Any, items: Sequence[Selected]) -> Any:
    """The plain model with these tuners folded into its weights, the last attached first."""
    for item in reversed(items):
        merged = job.call(item, "merge_tuner", model=model, name=item.label)
        model = model if merged is None else merged
    vars(model).pop(MARK, None)
    return model


def check_training(job: Job, model: Any, items: Sequence[Selected]) -> None:
    """SwiftError where nothing of the model trains, or nothing of one of these tuners of the job.

    A tuner that trains nothing beside others, by intention, says `trains_nothing = True`.
    """
    training = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    if not training:
        raise SwiftError("Nothing would be trained: every parameter is frozen. Check --tuner and the freeze flags.")
    for item in items:
        idle = not training & set(tuning_of(model).owned.get(item.label, ()))
        if idle and not declared(item.component, Tuner, "trains_nothing"):
            others = " and ".join(_title(other) for other in job.many("tuner") if other is not item)
            raise SwiftError(
                f"{_title(item)} trains nothing beside {others}: every parameter that requires a gradient is another "
                "tuner's. Name the tuners in another order, or leave one out. (A tuner sets requires_grad of what it "
                "trains; one that trains nothing by intention says `trains_nothing = True`.)"
            )


def _add(
    job: Job, model: Any, item: Selected, hook: str, trains: bool, aside: Collection[str] = (), **arguments: Any
) -> Any:
    """Call a hook that adds a tuner, and note what it did. None where the hook gave no model."""
    before = _Before(model, _begun(model), aside)
    tuned = job.call(item, hook, model=model, name=item.label, **arguments)
    if tuned is None:
        return None
    setattr(tuned, MARK, before.tuning)
    before.compare(tuned, item.label)
    if trains:
        before.refuse_losses(job, item)
    return tuned


def _begun(model: Any) -> Tuning:
    """The model's `Tuning`. It begins with every parameter frozen: each tuner sets requires_grad of what it trains."""
    tuning = tuning_of(model)
    if not tuning.modules:
        tuning.parameters = {name: name for name, _ in _tensors(model)}
        tuning.modules = {name: name for name, _ in model.named_modules()}
        setattr(model, MARK, tuning)
        for parameter in model.parameters():
            parameter.requires_grad_(False)
    tuning.claimed, tuning.replaced = [], []
    return tuning


class _Before:
    """A model before a tuner is attached, to be compared with the model after it by the identity of its parts.

    aside: labels of tuners that are out of the model meanwhile, and keep their names.
    """

    def __init__(self, model: Any, tuning: Tuning, aside: Collection[str]):
        self.tuning, self.aside = tuning, aside
        self.parameters = dict(_tensors(model))
        self.modules = dict(model.named_modules())
        self.training = {id(p) for p in self.parameters.values() if p.requires_grad}
        self.lost: dict[str, list[str]] = {}

    def compare(self, tuned: Any, label: str) -> None:
        """Bring all names up to date, let earlier tuners train as before, and note what is the tuner `label`'s own."""
        tuning = self.tuning
        replaced = {id(p) for p in tuning.replaced}
        parameters = {id(p): (name, p) for name, p in _tensors(tuned)}
        there = {key: name for key, (name, _) in parameters.items() if key not in replaced}
        modules = {id(m): name for name, m in tuned.named_modules() if not _holds(m, replaced)}
        earlier = {other: names for other, names in tuning.owned.items() if other not in self.aside}
        for other, names in earlier.items():
            tuning.owned[other], self.lost[other] = _renamed(names, self.parameters, there)
        tuning.parameters, _ = _renamed(tuning.parameters, self.parameters, there)
        tuning.modules, _ = _renamed(tuning.modules, self.modules, modules)
        taken = {name for other in earlier for name in tuning.owned[other]}
        for key, name in there.items():
            if name in taken:
                parameters[key][1].requires_grad_(key in self.training)
        kept = {id(p) for p in self.parameters.values()} - {id(p) for p in tuning.claimed}
        own = [n for key, (n, p) in parameters.items() if n not in taken and (p.requires_grad or key not in kept)]
        tuning.owned[label] = {name: _plain(name, tuning) for name in own}

    def refuse_losses(self, job: Job, item: Selected) -> None:
        """SwiftError where the new tuner put something else in the place of what an earlier one trains."""
        for label, names in self.lost.items():
            trained = [name for name in names if id(self.parameters[name]) in self.training]
            if trained:
                earlier = next((_title(other) for other in job.many("tuner") if other.label == label), f"tuner {label}")
                more = f" and {len(trained) - 1} more" if len(trained) > 1 else ""
                raise SwiftError(
                    f"{_title(item)} takes the place of what {earlier} trains, which would then train in vain: "
                    f"{trained[0]}{more}. Name {_title(item)} first, or leave one of them out."
                )


def _tensors(model: Any) -> Iterator[tuple[str, Any]]:
    """(dotted name, tensor) of the parameters of a model and of its buffers, which belong to tuners as well."""
    yield from model.named_parameters()
    yield from model.named_buffers()


def _renamed(names: Names, before: dict[str, Any], now: dict[int, str]) -> tuple[Names, list[str]]:
    """(the names of the same things in the model as it is now, old names of those that take part no longer)."""
    kept = {now[id(before[old])]: plain for old, plain in names.items() if old in before and id(before[old]) in now}
    return kept, [old for old in names if old in before and id(before[old]) not in now]


def _holds(module: Any, replaced: set[int]) -> bool:
    return bool(replaced) and any(id(p) in replaced for p in module.parameters(recurse=False))


def _plain(name: str, tuning: Tuning) -> str:
    """The plain name of a parameter: the model's own, or that of the innermost module of the model around it."""
    if name in tuning.parameters:
        return tuning.parameters[name]
    outer = name
    while outer not in tuning.modules and outer:
        outer = outer.rpartition(".")[0]
    return ".".join(filter(None, (tuning.modules.get(outer, outer), name[len(outer) :].lstrip("."))))


def _title(item: Selected) -> str:
    """How an error names a tuner: `b (mine)`."""
    return f"tuner {item.label} ({item.entry.name})"


@contextmanager
def _frozen(model: Any, names: set[str]) -> Iterator[None]:
    """Inside, the parameters of these names require no gradient."""
    parameters = [p for name, p in model.named_parameters() if name in names and p.requires_grad]
    for parameter in parameters:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in parameters:
            parameter.requires_grad_(True)
