"""What `swift list` and `swift show` say, as plain data. Imports no plugin unless it is shown, nor Typer.

`swift --help` shows what each plugin's command says of itself, so commands are imported when the list is made anew.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.util
import json
from typing import Any

from swift_core.catalogue import metadata_cache
from swift_core.catalogue.card_cache import cards_of, published, recipes, sources
from swift_core.catalogue.conformance import FILE, recorded
from swift_core.catalogue.entries import Catalogue, Entry, summary_of
from swift_core.contract.capability import describe
from swift_core.contract.cards import Family
from swift_core.contract.components import Component, declared
from swift_core.contract.errors import SwiftError
from swift_core.contract.kinds import KINDS
from swift_core.job.specs import JOBS

COMMANDS = {
    "list": "List installed components.",
    "show": "Show one component, or with `show data FILE` what rows become and what of them trains.",
    "doctor": "Check everything installed: imports, API versions, double names, requirements.",
    "explain": "Print what a job would do: each component, package, file, option and its source. Runs nothing.",
    "recipes": "Whole jobs by name: list, show and run them.",
    "new": "Write a complete plugin: pyproject, module, contract test and README.",
    "env": "Isolated environments of backends, quantizers and evaluators.",
}
"""The kernel's own commands besides the jobs, with their one-line help."""


def digest() -> str:
    """All that `quick` may be asked for, as lines of key, tab, JSON, each after a line break; remembered if sound."""
    catalogue = Catalogue.installed()
    rows = list_rows(catalogue)
    brief = [{k: v for k, v in row.items() if k != "checkpoints"} for row in rows]
    lines = [("commands", commands(catalogue)), ("rows", rows), ("brief", brief)]
    lines += [(f"kind {word}", kind.name) for kind in KINDS.values() for word in kind.words()]
    lines += _model_lines(catalogue)
    text = "".join(f"\n{key}\t{json.dumps(value, ensure_ascii=False, default=str)}" for key, value in lines)
    if not any(row.get("fault") for row in rows):
        files = {*catalogue.files, *sources(catalogue.of_kind("model")), str(FILE)}
        files |= {str(facts["file"]) for _, facts in published(catalogue)}
        metadata_cache.write("digest", text + "\n", sorted(files), catalogue.begun)
    return text + "\n"


def _model_lines(catalogue: Catalogue) -> list[tuple[str, Any]]:
    """What there is to show of each model, and whose each checkpoint is; where two claim one name, nothing."""
    shown: dict[str, list[Any]] = {}
    for entry, card in cards_of(catalogue):
        shown.setdefault(f"model {entry.name}", []).append(_model_facts(catalogue, entry, card))
        for key in {f"id {i.lower()}" for point in card.listed() for i in (point.modelscope, point.huggingface)}:
            shown.setdefault(key, []).append(entry.name)
    return [(key, values[0]) for key, values in shown.items() if len(values) == 1]


def commands(catalogue: Catalogue) -> list[list[str]]:
    """Name and one-line help of every command: the kernel's own, the jobs, and those of plugins."""
    jobs = [[spec.name, spec.summary] for spec in JOBS.values()]
    plugins = [[e.name, help_of(e)] for e in catalogue.of_kind("command")]
    return [*([n, h] for n, h in COMMANDS.items()), *jobs, *plugins]


def help_of(entry: Entry) -> str:
    """The first line of what a plugin's command says of itself; its distribution's summary where it says nothing.

    That summary also stands for a command that cannot be loaded: `swift doctor` tells why.
    """
    with contextlib.suppress(SwiftError):
        app = entry.load()
        function = getattr(app.registered_callback, "callback", None)
        texts = (app.info.help, function and function.__doc__)
        return next((text.strip().split("\n", 1)[0] for text in texts if isinstance(text, str)), entry.summary)
    return entry.summary


def list_rows(catalogue: Catalogue, kind: str = "") -> list[dict[str, Any]]:
    """One row per component; a model's has its card's facts, or its fault where it cannot be loaded."""
    entries = catalogue.of_kind(kind) if kind else catalogue.entries
    cards = dict(cards_of(catalogue)) if any(e.kind == "model" for e in entries) else {}
    data = dict(published(catalogue)) if any(e.kind == "dataset" for e in entries) else {}
    if any(e.kind == "recipe" for e in entries):
        jobs = dict(recipes(catalogue))
        data |= {e: jobs.get(e) or {"fault": _fault(e)} for e in entries if e.kind == "recipe"}
    return [_row(e, cards.get(e)) | _more(data.get(e, {})) for e in entries]


def _more(facts: dict[str, Any]) -> dict[str, Any]:
    """What a list says of a published data set or a recipe, beside what it says of every component."""
    return {k: list(v) if isinstance(v, tuple) else v for k, v in facts.items() if k != "file"}


def benchmark_rows() -> list[dict[str, Any]]:
    """One row per benchmark and evaluator that measures it by name."""
    from swift_core.evaluation.benchmarks import all_benchmarks

    facts = ("name", "modality", "title", "evaluator")
    return [{name: getattr(b, name) for name in facts} for known in all_benchmarks().values() for b in known.values()]


