"""The data set syntax: `id:subset/split#count`, with a hub before it and a local path in its place."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from swift_core.errors import SwiftError

FILE_SUFFIXES = (".jsonl", ".json", ".csv", ".tsv", ".parquet", ".txt")


@dataclass(frozen=True)
class Source:
    """One data set as the user asked for it.

    id: hub id or local path. hub: `local`, `modelscope` or `huggingface`. subset, split: names on the hub.
    count: rows to take (None: all; more than there are: repeated). text: what the user wrote.
    """

    id: str
    hub: str
    subset: str = "default"
    split: str = "train"
    count: int | None = None
    text: str = ""


def read_source(text: str, use_hf: bool = False) -> Source:
    """`HF::owner/name:subset/split#500` or `rows.jsonl#100` as a Source; SwiftError where it is not one."""
    body, _, tail = text.rpartition("#") if re.search(r"#\d+$", text) else (text, "", "")
    count = int(tail) if tail else None
    hub, name = _hub(body, use_hf)
    if hub == "local" or Path(name).suffix.lower() in FILE_SUFFIXES or Path(name).exists():
        return _local(name, count, text)
    name, _, place = name.partition(":")
    subset, _, split = place.partition("/")
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", name):
        raise SwiftError(
            f"The data set {text!r} is neither an existing file nor a hub id like owner/name:subset/split#count."
        )
    return Source(name, hub, subset or "default", split or "train", count, text)


def is_source(text: str) -> bool:
    """Whether `text` names data by path or hub id, rather than by a name that only an evaluator knows."""
    name = re.sub(r"#\d+$", "", text)
    return "/" in name or "::" in name or Path(name).suffix.lower() in FILE_SUFFIXES or Path(name).exists()


def _hub(text: str, use_hf: bool) -> tuple[str, str]:
    prefix, marker, rest = text.partition("::")
    hubs = {"hf": "huggingface", "ms": "modelscope", "local": "local"}
    if marker and prefix.lower() in hubs:
        return hubs[prefix.lower()], rest
    return ("huggingface" if use_hf else "modelscope"), text


def _local(name: str, count: int | None, text: str) -> Source:
    if not Path(name).exists():
        raise SwiftError(f"The data file {name!r} does not exist (looked in {Path.cwd()}).")
    return Source(name, "local", count=count, text=text)
