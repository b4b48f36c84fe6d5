"""`swift list`, `swift show` and `swift doctor`: what is installed, and whether it is sound."""

from __future__ import annotations

import dataclasses
import inspect
import json
from typing import Any

import typer

from swift_core.capability import describe
from swift_core.catalogue import Catalogue, Entry, summary_of
from swift_core.errors import SwiftError
from swift_core.kinds import KINDS, find_kind
from swift_core.models.card import Family
from swift_core.options import describe_options


def list_components(
    kind: str = typer.Argument("", help="A kind, singular or plural; left out: all."),
    search: str = typer.Option("", help="Only what holds this text in name, package, summary or checkpoints."),
    as_json: bool = typer.Option(False, "--json", help="A JSON list of objects."),
) -> None:
    """List installed components."""
    catalogue = Catalogue.installed()
    entries = catalogue.of_kind(kind) if kind else catalogue.entries
    rows = [describe_entry(e) for e in entries]
    rows = [r for r in rows if search.lower() in json.dumps(r, ensure_ascii=False).lower()]
    if as_json:
        print(json.dumps(rows, ensure_ascii=False, indent=1))
    else:
        _print_table(rows)


def describe_entry(entry: Entry) -> dict[str, Any]:
    """One entry as `swift list --json` gives it; models with their card's facts."""
    row = {k: getattr(entry, k) for k in ("kind", "name", "package", "version", "summary")}
    if entry.kind != "model":
        return row
    try:
        card: Family = entry.load()
    except SwiftError as error:
        return {**row, "fault": str(error), "checkpoints": [], "modality": [], "template": "", "rung": ""}
    points = [{"modelscope": p.modelscope, "huggingface": p.huggingface, "template": p.template} for p in card.listed()]
    return {
        **row,
        "checkpoints": points,
        "modality": list(card.modality),
        "template": card.template,
        "rung": rung(card),
    }


def rung(card: Family) -> str:
    """The highest rung of the conformance ladder that was recorded for a family."""
    from swift_core.testing.results import recorded

    return recorded().get(card.name, {}).get("rung", "card")


def _print_table(rows: list[dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for heading in ("kind", "name", "package", "version", "summary"):
        table.add_column(heading, overflow="fold" if heading == "summary" else "ignore", no_wrap=heading != "summary")
    for row in rows:
        table.add_row(row["kind"], row["name"], row["package"], row["version"], row["summary"])
    Console().print(table)
    print(f"{len(rows)} components of {len({r['kind'] for r in rows})} kinds")


def show(
    kind: str = typer.Argument(..., help="The component's kind."),
    name: str = typer.Argument(..., help="Its name, or name@package."),
    as_json: bool = typer.Option(False, "--json", help="A JSON object."),
) -> None:
    """Show one component: facts, capabilities, options, package and file."""
    entry = Catalogue.installed().find(find_kind(kind).name, name)
    facts = _facts(entry, entry.load())
    if as_json:
        print(json.dumps(facts, ensure_ascii=False, indent=1, default=str))
        return
    for key, value in facts.items():
        _print_fact(key, value)


def _facts(entry: Entry, found: Any) -> dict[str, Any]:
    owner = found if isinstance(found, type) else type(found)
    facts: dict[str, Any] = {
        "kind": entry.kind,
        "name": entry.name,
        "summary": summary_of(found) or entry.summary,
        "package": f"{entry.package} {entry.version}",
        "file": _file(owner if isinstance(found, type) else found, entry),
        "hooks": [h for h in KINDS[entry.kind].hooks if hasattr(getattr(owner, h, None), "swift_core_impl")],
        "capabilities": {k: describe(v) for k, v in getattr(found, "capabilities", {}).items()},
    }
    if isinstance(found, type):
        facts["options"] = [dataclasses.asdict(o) for o in describe_options(found)]
    else:
        facts["card"] = _card(found)
    if entry.kind == "model":
        facts |= {"rung": rung(found), "checkpoints": [dataclasses.asdict(p) for p in found.listed()]}
    return facts


def _card(found: Any) -> dict[str, Any]:
    if not dataclasses.is_dataclass(found):
        return {}
    skipped = ("checkpoints", "capabilities", "name", "summary")
    return {f.name: getattr(found, f.name) for f in dataclasses.fields(found) if f.name not in skipped}


def _file(found: Any, entry: Entry) -> str:
    try:
        if isinstance(found, type):
            return f"{inspect.getsourcefile(found)}:{inspect.getsourcelines(found)[1]}"
        import importlib.util

        spec = importlib.util.find_spec(entry.target.partition(":")[0])
        return str(spec.origin) if spec else ""
    except (OSError, TypeError):
        return ""


def _print_fact(key: str, value: Any) -> None:
    if isinstance(value, dict):
        print(f"{key}:" if value else f"{key}: none")
        for name, item in value.items():
            print(f"  {name}: {item}")
    elif key == "options":
        print("options:")
        for o in value:
            default = "required" if o["required"] else f"default {o['default']!r}"
            print(f"  --{o['name']} ({o['type']}, {default})  {o['help']}")
    elif key == "checkpoints":
        print(f"checkpoints: {len(value)}")
        for p in value:
            print(f"  {p['modelscope']}  {p['huggingface']}  ({p['template']})")
    else:
        print(f"{key}: {', '.join(value) if isinstance(value, list) else value}")


def doctor() -> None:
    """Check everything installed: imports, API versions, double names, requirements."""
    catalogue = Catalogue.installed()
    lines = catalogue.faults()
    for line in lines:
        print(f"- {line}")
    print(f"{len(catalogue.entries)} components, {len(lines)} faults")
    if lines:
        raise typer.Exit(1)


COMMANDS = {"list": list_components, "show": show, "doctor": doctor}
