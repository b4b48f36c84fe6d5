"""The data set syntax: `id:subset/split#count`, with a hub before it and a local path in its place."""

from __future__ import annotations

import glob
import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from swift_core.contract.errors import SwiftError

HUBS = {"hf": "huggingface", "ms": "modelscope", "local": "local"}
"""Short words before `::`. Any other word there is the name of the data set component that reads the rest."""

FILE_SUFFIXES = (".jsonl", ".json", ".csv", ".tsv", ".parquet", ".txt")
PACKED = (".gz", ".bz2", ".xz", ".zst")
"""Suffixes behind the one of the data file, for files that are compressed."""


def data_suffix(name: str | Path) -> str:
    """The suffix that tells what a data file holds: `.jsonl` of `rows.jsonl.gz` too."""
    file = Path(name)
    return Path(file.stem if file.suffix.lower() in PACKED else file.name).suffix.lower()


def is_data_file(path: Path) -> bool:
    """Whether a file of a folder holds rows, by its name: hidden files and descriptions do not."""
    return data_suffix(path) in FILE_SUFFIXES and not path.name.startswith((".", "dataset_info"))


def exists(name: str) -> bool:
    """Whether a file or folder is there, or one that a pattern fits; False for what cannot be the name of one."""
    try:
        return Path(name).exists() or bool(glob.glob(name))
    except (OSError, ValueError):
        return False


class Layout(Protocol):
    """How the columns of a data set are laid out."""

    def rows(self, raw: dict[str, Any], spared: Collection[str] = ()) -> list[dict[str, Any]]:
        """The rows, in our columns, that a raw row becomes; columns in `spared` are mapped by the user."""


@dataclass(frozen=True)
class Source:
    """One data set as the user asked for it.

    id: hub id, folder laid out like a hub repository, or local path; for any other component what stands
    behind its `name::`. hub: `local`, `modelscope`, `huggingface` or that name. subset, split: names on the hub,
    several joined by `+`. count: rows to take (None: all; more than there are: repeated). text: what the user wrote.
    layout: what the columns hold, where a card or a `dataset_info.json` says it. card: the component of the kind
    dataset that describes it, empty where none does.
    """

    id: str
    hub: str
    subset: str = "default"
    split: str = "train"
    count: int | None = None
    text: str = ""
    layout: Layout | None = None
    card: str = ""

    @property
    def folder(self) -> str | None:
        """The folder of a local data file, or the local folder that is laid out like a hub; None on a hub."""
        if Path(self.id).is_dir():
            return self.id
        return str(Path(self.id).parent) if self.hub == "local" else None


@dataclass(frozen=True)
class Word:
    """What a word of --dataset says: `hub::name:subset/split#count`; parts that it leaves out are empty or None.

    hub: as in `Source`, or empty. text: the whole word.
    """

    hub: str
    name: str
    subset: str
    split: str
    count: int | None
    text: str

    @property
    def local(self) -> bool:
        """Whether it names a file or folder that is read as it stands."""
        return self.hub == "local" or (not self.hub and (data_suffix(self.name) in FILE_SUFFIXES or exists(self.name)))


def read_word(text: str) -> Word:
    """The parts of a word of --dataset. Subset and split are told apart only where the rest is no local path."""
    body, _, tail = text.rpartition("#") if re.search(r"#\d{1,15}$", text) else (text, "", "")
    hub, name = _prefix(body)
    word = Word(hub, name, "", "", int(tail) if tail else None, text)
    if word.local or hub not in ("", *HUBS.values()):
        return word
    name, _, place = name.partition(":")
    subset, _, split = place.partition("/")
    return Word(hub, name, subset, split, word.count, text)


def read_source(text: str, use_hf: bool = False) -> Source:
    """`HF::owner/name:subset/split#500`, `rows.jsonl#100` or `mine::anything`; SwiftError where it is none."""
    word = read_word(text)
    if word.local:
        return _local(word.name, word.count, text)
    hub = word.hub or ("huggingface" if use_hf else "modelscope")
    if hub not in HUBS.values():
        return Source(word.name, hub, count=word.count, text=text)
    if not (re.fullmatch(r"[\w.-]+/[\w.-]+", word.name) or (exists(word.name) and Path(word.name).is_dir())):
        raise SwiftError(
            f"The data set {text[:300]!r} is neither an existing file nor a hub id like owner/name:subset/split#count."
        )
    return Source(word.name, hub, word.subset or "default", word.split or "train", word.count, text)


def is_source(text: str) -> bool:
    """Whether `text` names data by path or hub id, rather than by a name that only an evaluator knows."""
    name = re.sub(r"#\d{1,15}$", "", text)
    return "/" in name or "::" in name or data_suffix(name) in FILE_SUFFIXES or exists(name)


def _prefix(text: str) -> tuple[str, str]:
    """(hub, rest) of `hub::rest`; the hub is empty where none is said."""
    prefix, marker, rest = text.partition("::")
    return (HUBS.get(prefix.lower(), prefix), rest) if marker else ("", text)


def _local(name: str, count: int | None, text: str) -> Source:
    if not exists(name):
        raise SwiftError(f"The data file {name[:300]!r} does not exist (looked in {Path.cwd()}).")
    return Source(name, "local", count=count, text=text)
