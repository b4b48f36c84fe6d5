"""Data sets by the names that a `dataset_info.json` of LLaMA-Factory gives them."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from swift_core.contract.errors import SwiftError, did_you_mean
from swift_core.contract.source import Source, is_source, read_source
from swift_core.data.layout import Layout
from swift_core.data.values import shown

Raw = dict[str, Any]

INFO = "dataset_info.json"

HUBS = {"hf_hub_url": "huggingface", "ms_hub_url": "modelscope"}
"""Where an entry says its hub id → the hub."""

COLUMNS = {
    "prompt": "instruction",
    "query": "input",
    "response": "response",
    "messages": "messages",
    "history": "history",
    "system": "system",
    "tools": "tools",
    "images": "images",
    "videos": "videos",
    "audios": "audios",
    "chosen": "chosen",
    "rejected": "rejected",
    "kto_tag": "label",
}
"""The file's word for a column → our column."""

DEFAULT_COLUMNS = {
    "alpaca": {"prompt": "instruction", "query": "input", "response": "output"},
    "sharegpt": {"messages": "conversations"},
    "openai": {"messages": "messages"},
}
"""Formatting → the columns of a data set whose entry names none."""

ROLES = {
    "user_tag": "user",
    "assistant_tag": "assistant",
    "observation_tag": "tool",
    "function_tag": "tool_call",
    "system_tag": "system",
}
"""Tag → whose messages have its value as their role."""

SHAREGPT = {
    "role_tag": "from",
    "content_tag": "value",
    "user_tag": "human",
    "assistant_tag": "gpt",
    "observation_tag": "observation",
    "function_tag": "function_call",
    "system_tag": "system",
}
OPENAI = {"role_tag": "role", "content_tag": "content", "user_tag": "user", "assistant_tag": "assistant"}
DEFAULT_TAGS = {"alpaca": SHAREGPT, "sharegpt": SHAREGPT, "openai": SHAREGPT | OPENAI | {"observation_tag": "tool"}}

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


def read_layout(entry: Raw, where: str) -> Layout:
    """The layout of an entry; SwiftError where it has words that are not of the format."""
    form = entry.get("formatting", "alpaca")
    if not isinstance(form, str) or form not in DEFAULT_COLUMNS:
        raise SwiftError(f"{where}: formatting {shown(form)} is not {', '.join(DEFAULT_COLUMNS)}.")
    columns = _words(entry, "columns", COLUMNS, where) or dict(DEFAULT_COLUMNS[form])
    if entry.get("ranking"):
        columns.pop("response", None)
        if not {"chosen", "rejected"} <= columns.keys():
            raise SwiftError(f"{where}: ranking needs the columns chosen and rejected.")
    tags = DEFAULT_TAGS[form] | _words(entry, "tags", SHAREGPT, where)
    return Layout(
        columns={theirs: COLUMNS[word] for word, theirs in columns.items()},
        role=tags["role_tag"],
        content=tags["content_tag"],
        roles={tags[tag]: ours for tag, ours in ROLES.items()},
        name="dataset_info.json",
    )


def _words(entry: Raw, key: str, known: Mapping[str, str], where: str) -> dict[str, str]:
    words = entry.get(key) or {}
    if not isinstance(words, dict) or not all(isinstance(v, str | None) for v in words.values()):
        raise SwiftError(f"{where}: {key} must be an object of texts, found {shown(words)}.")
    for word in words.keys() - known.keys():
        raise SwiftError(f"{where}: {key} knows no {word!r}.{did_you_mean(word, known)} Known: {', '.join(known)}.")
    return {word: text for word, text in words.items() if text is not None}
