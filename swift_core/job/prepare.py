"""From what the user said to a job, ready to run; every mistake is reported together."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from swift_core.catalogue.entries import Catalogue
from swift_core.contract.capability import Supported, Unsupported
from swift_core.contract.components import Component, Parallel, Quantizer, Tuner, declared
from swift_core.contract.errors import SwiftErrors, attempt
from swift_core.job.job import PreparedJob
from swift_core.job.lockfile import INHERITED, inherit
from swift_core.job.options import (
    Given,
    build,
    build_most,
    fields_of,
    follow_others,
    match_field,
    read_files,
    spread_namespaces,
    unknown,
)
from swift_core.job.other_words import said_here
from swift_core.job.processes import asked_by_environment, explained
from swift_core.job.resolve import Selection, select_components
from swift_core.job.selected import Selected
from swift_core.job.specs import JobSpec, find_job
from swift_core.job.strategies import choose_by_options, leave_out_inactive


def prepare(
    name: str, given: Iterable[Given], catalogue: Catalogue | None = None, mistakes: Iterable[str] = ()
) -> PreparedJob:
    """A job from what the user said; every mistake in it is reported together, as one SwiftErrors.

    mistakes: what was found before, where the words were read, to be reported with the rest.
    """
    spec = find_job(name)
    catalogue = catalogue or Catalogue.installed()
    given, found = list(given), list(mistakes)
    asked = asked_by_environment(spec, given, catalogue)
    given += asked
    values, sources, rest = own_options(spec, given)
    read = read_files(spec.options_class(), values, sources, found)
    wrong = set() if attempt(found, _inherited, spec, values, sources) else {*INHERITED}
    options, more = build_most(spec.options_class(), values, f"swift {name}", found)
    if options is None:
        raise SwiftErrors(found)
    wrong |= more
    follow_others(options, sources)
    attempt(found, choose_by_options, options, rest, catalogue)
    chosen = select_components(spec, options, sources, catalogue, found, wrong)
    _instantiate(chosen, rest, sources, found, spec, catalogue)
    leave_out_inactive(chosen.components)
    if not chosen.lacking and not wrong:
        found += objections(options, chosen.components)
    if found:
        raise SwiftErrors([*found, *_needed(spec, options, wrong)])
    job = PreparedJob(spec, options, chosen.components, sources, given=given)
    for text in [*read, *([explained(asked)] if asked else [])]:
        job.say(text)
    return job


def _inherited(spec: JobSpec, values: dict[str, Any], sources: dict[str, str]) -> bool:
    inherit(spec, values, sources)
    return True


def _needed(spec: JobSpec, options: Any, wrong: set[str]) -> list[str]:
    """What the job asks for when it begins and nobody has said: told early where it is refused anyway."""
    left_out = [name for name in spec.needs if not getattr(options, name) and name not in wrong]
    return [f"swift {spec.name} needs --{name}." for name in left_out]


def own_options(spec: JobSpec, given: Iterable[Given]) -> tuple[dict[str, Any], dict[str, str], list[Given]]:
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


def _instantiate(
    chosen: Selection,
    rest: list[Given],
    sources: dict[str, str],
    mistakes: list[str],
    spec: JobSpec,
    catalogue: Catalogue,
) -> None:
    """Give each component the options that are meant for it, and build it; None where a value is wrong."""
    selected = chosen.components
    rest = spread_namespaces(rest, [c.label for c in selected] + [c.entry.name for c in selected])
    taken: dict[int, dict[str, Any]] = {id(c): dict(c.saved) for c in selected}
    for g in rest:
        owners = [(c, f) for c in selected if (f := _meant_for(c, g.key))]
        if not owners:
            mistakes += _unknown(g, chosen, _known_keys(spec, selected), catalogue)
        elif len({c.entry.name for c, _ in owners}) > 1:
            forms = " or ".join(f"--{c.label}.{g.key}" for c, _ in owners)
            mistakes.append(f"--{g.key} belongs to several components here. Say {forms}.")
        for c, field_name in owners:
            taken[id(c)][field_name] = g.value
            sources[f"{c.label}.{field_name}"] = g.source
    for c in selected:
        if isinstance(c.component, type):
            c.component = attempt(mistakes, build, c.component, taken[id(c)], f"{c.kind} {c.entry.name}")
            if c.component is None:
                chosen.lacking.add(c.kind)


def _unknown(given: Given, chosen: Selection, known: list[str], catalogue: Catalogue) -> list[str]:
    """The message for a key that no part of the job takes; none where it may be of a component that is lacking."""
    if said_here(given.key, known):
        return [unknown(given.key, given.source, known)]
    if chosen.lacking and (chosen.foreign or isinstance(given.value, dict)):
        return []  # a map holds the options of a component
    if chosen.lacking and _is_of(given.key, chosen.lacking, catalogue):
        return []
    return [unknown(given.key, given.source, known)]


def _is_of(key: str, kinds: set[str], catalogue: Catalogue) -> bool:
    """Whether an installed component of one of the kinds takes the key."""
    key = key.rpartition(".")[2]
    entries = [e for kind in kinds for e in catalogue.of_kind(kind)]
    owners = (attempt([], entry.load) for entry in entries)
    return any(isinstance(owner, type) and match_field(owner, key) for owner in owners)


def _meant_for(item: Selected, key: str) -> str | None:
    if not isinstance(item.component, type):
        return None
    space, dot, inner = key.partition(".")
    if not dot:
        return match_field(item.component, key)
    if space in (item.label, item.entry.name):
        return match_field(item.component, inner, item.entry.name.replace("-", "_"))
    return None


def _known_keys(spec: JobSpec, selected: list[Selected]) -> list[str]:
    owners = [spec.options_class(), *(c.component for c in selected if isinstance(c.component, type))]
    names = []
    for owner in owners:
        for name, f in fields_of(owner).items():
            names += [name, *f.metadata.get("aliases", ())]
    return names


def refuse_unsupported(job: PreparedJob) -> None:
    """SwiftErrors with the reasons for which the components of a job do not go together."""
    mistakes = objections(job.options, job.selected)
    if mistakes:
        raise SwiftErrors(mistakes)


def objections(options: Any, selected: list[Selected]) -> list[str]:
    """Why components do not go together: every one's capabilities are asked about everything else in the job.

    A component's own kind means another of that kind, and `Supported` by name is an exception to its kind: a
    tuner with `{"tuner": Unsupported(…), "neftune": Supported()}` stands alone, or beside neftune. A strategy has
    the limits of those in its `limits_of` as well.
    """
    owners = [options, *(c.component for c in selected if not isinstance(c.component, type))]
    flags = {name for owner in owners for name in fields_of(type(owner)) if getattr(owner, name) is True}
    flags |= {m for c in selected if c.kind == "model" for m in c.component.modality}
    mistakes = []
    for item in selected:
        answers = declared(item.component, Component, "capabilities")
        others = [c for c in selected if c is not item]
        kinds = {c.kind for c in others if not isinstance(answers.get(c.entry.name), Supported)}
        features = {name: name for name in (*flags, *kinds, *(c.entry.name for c in others))}
        shared = {limit: c.entry.name for c in others for limit in declared(c.component, Parallel, "limits_of")}
        features = {limit: f"{name} (as {limit})" for limit, name in shared.items()} | features
        for feature, answer in answers.items():
            if isinstance(answer, Unsupported) and feature in features:
                mistakes.append(f"{item.entry.title} does not support {features[feature]}: {answer.reason}")
    return mistakes + _untrainable(selected)


def _untrainable(selected: list[Selected]) -> list[str]:
    """Why no adapter trains on a job's quantized weights."""
    of_kind = {kind: [c for c in selected if c.kind == kind] for kind in ("trainer", "tuner", "quantizer")}
    adapters = [c for c in of_kind["tuner"] if not declared(c.component, Tuner, "trains_whole_weights")]
    if not (adapters and of_kind["trainer"]):
        return []
    stages = [(c.entry.title, declared(c.component, Quantizer, "stages").get("QLoRA")) for c in of_kind["quantizer"]]
    return [f"{title} trains no adapters: {stage.reason}" for title, stage in stages if isinstance(stage, Unsupported)]
