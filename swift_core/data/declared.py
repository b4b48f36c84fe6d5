"""Data sets by the names that a `dataset_info.json` of LLaMA-Factory gives them."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path
from typing import Any

from swift_core.contract.errors import SwiftError, did_you_mean
from swift_core.contract.source import Source, is_source, read_source
from swift_core.data.layout import read_layout
from swift_core.data.values import shown

INFO = "dataset_info.json"

HUBS = {"hf_hub_url": "huggingface", "ms_hub_url": "modelscope"}
"""Where an entry says its hub id → the hub."""

UNKNOWN = ("script_url", "om_hub_url", "cloud_file_name")
"""Places that are not read here."""


@dataclasses.dataclass(frozen=True)
class Entries:
    """The file's entries by name, and its place."""

    file: Path
    named: dict[str, Any]


def read_entries(place: str) -> Entries:
    """The entries of a file, or of `dataset_info.json` in a folder; SwiftError where there are none."""
    file = Path(place, INFO) if Path(place).is_dir() else Path(place)
    try:
        named = json.loads(file.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise SwiftError(f"--dataset_info {file}: {error.strerror}.") from None
    except (ValueError, RecursionError) as error:
        raise SwiftError(f"--dataset_info {file} is not valid JSON: {error}.") from None
    if not isinstance(named, dict):
        raise SwiftError(f"--dataset_info {file} must be an object of entries by name.")
    return Entries(file, named)


def source_of(word: str, options: Any) -> Source:
    """What a word of --dataset names: an entry of --dataset_info, a file, a folder, or a data set of a hub."""
    source = declared(word, read_entries(options.dataset_info), options.use_hf) if options.dataset_info else None
    return source or read_source(word, options.use_hf)


def declared(word: str, entries: Entries, use_hf: bool) -> Source | None:
    """The data set that a word of --dataset names in the file, with its layout; None where it names a file or hub id.

    `name#500` takes 500 rows. SwiftError where no entry has that name, or the entry is none that can be read.
    """
    name, _, count = word.rpartition("#") if re.search(r"#\d{1,15}$", word) else (word, "", "")
    entry = entries.named.get(name)
    if entry is None:
        if is_source(word):
            return None
        near = did_you_mean(name, entries.named)
        raise SwiftError(f"{entries.file} has no data set {name!r}.{near} It has: {', '.join(entries.named)}."[:600])
    where = f"{entries.file}, {name}"
    if not isinstance(entry, dict):
        raise SwiftError(f"{where}: an entry is an object, found {shown(entry)}.")
    limit = int(count) if count else _count(entry, where)
    source = _place(entry, entries.file.parent, where, use_hf)
    return dataclasses.replace(source, count=limit, text=word, layout=read_layout(entry, where))


def _count(entry: dict[str, Any], where: str) -> int | None:
    count = entry.get("num_samples")
    if count is not None and (type(count) is not int or count < 1):
        raise SwiftError(f"{where}: num_samples must be a number of rows, found {shown(count)}.")
    return count


def _place(entry: dict[str, Any], folder: Path, where: str, use_hf: bool) -> Source:
    hubs = sorted(HUBS, key=lambda key: (HUBS[key] == "huggingface") != use_hf)
    key = next((key for key in hubs if entry.get(key)), None)
    if key:
        return Source(str(entry[key]), HUBS[key], entry.get("subset") or "default", entry.get("split") or "train")
    if not isinstance(entry.get("file_name"), str):
        said = next((key for key in UNKNOWN if key in entry), None)
        raise SwiftError(f"{where}: " + (f"{said} is not read here." if said else "it names no file_name or hub id."))
    return read_source(f"local::{folder / entry['file_name']}")
