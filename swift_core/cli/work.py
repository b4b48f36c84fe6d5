"""The commands that do or explain work: one per job, and `explain`."""

from __future__ import annotations

import contextlib
import copy
import inspect
import os
import textwrap
from collections.abc import Iterable
from typing import Any

from swift_core.catalogue import metadata_cache
from swift_core.catalogue.card_cache import sources
from swift_core.catalogue.entries import Catalogue
from swift_core.catalogue.venv_making import CONSENT
from swift_core.cli import printing
from swift_core.cli.mesh import mesh_lines
from swift_core.contract.errors import SwiftError, SwiftErrors, attempt
from swift_core.contract.kinds import KINDS
from swift_core.job.job import PreparedJob
from swift_core.job.lockfile import inherit
from swift_core.job.options import (
    Given,
    OptionInfo,
    build,
    describe_options,
    fields_of,
    handed_over,
    read_config,
    split_arguments,
)
from swift_core.job.prepare import own_options, prepare
from swift_core.job.resolve import select_components
from swift_core.job.specs import JobSpec, find_job

YES = "yes"
"""A word of every job on the command line: an isolated environment is made without a question."""


def run_job(name: str, *words: str, given: Iterable[Given] = ()) -> None:
    """`swift NAME WORDS`: do the work, or print the options where the words ask for help.

    given: values from elsewhere, over which job files and the command line win.
    """
    if "--help" in words or "-h" in words:
        print_help(name, [w for w in words if w not in ("--help", "-h")])
        return
    prepared(name, list(words), given).run()


def prepared(name: str, words: list[str], given: Iterable[Given] = ()) -> PreparedJob:
    """The job that the words ask for, on top of what is given.

    Raises SwiftErrors with every mistake in them and in the job files.
    """
    said, mistakes = _said(words)
    if any(g.key == YES and g.value is True for g in split_arguments(words)[0]):
        os.environ[CONSENT] = "1"  # also for the processes that the job starts
    return prepare(name, [*given, *said], mistakes=mistakes)


def given_by(words: list[str]) -> list[Given]:
    """What the user said: the job file of `--config` first, then the command line, which wins.

    Raises SwiftErrors for words that are no options, and for job files that cannot be read.
    """
    given, mistakes = _said(words)
    if mistakes:
        raise SwiftErrors(mistakes)
    return given


def _said(words: list[str]) -> tuple[list[Given], list[str]]:
    """(what the user said, what is wrong with how it is said)."""
    said, mistakes = split_arguments(words)
    from_files: list[Given] = []
    for g in said:
        if g.key == YES and g.value is not True:
            mistakes.append(f"--yes takes no value, not {g.value!r}.")
        if g.key == "config":
            for file in g.value if isinstance(g.value, list) else [g.value]:
                from_files += attempt(mistakes, _read_config, file) or []
    return [*from_files, *handed_over(), *(g for g in said if g.key not in (YES, "config"))], mistakes


def _read_config(file: str | bool) -> list[Given]:
    if isinstance(file, bool):
        raise SwiftError("--config needs a job file: --config job.yaml")
    return read_config(file)


def print_help(name: str, words: list[str]) -> None:
    """Every option of the job, and of the components that the words on the command line name.

    Without such words it is remembered: `quick` prints it the next time.
    """
    spec, catalogue = find_job(name), Catalogue.installed()
    named = _named_components(spec, words, catalogue)
    text = "\n".join(_help_lines(spec, named))
    print(text)
    if not words and all(item.component for item in named):
        metadata_cache.write(printing.help_key(name), text, sorted(sources(catalogue.entries)), catalogue.begun)


def _help_lines(spec: JobSpec, named: list[Any]) -> list[str]:
    lines = [f"swift {spec.name}: {spec.summary}", "", "  --config FILE"]
    lines += ["      A YAML file of options; the command line wins over it.", "  --yes"]
    lines += ["      Make a missing isolated environment without a question, as SWIFT_YES=1 does.", ""]
    lines += _option_lines(f"Options of swift {spec.name}", spec.options_class(), spec.defaults)
    for item in named:
        if isinstance(item.component, type) and describe_options(item.component):
            lines += _option_lines(f"Options of {item.entry.title}", item.component, {})
    return lines


