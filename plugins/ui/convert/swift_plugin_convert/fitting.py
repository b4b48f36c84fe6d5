"""Which options of a converted job somebody takes: its own, its components', or transformers' arguments.

What nobody takes, or has a value that its owner refuses, is said to have no equal, with the reason.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator
from typing import Any

from swift_core import SwiftError
from swift_core.catalogue.entries import Catalogue
from swift_core.job.options import build_most, describe_options, match_field
from swift_core.job.specs import find_job
from swift_plugin_convert.draft import Draft, Line
from swift_plugin_convert.tables import rows_of

UNKNOWN = "neither the table nor this job knows the word"
ARGUMENTS = "training_args"
PARALLEL = "parallel"
FACTS = ("model", "template", "bbox", "dataset", "recipe", "command")
"""Kinds whose components are facts, or take no options of a job."""


def fit(draft: Draft) -> None:
    """Move what nobody takes from the options of `draft` to its lost words."""
    owners = dict(_owners(draft))
    owned = {name: [o for o in owners.values() if match_field(o, name)] for name in draft.options}
    for name in [name for name, found in owned.items() if not found]:
        _unowned(name, draft)
    for title, owner in owners.items():
        _refused(title, owner, draft)
    for line in draft.lines:
        line.options = {name: draft.options[name] for name in line.options if name in draft.options}
    draft.lines = [line for line in draft.lines if line.what != "default" or line.options]


def _owners(draft: Draft) -> Iterator[tuple[str, type]]:
    """How each owner of options is called, with its class: the job, and every component that it names."""
    spec = find_job(draft.job)
    yield f"swift {spec.name}", spec.options_class()
    for kind, name in _components(draft):
        try:
            component = Catalogue.installed().find(kind, str(name)).load()
        except SwiftError as error:
            draft.unsure.append(str(error))
            continue
        if isinstance(component, type):
            yield f"{kind} {name}", component


def _components(draft: Draft) -> Iterator[tuple[str, Any]]:
    """(kind, name) of what the job has; all ways to share a step, since their options ask for them."""
    spec = find_job(draft.job)
    owner = spec.options_class()
    said = {found: value for name, value in draft.options.items() if (found := match_field(owner, name))}
    made, _ = build_most(owner, {**spec.defaults, **said}, f"swift {spec.name}", [])
    for info in describe_options(owner):
        if info.kind == PARALLEL:
            yield from ((PARALLEL, entry.name) for entry in Catalogue.installed().of_kind(PARALLEL))
        elif info.kind and info.kind not in ("model", "template", "agent", "bbox"):
            value = getattr(made, info.name, None)
            yield from ((info.kind, name) for name in (value if isinstance(value, list) else [value]) if name)


def _unowned(name: str, draft: Draft) -> None:
    """An option that nobody takes: transformers' argument, a missing component's, or lost."""
    lines = [line for line in draft.lines if name in line.options]
    value = draft.options[name]
    if draft.unsure and all(line.what == "taken" for line in lines):
        return
    del draft.options[name]
    same_word = any(line.word == name for line in lines)
    if same_word and _is_argument(name) and ARGUMENTS in _names(draft):
        draft.options[ARGUMENTS] = {**draft.options.get(ARGUMENTS, {}), name: value}
        for line in lines:
            line.options = {ARGUMENTS: None}
        return
    for line in lines:
        _lose(line, name, _why(line, name, draft))


def _names(draft: Draft) -> set[str]:
    return {info.name for _, owner in _owners(draft) for info in describe_options(owner)}


def _is_argument(name: str) -> bool:
    from swift_plugin_runtime.arguments import argument_types

    return name in argument_types()


def _why(line: Line, name: str, draft: Draft) -> str:
    if line.word != name:
        return f"nothing in this job takes --{name}"
    if rows_of(draft.table, name):
        return "this value has no equal"
    return next(
        (f"an option of {title} alone" for title, owner in _components_of_all() if match_field(owner, name)), UNKNOWN
    )


@functools.cache
def _components_of_all() -> list[tuple[str, type]]:
    """Every installed component that may have options."""
    found = []
    for entry in (entry for entry in Catalogue.installed().entries if entry.kind not in FACTS):
        with contextlib.suppress(SwiftError):  # swift doctor tells what cannot be loaded
            found.append((f"{entry.kind} {entry.name}", entry.load()))
    return [(title, owner) for title, owner in found if isinstance(owner, type)]


def _lose(line: Line, name: str, why: str) -> None:
    """Take an option from a line; one that is left with none has no equal here."""
    line.options.pop(name, None)
    if line.options or line.what != "taken":
        return
    off = line.value in (False, "false") and why != UNKNOWN
    line.what, line.why = ("needless", "off here, too") if off else ("lost", why)


def _refused(title: str, owner: type, draft: Draft) -> None:
    """Take out values that their owner does not."""
    mine = {name: found for name in draft.options if (found := match_field(owner, name))}
    mistakes: list[str] = []
    for name, found in mine.items():
        before = len(mistakes)
        _, wrong = build_most(owner, {**_required(owner), found: draft.options[name]}, title, mistakes)
        if found in wrong:
            for line in [line for line in draft.lines if name in line.options]:
                _lose(line, name, mistakes[before])
            draft.options.pop(name)


def _required(owner: type) -> dict[str, Any]:
    """Stand-ins for options without a default, so that one value can be judged alone."""
    return {info.name: "x" for info in describe_options(owner) if info.required}
