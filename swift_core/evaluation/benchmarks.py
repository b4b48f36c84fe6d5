"""Published benchmarks by name: what each evaluator knows, and which evaluator measures a name."""

from __future__ import annotations

import csv
import difflib
import functools
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from swift_core.catalogue.entries import Catalogue
from swift_core.contract.components import Evaluator, declared
from swift_core.contract.errors import SwiftError

FILES = "csv"
"""The evaluator of files where none is named."""

NEAR = 3
"""So many similar names are told for one that nobody knows."""


@dataclass(frozen=True)
class Benchmark:
    """One published data set.

    name: as its evaluator calls it. modality: what the model reads (text, image, video, audio, agent), or `picture`
    where it draws. title: in words. evaluator: who knows it. more: further columns of the evaluator's own.
    """

    name: str
    modality: str
    title: str
    evaluator: str
    more: tuple[str, ...] = ()


@functools.cache
def read_benchmarks(file: Path, evaluator: str) -> dict[str, Benchmark]:
    """The table of an evaluator: name, modality, title and columns of its own, between tabs, below a header."""
    with file.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.reader(stream, delimiter="\t", quoting=csv.QUOTE_NONE))
    return {name: Benchmark(name, modality, title, evaluator, tuple(more)) for name, modality, title, *more in rows[1:]}


def all_benchmarks(catalogue: Catalogue | None = None) -> dict[str, dict[str, Benchmark]]:
    """Evaluator → its benchmarks by name, for every installed evaluator that has a table, by name of the evaluator."""
    found = {}
    for entry in (catalogue or Catalogue.installed()).of_kind("evaluator"):
        try:
            file: Path | None = declared(entry.load(), Evaluator, "benchmarks")
        except SwiftError:
            continue  # `swift doctor` says why; a job that names it fails with the reason
        if file is not None:
            found[entry.name] = read_benchmarks(file, entry.name)
    return dict(sorted(found.items()))


def evaluator_of(name: str, catalogue: Catalogue) -> str:
    """The evaluator that measures `name` where the user named none: of several, the first by name.

    Raises SwiftError where nobody knows it.
    """
    known = all_benchmarks(catalogue)
    for evaluator, benchmarks in known.items():
        if name in benchmarks:
            return evaluator
    raise SwiftError(f"There is no benchmark and no file {name!r}.{near(name, known)}")


def near(name: str, known: dict[str, dict[str, Benchmark]]) -> str:
    """Similar names with who knows them, and how to see all."""
    plain = {_plain(other): other for benchmarks in known.values() for other in benchmarks}
    close = [plain[word] for word in difflib.get_close_matches(_plain(name), plain, NEAR, 0.75)]
    told = [f"{other} ({', '.join(owner for owner in known if other in known[owner])})" for other in close]
    return (
        f"{' Similar: ' if told else ''}{', '.join(told)}{'.' if told else ''} swift list benchmarks shows all names."
    )


def _plain(word: str) -> str:
    return "".join(c for c in word.lower() if c.isalnum())


def refuse_unknown(evaluator: str, names: Iterable[str]) -> None:
    """SwiftError for names that the evaluator does not know: which other one has it, or similar names."""
    known = all_benchmarks()
    for name in names:
        if name not in known[evaluator]:
            other = next((owner for owner in known if name in known[owner]), None)
            more = f" {other} has it: --evaluator {other}, or leave --evaluator out." if other else near(name, known)
            raise SwiftError(f"The evaluator {evaluator} has no benchmark {name!r}, and there is no such file.{more}")
