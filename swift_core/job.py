"""One job: options → chosen components → loaded → registered on the job's own hook relay.

Nothing here is global: two jobs in one process do not see each other.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pluggy

from swift_core import hookspecs
from swift_core.capability import Supported, Unsupported
from swift_core.catalogue import Catalogue, Entry
from swift_core.errors import SwiftError, SwiftErrors
from swift_core.jobs import JobSpec, find_job
from swift_core.models.index import LOCK_FILE
from swift_core.options import Given, build, fields_of, match_field, spread_namespaces, unknown
from swift_core.version import __version__

ORDER = (
    "loader dataset template bbox agent loss_scale quantizer patcher tuner optimizer trainer reward launcher "
    "backend evaluator exporter model"
).split()
"""Registration order. The last registered is asked first, so a family's own hook beats the generic one."""


@dataclass
class Chosen:
    """One component of a job.

    label: the name its user gave it, `first` in `first=lora`. why: who chose it. component: its class until
    the options are known, then its instance. saved: options it had when it wrote the checkpoint `folder`.
    adapter: the name of the `--adapters` folder that it comes from; several tuners may make one adapter.
    """

    entry: Entry
    label: str
    why: str
    component: Any = None
    folder: str | None = None
    saved: dict[str, Any] = field(default_factory=dict)
    adapter: str | None = None

    @property
    def kind(self) -> str:
        """The entry's kind."""
        return self.entry.kind


@dataclass
class Job:
    """A prepared job. `hook` calls the chosen components; `one` and `many` give them by kind.

    memo: what a part of the kernel computes once for the life of the job, under a key of its own. given: what
    the user said, from which another process can prepare the same job.
    """

    spec: JobSpec
    options: Any
    chosen: list[Chosen] = field(default_factory=list)
    sources: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    memo: dict[Any, Any] = field(default_factory=dict, repr=False)
    given: list[Given] = field(default_factory=list, repr=False)

    def __post_init__(self) -> None:
        self.chosen = _depth_first(self.chosen)
        self.relay = pluggy.PluginManager("swift_core")
        self.relay.add_hookspecs(hookspecs)
        self.hook: Any = self.relay.hook
        for item in sorted(self.chosen, key=lambda c: ORDER.index(c.kind)):
            self._register(item)

    def _register(self, item: Chosen) -> None:
        try:
            self.relay.register(item.component, name=f"{item.kind}:{item.label}")
            self.relay.check_pending()
        except pluggy.PluginValidationError as error:
            raise SwiftError(f"{item.entry.title} does not keep the contract: {error}") from None

    def many(self, kind: str) -> list[Chosen]:
        """The chosen components of a kind, in option order."""
        return [c for c in self.chosen if c.kind == kind]

    def one(self, kind: str) -> Any:
        """The component of a kind that a job has once; SwiftError where it has none."""
        found = self.many(kind)
        if not found:
            raise SwiftError(f"This job has no {kind}; say --{kind} NAME.")
        return found[0].component

    def call(self, item: Chosen, hook: str, **arguments: Any) -> Any:
        """Call one hook on one component only (kinds of which a job has several)."""
        others = [c.component for c in self.chosen if c is not item and c.component is not item.component]
        caller = self.relay.subset_hook_caller(hook, remove_plugins=others)
        return caller(job=self, **arguments)

    @property
    def card(self) -> Any:
        """The model family's card."""
        return self.one("model")

    def objection(self, feature: str) -> str | None:
        """Why a component of this job does not support a feature, in a sentence; None where none objects."""
        for item in self.chosen:
            answer = getattr(item.component, "capabilities", {}).get(feature)
            if isinstance(answer, Unsupported):
                return f"{item.entry.title} does not support {feature}: {answer.reason}"
        return None

    def lock(self) -> dict[str, Any]:
        """What made this job: components with versions, and the options that differ from their defaults."""
        return {
            "swift_core": __version__,
            "job": self.spec.name,
            "model": self.options.model,
            "model_type": next((c.entry.name for c in self.many("model")), None),
            "template": getattr(self.options, "template", None),
            "components": [
                {
                    "kind": c.kind,
                    "name": c.entry.name,
                    "label": c.label,
                    "package": c.entry.package,
                    "version": c.entry.version,
                    "options": _plain_options(c.component),
                }
                for c in self.chosen
            ],
            "options": _plain_options(self.options),
        }

    def write_lock(self, folder: str | Path) -> None:
        """Save the lock beside a checkpoint."""
        text = json.dumps(self.lock(), indent=2, ensure_ascii=False, default=str)
        Path(folder, LOCK_FILE).write_text(text + "\n", encoding="utf-8")

    def say(self, text: str) -> None:
        """A line for the user, on standard error, once per machine."""
        import os

        self.notes.append(text)
        if os.environ.get("RANK", "0") == "0":
            print(text, file=sys.stderr, flush=True)


def _depth_first(chosen: list[Chosen]) -> list[Chosen]:
    """Tuners that change the model's depth (`reshapes`) before those that name its layers by number."""
    tuners = [c for c in chosen if c.kind == "tuner"]
    ordered = iter(sorted(tuners, key=lambda c: not getattr(c.component, "reshapes", False)))
    return [next(ordered) if c.kind == "tuner" else c for c in chosen]


