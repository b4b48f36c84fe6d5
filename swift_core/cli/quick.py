"""`swift --help`, `JOB --help`, `list` and `show` from what is remembered; anything else costs much more."""

from __future__ import annotations

import json

from swift_core.catalogue import metadata_cache
from swift_core.cli import printing
from swift_core.version import __version__

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def answer(words: list[str]) -> bool:
    """Print what `words` ask for; False where they are anything but plain questions, which Typer then reads."""
    command = words[0] if words else "--help"
    if command in ("--help", "-h"):
        print(printing.root_help(known("commands")))
    elif command == "--version":
        print(f"swift-core {__version__}")
    elif words[1:] in (["--help"], ["-h"]):
        return _help(command)
    else:
        return command in ("list", "show") and _ask(command, words[1:])
    return True


def _help(job: str) -> bool:
    """Print the help of a job as it was printed before; False where it is to be put together."""
    text = metadata_cache.read(printing.help_key(job))[0] if job.replace("-", "").isalnum() else ""
    if text:
        print(text)
    return bool(text)


def _ask(command: str, rest: list[str]) -> bool:
    as_json = "--json" in rest
    rest = [w for w in rest if w != "--json"]
    search = ""
    if "--search" in rest[:-1]:
        at = rest.index("--search")
        search, rest = rest[at + 1], rest[:at] + rest[at + 2 :]
    if any(w.startswith("-") for w in rest):
        return False
    if command == "list" and len(rest) < 2:
        print_list(rest[0] if rest else "", search, as_json)
    elif command == "show" and len(rest) == 2 and not search:
        print_show(rest[0], rest[1], as_json)
    else:
        return False
    return True


def print_list(kind: str = "", search: str = "", as_json: bool = False) -> None:
    """A table, or JSON, of the installed components of one kind or of all, that hold the text `search`.

    `benchmarks` is no kind: it lists what the evaluators measure by name.
    """
    benchmarks = kind in ("benchmark", "benchmarks")
    rows = _benchmarks() if benchmarks else _components(kind, brief=not (search or as_json))
    if search:
        rows = [r for r in rows if search.lower() in json.dumps(r, ensure_ascii=False).lower()]
    shown = printing.benchmarks(rows) if benchmarks else printing.table(rows)
    print(json.dumps(rows, ensure_ascii=False, indent=1) if as_json else shown)


def _components(kind: str, brief: bool) -> list[dict[str, Any]]:
    name = kind and kind_of(kind)
    return [row for row in known("brief" if brief else "rows") if name in ("", row["kind"])]


def _benchmarks() -> list[dict[str, Any]]:
    from swift_core.cli.listing import benchmark_rows

    return benchmark_rows()


def print_show(kind: str, name: str, as_json: bool = False) -> None:
    """One component: facts, capabilities, options, package and file. A model may be named by a checkpoint's id."""
    facts = _shown(kind_of(kind), name)
    print(json.dumps(facts, ensure_ascii=False, indent=1) if as_json else "\n".join(printing.fact_lines(facts)))


def _shown(kind: str, name: str) -> dict[str, Any]:
    family = known(f"id {name.lower()}") if "/" in name else name
    facts: dict[str, Any] | None = known(f"model {family}") if kind == "model" else None
    if facts is None:
        from swift_core.catalogue.entries import Catalogue
        from swift_core.cli.listing import show_facts

        facts = json.loads(json.dumps(show_facts(Catalogue.installed(), kind, name), default=str))
    return facts


def kind_of(word: str) -> str:
    """The kind that a word means, singular or plural; a SwiftError where there is none."""
    kind: str | None = known(f"kind {word.replace('-', '_')}")
    if kind is None:
        from swift_core.contract.kinds import find_kind

        return find_kind(word).name
    return kind


_digest: list[str] = []


def known(key: str) -> Any:
    """One value of the digest, made anew where none is remembered; None for a key that it does not have."""
    if not _digest:
        _digest.append(metadata_cache.read("digest")[0] or _made())
    start = _digest[0].find(f"\n{key}\t") if key.isprintable() else -1
    if start < 0:
        return None
    start += len(key) + 2
    return json.loads(_digest[0][start : _digest[0].index("\n", start)])


def _made() -> str:
    from swift_core.cli.listing import digest

    return digest()
