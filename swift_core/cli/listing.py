"""What `swift list` and `swift show` print. Nothing here imports a plugin unless it is shown, nor Typer."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
from typing import Any

from swift_core.capability import describe
from swift_core.catalogue import Catalogue, Entry, summary_of
from swift_core.errors import SwiftError
from swift_core.kinds import KINDS, find_kind
from swift_core.models.card import Checkpoint, Family
from swift_core.models.recall import cards_of
from swift_core.testing.results import recorded


def print_list(kind: str = "", search: str = "", as_json: bool = False) -> None:
    """A table, or JSON, of the installed components of one kind or of all, that hold the text `search`."""
    rows = list_rows(Catalogue.installed(), kind)
    if search:
        rows = [r for r in rows if search.lower() in json.dumps(r, ensure_ascii=False).lower()]
    print(json.dumps(rows, ensure_ascii=False, indent=1) if as_json else _table(rows))


def list_rows(catalogue: Catalogue, kind: str = "") -> list[dict[str, Any]]:
    """One row per component; a model's has its card's facts, or its fault where it cannot be loaded."""
    entries = catalogue.of_kind(kind) if kind else catalogue.entries
    cards = dict(cards_of(catalogue)) if any(e.kind == "model" for e in entries) else {}
    return [_row(e, cards.get(e)) for e in entries]


def _row(entry: Entry, card: Family | None) -> dict[str, Any]:
    row = {k: getattr(entry, k) for k in ("kind", "name", "package", "version", "summary")}
    if entry.kind != "model":
        return row
    if card is None:
        return {**row, "fault": _fault(entry), "checkpoints": [], "modality": [], "template": "", "rung": ""}
    facts = {"modality": list(card.modality), "template": card.template, "rung": rung(card)}
    return {**row, "checkpoints": [vars(p) for p in card.listed()], **facts}


def _fault(entry: Entry) -> str:
    try:
        entry.load()
    except SwiftError as error:
        return str(error)
    return ""


def rung(card: Family) -> str:
    """The highest rung of the conformance ladder that was recorded for a family."""
    found: str = recorded().get(card.name, {}).get("rung", "card")
    return found


def _table(rows: list[dict[str, Any]]) -> str:
    """Columns as wide as their widest cell; what models read and their rung where there are models."""
    models = [r for r in rows if "rung" in r]
    names = ["kind", "name", *(["rung", "reads"] if models else []), "package", "version", "summary"]
    for row in models:
        row["reads"] = " ".join(row["modality"])
        row["summary"] = row.get("fault") or row["summary"]
    lines = [[n.upper() for n in names], *([str(r.get(n, "")) for n in names] for r in rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(names))]
    text = ["  ".join(cell.ljust(w) for cell, w in zip(line, widths, strict=True)).rstrip() for line in lines]
    return "\n".join([*text, f"{len(rows)} components of {len({r['kind'] for r in rows})} kinds"])


def print_show(kind: str, name: str, as_json: bool = False) -> None:
    """One component: facts, capabilities, options, package and file. A model may be named by a checkpoint's id."""
    facts = show_facts(Catalogue.installed(), find_kind(kind).name, name)
    if as_json:
        print(json.dumps(facts, ensure_ascii=False, indent=1, default=str))
        return
    for key, value in facts.items():
        print("\n".join(_fact_lines(key, value)))


def show_facts(catalogue: Catalogue, kind: str, name: str) -> dict[str, Any]:
    """Everything there is to say about one component."""
    if kind == "model":
        return _model_facts(catalogue, name)
    entry = catalogue.find(kind, name)
    found = entry.load()
    facts = _common(entry, summary_of(found) or entry.summary, _source(found, entry), _hooks(found, kind))
    facts["capabilities"] = {k: describe(v) for k, v in getattr(found, "capabilities", {}).items()}
    if isinstance(found, type):
        from swift_core.options import describe_options

        facts["options"] = [dataclasses.asdict(o) for o in describe_options(found)]
    elif dataclasses.is_dataclass(found):
        facts["facts"] = _fields(found, ("capabilities", "name", "summary"))
    return facts


def _model_facts(catalogue: Catalogue, name: str) -> dict[str, Any]:
    """A family from what is remembered of its card; one that is not gets loaded, and its fault comes up."""
    entry = _by_checkpoint(catalogue, name) or catalogue.find("model", name)
    card: Family = dict(cards_of(catalogue)).get(entry) or entry.load()
    result = recorded().get(card.name, {})
    return {
        **_common(entry, card.summary or entry.summary, _file(entry), catalogue.facts[entry.target]["hooks"]),
        "capabilities": {k: describe(v) for k, v in card.capabilities.items()},
        "card": _fields(card, ("checkpoints", "capabilities", "modules", "name", "summary")),
        "modules": {k: list(v) for k, v in vars(card.modules).items() if v},
        "rung": rung(card),
        "proof": {k: v for k, v in result.items() if k != "rung"},
        "checkpoints": [vars(p) for p in card.listed()],
    }


def _by_checkpoint(catalogue: Catalogue, name: str) -> Entry | None:
    if "/" not in name:
        return None
    from swift_core.models.index import find_family

    return find_family(catalogue, name).entry


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


def _hooks(found: Any, kind: str) -> list[str]:
    owner = found if isinstance(found, type) else type(found)
    return [h for h in KINDS[kind].hooks if hasattr(getattr(owner, h, None), "swift_core_impl")]


def _fields(found: Any, skipped: tuple[str, ...]) -> dict[str, Any]:
    return {f.name: getattr(found, f.name) for f in dataclasses.fields(found) if f.name not in skipped}


def _source(found: Any, entry: Entry) -> str:
    import inspect

    if not isinstance(found, type):
        return _file(entry)
    try:
        return f"{inspect.getsourcefile(found)}:{inspect.getsourcelines(found)[1]}"
    except (OSError, TypeError):
        return ""


def _file(entry: Entry) -> str:
    spec = importlib.util.find_spec(entry.target.partition(":")[0])
    return str(spec.origin) if spec else ""


def _fact_lines(key: str, value: Any) -> list[str]:
    if key == "options":
        return ["options:", *(_option_line(o) for o in value)]
    if key == "checkpoints":
        return [f"checkpoints: {len(value)}", *(_checkpoint_line(Checkpoint(**p)) for p in value)]
    if isinstance(value, dict):
        said = {name: item for name, item in value.items() if item not in ("", (), [], {})}
        return [f"{key}:" if said else f"{key}: none", *(f"  {name}: {_short(item)}" for name, item in said.items())]
    return [f"{key}: {_short(value)}"]


def _short(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _option_line(o: dict[str, Any]) -> str:
    default = "required" if o["required"] else f"default {o['default']!r}"
    return f"  --{o['name']} ({o['type']}, {default})  {o['help']}"


def _checkpoint_line(p: Checkpoint) -> str:
    return f"  {p.modelscope or '-'}  {p.huggingface or '-'}  ({p.template})"