def _plain_options(owner: Any) -> dict[str, Any]:
    if isinstance(owner, type) or not dataclasses.is_dataclass(owner) or hasattr(owner, "name"):
        return {}  # facts of a card or a template are not options
    return {name: getattr(owner, name) for name, f in fields_of(type(owner)).items() if not f.metadata.get("secret")}


def prepare(name: str, given: Iterable[Given], catalogue: Catalogue | None = None) -> Job:
    """A job from what the user said; every mistake in it is reported together, as one SwiftErrors."""
    from swift_core.choose import choose, inherit

    spec = find_job(name)
    catalogue = catalogue or Catalogue.installed()
    given = list(given)
    values, sources, rest = _own(spec, given)
    inherit(spec, values, sources)
    mistakes: list[str] = []
    options = _attempt(mistakes, build, spec.options_class(), values, f"swift {name}")
    if options is None:
        raise SwiftErrors(mistakes)
    chosen = choose(spec, options, sources, catalogue, mistakes)
    if mistakes:
        raise SwiftErrors(mistakes)
    _instantiate(chosen, rest, sources, mistakes, spec)
    if mistakes:
        raise SwiftErrors(mistakes)
    job = Job(spec, options, chosen, sources, given=given)
    refuse_unsupported(job)
    return job


def _own(spec: JobSpec, given: Iterable[Given]) -> tuple[dict[str, Any], dict[str, str], list[Given]]:
    """The job's own values and where they came from; what is not its own is left for the components."""
    owner = spec.options_class()
    values: dict[str, Any] = dict(spec.defaults)
    sources = dict.fromkeys(values, f"swift {spec.name}")
    rest = []
    for g in given:
        field_name = match_field(owner, g.key)
        if field_name is None:
            rest.append(g)
        else:
            values[field_name], sources[field_name] = g.value, g.source
    return values, sources, rest


def _attempt(mistakes: list[str], function: Any, *arguments: Any) -> Any:
    try:
        return function(*arguments)
    except SwiftErrors as errors:
        mistakes += errors.mistakes
    except SwiftError as error:
        mistakes.append(str(error))
    return None


def _instantiate(
    chosen: list[Chosen], rest: list[Given], sources: dict[str, str], mistakes: list[str], spec: JobSpec
) -> None:
    """Give each component the options that are meant for it, and build it."""
    rest = spread_namespaces(rest, [c.label for c in chosen] + [c.entry.name for c in chosen])
    taken: dict[int, dict[str, Any]] = {id(c): dict(c.saved) for c in chosen}
    for g in rest:
        owners = [(c, f) for c in chosen if (f := _meant_for(c, g.key))]
        if not owners:
            mistakes.append(unknown(g.key, g.source, _known_keys(spec, chosen)))
        elif len({c.entry.name for c, _ in owners}) > 1:
            forms = " or ".join(f"--{c.label}.{g.key}" for c, _ in owners)
            mistakes.append(f"--{g.key} belongs to several components here. Say {forms}.")
        for c, field_name in owners:
            taken[id(c)][field_name] = g.value
            sources[f"{c.label}.{field_name}"] = g.source
    for c in chosen:
        if isinstance(c.component, type):
            c.component = _attempt(mistakes, build, c.component, taken[id(c)], f"{c.kind} {c.entry.name}")


def _meant_for(item: Chosen, key: str) -> str | None:
    if not isinstance(item.component, type):
        return None
    space, dot, inner = key.partition(".")
    if not dot:
        return match_field(item.component, key)
    if space in (item.label, item.entry.name):
        return match_field(item.component, inner, item.entry.name.replace("-", "_"))
    return None


def _known_keys(spec: JobSpec, chosen: list[Chosen]) -> list[str]:
    owners = [spec.options_class(), *(c.component for c in chosen if isinstance(c.component, type))]
    names = []
    for owner in owners:
        for name, f in fields_of(owner).items():
            names += [name, *f.metadata.get("aliases", ())]
    return names


def refuse_unsupported(job: Job) -> None:
    """Ask every component's capabilities about everything else in the job; SwiftErrors with the reasons.

    A component's own kind means another of that kind, and `Supported` by name is an exception to its kind: a
    tuner with `{"tuner": Unsupported(…), "neftune": Supported()}` stands alone, or beside neftune.
    """
    flags = {name for name, value in vars(job.options).items() if value is True}
    flags |= {m for c in job.many("model") for m in c.component.modality}
    mistakes = []
    for item in job.chosen:
        answers = getattr(item.component, "capabilities", {})
        others = [c for c in job.chosen if c is not item]
        kinds = {c.kind for c in others if not isinstance(answers.get(c.entry.name), Supported)}
        features = flags | kinds | {c.entry.name for c in others}
        for feature, answer in answers.items():
            if isinstance(answer, Unsupported) and feature in features:
                mistakes.append(f"{item.entry.title} does not support {feature}: {answer.reason}")
    if mistakes:
        raise SwiftErrors(mistakes)