def _named_components(spec: JobSpec, words: list[str], catalogue: Catalogue) -> list[Any]:
    """The components that the words choose; mistakes do not matter to a help text."""
    options, said = _lenient(spec, words)
    selected = select_components(spec, options, said, catalogue, []).components
    for item in selected:
        with contextlib.suppress(SwiftError):
            item.component = item.component or item.entry.load()
    return selected


def _lenient(spec: JobSpec, words: list[str]) -> tuple[Any, dict[str, str]]:
    """The job's options and their sources; the defaults, unchecked since checking is slow, where nothing is said."""
    if words:
        with contextlib.suppress(SwiftError):
            values, sources, _ = own_options(spec, given_by(words))
            inherit(spec, values, sources)
            return build(spec.options_class(), values, f"swift {spec.name}"), sources
    return spec.options_class()(**copy.deepcopy(spec.defaults)), {}


def _option_lines(title: str, owner: type, defaults: dict[str, Any]) -> list[str]:
    """Each option on a line with its type and default, its explanation below it."""
    width, lines = printing.columns(), [title]
    for info in describe_options(owner):
        default = "required" if info.required else f"default {defaults.get(info.name, info.default)!r}"
        lines.append(f"  {_flag(info)}  ({info.type}, {default})")
        lines.append(textwrap.fill(info.help, width, initial_indent=" " * 6, subsequent_indent=" " * 6))
    return [*lines, ""]


def _flag(info: OptionInfo) -> str:
    return ", ".join(f"--{n}" for n in (info.name, *info.aliases))


def explain(words: list[str]) -> None:
    """`swift explain JOB WORDS`: what the job would do. Runs nothing.

    Raises SwiftError where no job is named, and for what the job would refuse before it loads anything.
    """
    if not words or words[0].startswith("-"):
        raise SwiftError("Which job? For instance: swift explain sft --model ID --dataset rows.jsonl")
    job = prepared(words[0], words[1:])
    job.hook.check_job(job=job)
    for line in explanation(job):
        print(line)


def explanation(job: PreparedJob) -> list[str]:
    """The resolved chain of a job as lines of text."""
    lines = [f"swift {job.spec.name}: {job.spec.summary}", "", "components"]
    for item in job.selected:
        lines.append(f"  {item.kind} {item.label}: {item.entry.package} {item.entry.version}, selected by {item.why}")
        lines.append(f"    {_place(item)}")
        lines += [f"    --{n} {v!r} ({s})" for n, v, s in _values(item.component, item.label, job)]
    lines += ["", "options"]
    lines += [f"  --{n} {v!r} ({s})" for n, v, s in _values(job.options, "", job)]
    if "launcher" in fields_of(type(job.options)):
        lines += ["", "processes", *mesh_lines(job)]
    lines += ["", "hooks, in order of the data"]
    lines += _hook_lines(job)
    return lines


def _values(owner: Any, label: str, job: PreparedJob) -> list[tuple[str, Any, str]]:
    if hasattr(owner, "name"):
        return []  # a card or a template: facts, not options
    infos = describe_options(type(owner))
    keys = [(i.name, f"{label}.{i.name}" if label else i.name) for i in infos]
    shown = {i.name: "(secret)" if i.secret else getattr(owner, i.name) for i in infos}
    return [(name, shown[name], job.sources.get(key, "default")) for name, key in keys]


def _hook_lines(job: PreparedJob) -> list[str]:
    lines = []
    for hook in dict.fromkeys(h for kind in KINDS.values() for h in kind.hooks):
        for implementation in reversed(getattr(job.hook, hook).get_hookimpls()):
            function = inspect.unwrap(implementation.function)
            lines.append(f"  {hook}: {implementation.plugin_name} {_code_place(function)}")
    return lines


def _place(item: Any) -> str:
    owner = type(item.component)
    if hasattr(item.component, "name"):
        with contextlib.suppress(ImportError, AttributeError):
            import importlib

            return str(importlib.import_module(item.entry.target.partition(":")[0]).__file__)
    return _code_place(owner)


def _code_place(thing: Any) -> str:
    try:
        return f"{inspect.getsourcefile(thing)}:{inspect.getsourcelines(thing)[1]}"
    except (OSError, TypeError):
        return "(built in)"
