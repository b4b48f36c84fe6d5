"""The data set syntax: `id:subset/split#count`, with a hub before it and a local path in its place."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from swift_core.contract.errors import SwiftError

HUBS = {"hf": "huggingface", "ms": "modelscope", "local": "local"}
"""Short words before `::`. Any other word there is the name of the data set component that reads the rest."""

FILE_SUFFIXES = (".jsonl", ".json", ".csv", ".tsv", ".parquet", ".txt")


@dataclass(frozen=True)
class Source:
    """One data set as the user asked for it.

    id: hub id, folder laid out like a hub repository, or local path; for any other component what stands
    behind its `name::`. hub: `local`, `modelscope`, `huggingface` or that name. subset, split: names on the hub.
    count: rows to take (None: all; more than there are: repeated). text: what the user wrote.
    """

    id: str
    hub: str
    subset: str = "default"
    split: str = "train"
    count: int | None = None
    text: str = ""


def read_source(text: str, use_hf: bool = False) -> Source:
    """`HF::owner/name:subset/split#500`, `rows.jsonl#100` or `mine::anything`; SwiftError where it is none."""
    body, _, tail = text.rpartition("#") if re.search(r"#\d+$", text) else (text, "", "")
    count = int(tail) if tail else None
    hub, name = _prefix(body)
    if hub == "local" or (not hub and (Path(name).suffix.lower() in FILE_SUFFIXES or Path(name).exists())):
        return _local(name, count, text)
    hub = hub or ("huggingface" if use_hf else "modelscope")
    if hub not in HUBS.values():
        return Source(name, hub, count=count, text=text)
    name, _, place = name.partition(":")
    subset, _, split = place.partition("/")
    if not (re.fullmatch(r"[\w.-]+/[\w.-]+", name) or Path(name).is_dir()):
        raise SwiftError(
            f"The data set {text!r} is neither an existing file nor a hub id like owner/name:subset/split#count."
        )
    return Source(name, hub, subset or "default", split or "train", count, text)


def is_source(text: str) -> bool:
    """Whether `text` names data by path or hub id, rather than by a name that only an evaluator knows."""
    name = re.sub(r"#\d+$", "", text)
    return "/" in name or "::" in name or Path(name).suffix.lower() in FILE_SUFFIXES or Path(name).exists()


def _prefix(text: str) -> tuple[str, str]:
    """(hub, rest) of `hub::rest`; the hub is empty where none is said."""
    prefix, marker, rest = text.partition("::")
    return (HUBS.get(prefix.lower(), prefix), rest) if marker else ("", text)


def _local(name: str, count: int | None, text: str) -> Source:
    if not Path(name).exists():
        raise SwiftError(f"The data file {name!r} does not exist (looked in {Path.cwd()}).")
    return Source(name, "local", count=count, text=text)