def _row(entry: Entry, card: Family | None) -> dict[str, Any]:
    row = {k: getattr(entry, k) for k in ("kind", "name", "package", "version", "summary")}
    if entry.kind != "model":
        return row
    if card is None:
        return {**row, "fault": _fault(entry), "checkpoints": [], "modality": [], "template": "", "level": ""}
    facts = {"modality": list(card.modality), "template": card.template, "level": level(card)}
    return {**row, "checkpoints": [vars(p) for p in card.listed()], **facts}


def _fault(entry: Entry) -> str:
    try:
        entry.load()
    except SwiftError as error:
        return str(error)
    return ""


def level(card: Family) -> str:
    """The highest level of the conformance levels that was recorded for a family."""
    return recorded().get(card.name, {}).get("level", "card")


def show_facts(catalogue: Catalogue, kind: str, name: str) -> dict[str, Any]:
    """Everything there is to say about one component. A model may be named by a checkpoint's id."""
    if kind == "model":
        entry = _by_checkpoint(catalogue, name) or catalogue.find("model", name)
        return _model_facts(catalogue, entry, dict(cards_of(catalogue)).get(entry) or entry.load())
    entry = (_by_data_id(catalogue, name) if kind == "dataset" else None) or catalogue.find(kind, name)
    component = entry.load()
    facts = _common(entry, summary_of(component) or entry.summary, _source(component, entry), _hooks(component, kind))
    facts["capabilities"] = {k: describe(v) for k, v in declared(component, Component, "capabilities").items()}
    if isinstance(component, type):
        from swift_core.job.options import describe_options

        facts["options"] = [dataclasses.asdict(o) for o in describe_options(component)]
    elif dataclasses.is_dataclass(component):
        facts["file"] = getattr(component, "file", "") or facts["file"]
        facts["facts"] = _fields(component, ("capabilities", "name", "summary", "file", "text"))
    return facts


def _model_facts(catalogue: Catalogue, entry: Entry, card: Family) -> dict[str, Any]:
    """A family from what is remembered of its card."""
    result = recorded().get(card.name, {})
    return {
        **_common(entry, card.summary or entry.summary, _file(entry), catalogue.facts[entry.target]["hooks"]),
        "capabilities": {k: describe(v) for k, v in card.capabilities.items()},
        "card": _fields(card, ("checkpoints", "capabilities", "modules", "name", "summary")),
        "modules": {k: list(v) for k, v in vars(card.modules).items() if v},
        "level": level(card),
        "proof": {k: v for k, v in result.items() if k != "level"},
        "checkpoints": [vars(p) for p in card.listed()],
    }


def _by_checkpoint(catalogue: Catalogue, name: str) -> Entry | None:
    if "/" not in name:
        return None
    from swift_core.job.family_lookup import find_family

    return find_family(catalogue, name).entry


def _by_data_id(catalogue: Catalogue, name: str) -> Entry | None:
    """The published data set with this id on a hub."""
    ids = ((e, (f["modelscope"].lower(), f["huggingface"].lower())) for e, f in published(catalogue))
    return next((e for e, pair in ids if "/" in name and name.lower() in pair), None)


def _common(entry: Entry, summary: str, file: str, hooks: list[str]) -> dict[str, Any]:
    package = f"{entry.package} {entry.version}"
    return {
        "kind": entry.kind,
        "name": entry.name,
        "summary": summary,
        "package": package,
        "file": file,
        "hooks": hooks,
    }


def _hooks(component: Any, kind: str) -> list[str]:
    owner = component if isinstance(component, type) else type(component)
    return [h for h in KINDS[kind].hooks if hasattr(getattr(owner, h, None), "swift_core_impl")]


def _fields(component: Any, skipped: tuple[str, ...]) -> dict[str, Any]:
    named = {f.name: getattr(component, f.name) for f in dataclasses.fields(component) if f.name not in skipped}
    return {name: _plain(value, component) for name, value in named.items()}


def _plain(value: Any, owner: Any) -> Any:
    """A declaration inside another one as its values that are set, and are not the owner's own."""
    if isinstance(value, dict):
        return {key: _plain(item, owner) for key, item in value.items()}
    if not dataclasses.is_dataclass(value) or isinstance(value, type):
        return value
    beside = owner if type(owner) is type(value) else None
    said = {f.name: (getattr(value, f.name), _default(f)) for f in dataclasses.fields(value) if f.repr}
    return {n: _plain(v, value) for n, (v, d) in said.items() if v != d and (beside is None or v != getattr(beside, n))}


def _default(field: dataclasses.Field[Any]) -> Any:
    return field.default if field.default_factory is dataclasses.MISSING else field.default_factory()


def _source(component: Any, entry: Entry) -> str:
    import inspect

    if not isinstance(component, type):
        return _file(entry)
    try:
        return f"{inspect.getsourcefile(component)}:{inspect.getsourcelines(component)[1]}"
    except (OSError, TypeError):
        return ""


def _file(entry: Entry) -> str:
    spec = importlib.util.find_spec(entry.target.partition(":")[0])
    return str(spec.origin) if spec else ""
