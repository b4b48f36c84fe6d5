"""From what the user said to a job, ready to run; every mistake is reported together."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from swift_core.catalogue.entries import Catalogue
from swift_core.contract.capability import Supported, Unsupported
from swift_core.contract.components import Component, declared
from swift_core.contract.errors import SwiftError, SwiftErrors
from swift_core.job.job import PreparedJob
from swift_core.job.lockfile import inherit
from swift_core.job.options import Given, build, fields_of, match_field, spread_namespaces, unknown
from swift_core.job.resolve import select_components
from swift_core.job.selected import Selected
from swift_core.job.specs import JobSpec, find_job


def prepare(name: str, given: Iterable[Given], catalogue: Catalogue | None = None) -> PreparedJob:
    """A job from what the user said; every mistake in it is reported together, as one SwiftErrors."""

    spec = find_job(name)
    catalogue = catalogue or Catalogue.installed()
    given = list(given)
    values, sources, rest = own_options(spec, given)
    inherit(spec, values, sources)
    mistakes: list[str] = []
    options = _attempt(mistakes, build, spec.options_class(), values, f"swift {name}")
    if options is None:
        raise SwiftErrors(mistakes)
    selected = select_components(spec, options, sources, catalogue, mistakes)
    if mistakes:
        raise SwiftErrors(mistakes)
    _instantiate(selected, rest, sources, mistakes, spec)
    if mistakes:
        raise SwiftErrors(mistakes)
    job = PreparedJob(spec, options, selected, sources, given=given)
    refuse_unsupported(job)
    return job


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


def _attempt(mistakes: list[str], function: Any, *arguments: Any) -> Any:
    try:
        return function(*arguments)
    except SwiftErrors as errors:
        mistakes += errors.mistakes
    except SwiftError as error:
        mistakes.append(str(error))
    return None


def _instantiate(
    selected: list[Selected], rest: list[Given], sources: dict[str, str], mistakes: list[str], spec: JobSpec
) -> None:
    """Give each component the options that are meant for it, and build it."""
    rest = spread_namespaces(rest, [c.label for c in selected] + [c.entry.name for c in selected])
    taken: dict[int, dict[str, Any]] = {id(c): dict(c.saved) for c in selected}
    for g in rest:
        owners = [(c, f) for c in selected if (f := _meant_for(c, g.key))]
        if not owners:
            mistakes.append(unknown(g.key, g.source, _known_keys(spec, selected)))
        elif len({c.entry.name for c, _ in owners}) > 1:
            forms = " or ".join(f"--{c.label}.{g.key}" for c, _ in owners)
            mistakes.append(f"--{g.key} belongs to several components here. Say {forms}.")
        for c, field_name in owners:
            taken[id(c)][field_name] = g.value
            sources[f"{c.label}.{field_name}"] = g.source
    for c in selected:
        if isinstance(c.component, type):
            c.component = _attempt(mistakes, build, c.component, taken[id(c)], f"{c.kind} {c.entry.name}")


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
    """Ask every component's capabilities about everything else in the job; SwiftErrors with the reasons.

    A component's own kind means another of that kind, and `Supported` by name is an exception to its kind: a
    tuner with `{"tuner": Unsupported(…), "neftune": Supported()}` stands alone, or beside neftune.
    """
    owners = [job.options, *(c.component for c in job.selected if not isinstance(c.component, type))]
    flags = {name for owner in owners for name in fields_of(type(owner)) if getattr(owner, name) is True}
    flags |= {m for c in job.many("model") for m in c.component.modality}
    mistakes = []
    for item in job.selected:
        answers = declared(item.component, Component, "capabilities")
        others = [c for c in job.selected if c is not item]
        kinds = {c.kind for c in others if not isinstance(answers.get(c.entry.name), Supported)}
        features = flags | kinds | {c.entry.name for c in others}
        for feature, answer in answers.items():
            if isinstance(answer, Unsupported) and feature in features:
                mistakes.append(f"{item.entry.title} does not support {feature}: {answer.reason}")
    if mistakes:
        raise SwiftErrors(mistakes)
